"""When sensors are read by themselves, and what the owners are told of it."""

import asyncio

from .registry import Sensor, duration


class Reports:
    """Reads each sensor when it is due and reports to the owners: every `every` seconds, and when
    the value has moved by `delta`, or the sensor failed or works again. What falls due while there
    is no session is reported, with the value of then, when there is one; of a durable sensor it
    is read and kept. Alarms and events are told as soon as there is a session, in one message
    where there are many."""

    #: Seconds between two looks at what is due.
    tick_s = 0.2
    #: The most characters of a durable report.
    max_kept = 250
    #: The most alarms and events that wait to be told; then the oldest is only counted.
    max_waiting = 8
    #: So many messages with alarms may go out at once, and then one in so many seconds.
    max_alerts = 5
    alert_s = 30

    def __init__(self, thing):
        self._thing = thing
        self._read_at = {}
        #: By sensor, (when it was read, value) of the last report.
        self.told = {}
        self._events = []  # (event, text), as they happened
        #: The alarms and events to be told: (uptime, text, whether it is an alarm).
        self.waiting = []
        self._dropped = 0
        self._alerts = self.max_alerts
        self._alerts_at = 0
        #: By bare JID, [uptime until which they are told nothing, what they missed].
        self.muted = {}
        #: Grows with each look.
        self.beats = 0

    async def run(self):
        """Until cancelled."""
        thing = self._thing
        while True:
            self.beats += 1
            while self._events:
                try:
                    self._tell_of(*self._events.pop(0))
                except Exception as e:  # no flash, no memory
                    thing.fault("events", e)
            lines = []
            told = {}
            online = thing.client.online
            for sensor in thing.registry.kind(Sensor):
                try:
                    due = await self._is_due(sensor, online or sensor.durable)
                except Exception as e:  # whatever values it has: the others are read
                    thing.fault(sensor.name, e)
                    continue
                if due:
                    line = sensor.name + ": " + sensor.state()
                    news = (self._read_at[sensor.name], sensor.value)
                    if sensor.durable:
                        thing.outbox().keep(line[: self.max_kept])
                        self.told[sensor.name] = news
                        told[sensor.name] = news
                    else:
                        told[sensor.name] = news
                        lines.append(line)
            if told:
                try:
                    if lines:
                        await thing.report("\n".join(lines))
                    elif online:
                        await thing.announce()
                    self.told.update(told)
                except (OSError, MemoryError):  # offline again, or no room; it stays due
                    pass
            if (self.waiting or self.muted) and thing.client.online:
                try:
                    await self._tell()
                except (OSError, MemoryError):
                    pass
            await asyncio.sleep(self.tick_s)

    async def _is_due(self, sensor, tells):
        # Reads it if it is time to. Without a line only what is kept and watched is
        every, delta = sensor.every, sensor.delta
        name = sensor.name
        now = self._thing.clock.uptime_ms()
        when, value = self.told.get(name, (None, None))
        due = tells and every is not None and (when is None or now - when >= every * 1000)
        if not due:
            if sensor.watched() or tells and delta is not None:
                poll = sensor.poll
            elif sensor.keep:
                poll = sensor.keep / 4
            else:
                return False
            if now - self._read_at.get(name, -poll * 1000) < poll * 1000:
                return False
        self._read_at[name] = now
        await self._thing.read(sensor)
        if due or not tells or delta is None:
            return due
        return when is None or _moved(value, sensor.value, delta)

    def alarm(self, sensor, was):
        """The alarm of `sensor` changed; it was `was`."""
        now = sensor.alarmed
        what = ", {}".format(now) if now else ", no longer {}".format(was)
        if now == sensor.state():
            what = ""
        self.alert("{}: {}{}".format(sensor.name, sensor.state(), what))

    def happened(self, event, text):
        """`event` happened. Nothing but a list is touched: for what interrupts the loop, too."""
        if len(self._events) < self.max_waiting:
            self._events.append((event, text))
        else:
            self._dropped += 1

    def _tell_of(self, event, text):
        event.value = text
        event.when = self._thing.clock.uptime_s()
        self._thing.changed(event)
        text = "{}: {}".format(event.name, event.state())
        if event.durable:
            self._thing.outbox().keep(text[: self.max_kept])
            if event.alarm:
                self._post(text)
        else:
            self.alert(text, event.alarm)

    def alert(self, text, alarm=True):
        """Tell `text` as soon as may be."""
        waiting = self.waiting
        if len(waiting) >= self.max_waiting:
            waiting.pop(0)
            self._dropped += 1
        waiting.append((self._thing.clock.uptime_s(), text[: self.max_kept], alarm))

    def _post(self, text):
        for surface in self._thing.surfaces.values():
            if hasattr(surface, "alert"):
                surface.alert(text)

    async def _tell(self):
        thing = self._thing
        now = thing.clock.uptime_s()
        for person, (until, missed) in list(self.muted.items()):
            if now >= until or not thing.access.known(person):
                self.muted.pop(person)
                if missed and thing.access.known(person):
                    text = "While you were mute, {} {} left out."
                    text = text.format(missed, "was" if missed == 1 else "were")
                    await thing.say(person, text)
        more = (now - self._alerts_at) // self.alert_s
        self._alerts = min(self.max_alerts, self._alerts + more)
        self._alerts_at += more * self.alert_s
        waiting = self.waiting
        if not waiting or self._alerts < 1:
            return
        lines = []
        alarms = []
        if self._dropped:
            lines.append("{} earlier ones are left out".format(self._dropped))
        for when, text, alarm in waiting:
            if now - when > 2 * self.alert_s:
                text += " ({} ago)".format(duration(now - when))
            lines.append(text)
            if alarm:
                alarms.append(text)
        self.waiting = []
        try:
            await thing.report("\n".join(lines))
        except Exception:
            self.waiting = (waiting + self.waiting)[-self.max_waiting :]
            raise
        self._alerts -= 1
        self._dropped = 0
        if alarms:
            self._post("\n".join(alarms))

    def mutes(self, person):
        """Whether a bare JID is told nothing now; counts what they miss."""
        entry = self.muted.get(person)
        if not entry or self._thing.clock.uptime_s() >= entry[0]:
            return False
        entry[1] += 1
        return True

    def mute(self, asker, seconds):
        """Tell `asker` nothing by itself for so long; what to say of that."""
        missed = self.muted.pop(asker.person, (0, 0))[1]
        if not seconds:
            text = "You are told everything"
            return text + (" again. Left out: {}.".format(missed) if missed else ".")
        self.muted[asker.person] = [self._thing.clock.uptime_s() + seconds, missed]
        return "Mute for {}: no reports, and no alarms but durable ones.".format(duration(seconds))


def _moved(old, new, delta):
    if old == new or old is None or new is None:
        return old is not new and old != new
    for value in (old, new):
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return True
    return abs(new - old) >= delta
