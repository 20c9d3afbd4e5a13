"""When sensors are read by themselves, and what the owners are told of it."""

import asyncio

from .clock import ticks_diff, ticks_ms
from .registry import Sensor


class Reports:
    """Reads each sensor when it is due and reports to the owners: every `every` seconds, and when
    the value has moved by `delta`, or the sensor failed or works again. What falls due while there
    is no session is reported, with the value of then, when there is one; of a durable sensor it
    is read and kept."""

    #: Seconds between two looks at what is due.
    tick_s = 0.2
    #: The most characters of a durable report.
    max_kept = 250

    def __init__(self, thing):
        self._thing = thing
        self._read_at = {}
        self._told = {}  # name -> (when it was read, value)
        #: Grows with each look.
        self.beats = 0

    async def run(self):
        """Until cancelled."""
        thing = self._thing
        while True:
            self.beats += 1
            lines = []
            told = {}
            for sensor in thing.registry.kind(Sensor):
                if (thing.client.online or sensor.durable) and await self._is_due(sensor):
                    line = sensor.name + ": " + sensor.state()
                    news = (self._read_at[sensor.name], sensor.value)
                    if sensor.durable:
                        thing.outbox().keep(line[: self.max_kept])
                        self._told[sensor.name] = news
                        told[sensor.name] = news
                    else:
                        told[sensor.name] = news
                        lines.append(line)
            if told:
                try:
                    if lines:
                        await thing.report("\n".join(lines))
                    elif thing.client.online:
                        await thing.announce()
                    self._told.update(told)
                except OSError:  # offline again; it stays due
                    pass
            await asyncio.sleep(self.tick_s)

    async def _is_due(self, sensor):
        every, delta = sensor.every, sensor.delta
        if every is None and delta is None:
            return False
        when, value = self._told.get(sensor.name, (None, None))
        due = when is None or every is not None and _elapsed(when, every)
        if not due and (delta is None or not _elapsed(self._read_at[sensor.name], sensor.poll)):
            return False
        self._read_at[sensor.name] = ticks_ms()
        await self._thing.read(sensor)
        return due or _moved(value, sensor.value, delta)


def _elapsed(since, seconds):
    return ticks_diff(ticks_ms(), since) >= seconds * 1000


def _moved(old, new, delta):
    if old == new or old is None or new is None:
        return old is not new and old != new
    if isinstance(new, (int, float)) and not isinstance(new, bool):
        return abs(new - old) >= delta
    return True
