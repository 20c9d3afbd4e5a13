"""What was read in the last hours, in flash: mean, low and high of each slot of `keep` seconds.

Each entry with `keep` has a ring of its own in the folder `history`: a few files that are only
ever appended to, of which the oldest is removed when a new one is begun. The name of a file:

    the entry's name in hex (so no two are the same), keep, the first slot in it

A slot is numbered by its begin in epoch seconds, divided by `keep`. A record, little-endian:

    slot (32 bits), mean, low, high (32-bit floats), the lower half of the CRC-32 of these

All records are of the same size and stand one behind the other, so a damaged one costs only
itself; what is torn at the end is filled up. On littlefs a file is one block at the most, and a
batch one block erased and written.
"""

import asyncio
import os
import struct
from binascii import crc32, hexlify, unhexlify

from .clock import EARLIEST

_SIZE = 18


class _Ring:
    # What is kept of one entry
    def __init__(self, path, keep, span):
        self.path = path
        self.keep = keep
        self.span = span  # slots of `hours`
        self.bases = []  # the files
        self.data = b""  # closed slots, not in flash yet
        self.last = -1  # the last closed slot; not of those without a time
        self.open = None  # slot, mean, low, high
        self.count = 0  # readings in it
        self.failing = self.anew = False  # anew: the files are of no use


class History:
    """The history of each entry of `thing.registry` that has `keep`, seconds in a slot, and is
    declared when run() begins, as does the history. Raises nothing for what it finds in flash."""

    features = ()
    #: The time that a ring holds at least, in hours; less where `max_bytes` are not enough.
    hours = 24
    #: Bytes of flash that the files of one entry take at the most, and bytes of one file: a
    #: block, as littlefs gives out whole ones.
    max_bytes = 32768
    segment_bytes = 4096
    #: An entry's slots are written when there are so many, or the oldest began `batch_s` ago, or
    #: a little later: it is looked for eight times in that time.
    batch = 32
    batch_s = 1800
    #: Closed slots of an entry in RAM while nobody knows the time, or flash cannot be written;
    #: then the oldest is lost. More than `batch`.
    max_pending = 48

    def __init__(self, thing):
        self._thing = thing
        self._folder = thing.folder + "history"
        self._rings = {}
        self._early = True  # slots in RAM may be of the uptime, as nobody knew the time
        #: How often flash could not be read or written.
        self.failures = 0

    def changed(self, entry):
        """`entry` was read or set: record its value, in RAM only. Numbers, and bools as 0 and 1,
        are kept as 32-bit floats; what is beyond 1e30 is not."""
        ring = self._rings.get(entry.name)
        value = entry.value
        if not ring or not isinstance(value, (bool, int, float)) or not abs(value) < 1e30:
            return
        slot = self._now() // ring.keep
        if ring.count and 0 < ring.open[0] - slot <= ring.span:
            return
        self._close(ring, slot)
        mean = low = high = value = float(value)
        if ring.count:
            slot, mean, low, high = ring.open
        ring.count += 1
        ring.open = [slot, mean + (value - mean) / ring.count, min(low, value), max(high, value)]

    def recall(self, name, since, until):
        """The slots of the entry `name` that begin from `since` to before `until`, epoch seconds,
        in order of time: a generator of (its begin in epoch seconds, mean, low, high). The last
        may not be over yet. Any time may pass between two steps."""
        self._open()
        ring = self._rings.get(name)
        if not ring:
            return
        self._now()
        keep = ring.keep
        last = (since - 1) // keep
        bases = [] if ring.anew else ring.bases[:]
        while len(bases) > 1 and bases[1] <= last + 1:
            bases.pop(0)
        # What is written from here on is in `data`
        data = ring.data
        if ring.count and ring.open[0] > ring.last:
            data += _record(ring.open)
        for slot, mean, low, high in self._read(ring, bases, data):
            if slot > last and slot * keep < until:
                last = slot
                yield slot * keep, mean, low, high

    def flush(self):
        """Write now what is in RAM: before a reset. What has no time yet cannot be written."""
        for ring in self._rings.values():
            self._close(ring, -1)
            self._save(ring)

    async def run(self):
        """Write batches in time, until cancelled. Files of what is not declared are removed. What
        is not read, a control, is recorded here: it keeps its value."""
        self._open()
        while True:
            wait = self.batch_s / 8
            for entry in self._thing.registry.entries:
                ring = self._rings.get(entry.name)
                if not ring:
                    continue
                if not hasattr(entry, "read"):
                    self.changed(entry)
                keep = ring.keep
                wait = min(wait, keep / 2)
                slot = self._now() // keep
                self._close(ring, slot)
                for values in _whole(ring.data):  # the oldest
                    if (
                        len(ring.data) >= self.batch * _SIZE
                        or (slot - values[0]) * keep >= self.batch_s
                    ):
                        self._save(ring)
                    break
            await asyncio.sleep(wait)

    def _now(self):
        # The time, or the uptime. As soon as the time is known, the slots of the uptime get theirs
        clock = self._thing.clock
        now = clock.now()
        up = clock.uptime_s()
        if now is None:
            self._early = True
            return up
        if self._early:
            self._early = False
            for ring in self._rings.values():
                early = EARLIEST // ring.keep
                shift = (now - up) // ring.keep
                data = ring.data
                ring.data = b""
                for values in _whole(data):
                    if values[0] < early:
                        values[0] += shift
                    self._push(ring, values)
                if ring.count and ring.open[0] < early:
                    ring.open[0] += shift
        return now

    def _close(self, ring, slot):
        # The open slot is over, unless it is `slot`
        if ring.count and ring.open[0] != slot:
            self._push(ring, ring.open)
            ring.count = 0

    def _push(self, ring, values):
        slot = values[0]
        if slot >= EARLIEST // ring.keep:
            if ring.last - slot > ring.span:
                # The time is, or was, wrong by more than can be waited for
                ring.data = b""
                ring.anew = True
            elif slot <= ring.last:
                return
            ring.last = slot
        ring.data = (ring.data + _record(values))[-self.max_pending * _SIZE :]

    def _open(self):
        if self._rings:
            return
        for entry in self._thing.registry.entries:
            keep = int(getattr(entry, "keep", None) or 0)
            if keep:
                path = "{}/{}.{}.".format(
                    self._folder, hexlify(entry.name.encode()).decode(), keep
                )
                self._rings[entry.name] = _Ring(path, keep, self.hours * 3600 // keep)
        try:
            names = os.listdir(self._folder)
        except OSError:  # not there yet
            return
        said = []
        for n in names:
            try:
                name, keep, base = n.split(".")
                name = unhexlify(name).decode()
                keep = int(keep)
                base = int(base)
            except ValueError:  # not ours
                continue
            ring = self._rings.get(name)
            if ring and ring.keep == keep:
                ring.bases.append(base)
                continue
            if name not in said:
                said.append(name)
                self._thing.log("history: {} every {} s: removed".format(name, keep))
            try:
                os.remove(self._folder + "/" + n)
            except OSError:
                self.failures += 1
        for ring in self._rings.values():
            ring.bases.sort()
            for base in ring.bases[-1:]:
                ring.last = base - 1
                for record in self._read(ring, (base,), b""):
                    ring.last = record[0]

    def _read(self, ring, bases, data):
        # The whole records of files, then those of `data`: slot, mean, low, high
        for base in bases:
            for at in range(0, self.max_bytes, 28 * _SIZE):
                try:
                    with open(ring.path + str(base), "rb") as f:
                        f.seek(at)
                        found = f.read(28 * _SIZE)
                except OSError as e:
                    found = b""
                    if base in ring.bases:  # not removed meanwhile
                        self._failed(ring, e)
                if not found:
                    break
                yield from _whole(found)
        yield from _whole(data)

    def _save(self, ring):
        # Append all closed slots, to one file after the other
        self._now()
        bases = ring.bases
        path = ring.path
        room = self.segment_bytes
        try:
            while ring.data and not self._early:
                # One file more than the slots need, as the last is not full
                count = min(self.max_bytes // room, ring.span // (room // _SIZE) + 2)
                size = room
                if ring.anew:
                    count = 1
                elif bases:
                    try:
                        size = os.stat(path + str(bases[-1]))[6]
                    except OSError:  # not written yet
                        size = 0
                fill = -size % _SIZE
                size += fill
                if size > room - _SIZE:
                    size = fill = 0
                    while len(bases) >= count:
                        os.remove(path + str(bases.pop(0)))
                    ring.anew = False
                    bases.append(next(_whole(ring.data))[0])
                if not size:
                    try:
                        os.mkdir(self._folder)
                    except OSError:  # it is there
                        pass
                count = (room - size) // _SIZE * _SIZE
                with open(path + str(bases[-1]), "ab") as f:
                    f.write(bytes(fill) + ring.data[:count])
                ring.data = ring.data[count:]
            ring.failing = False
        except (OSError, MemoryError) as e:
            self._failed(ring, e)

    def _failed(self, ring, e):
        self.failures += 1
        if not ring.failing:
            ring.failing = True
            self._thing.log("history: flash: " + repr(e))


def _record(values):
    data = struct.pack("<Ifff", *values)
    return data + struct.pack("<H", crc32(data) & 0xFFFF)


def _whole(data):
    for i in range(0, len(data) - _SIZE + 1, _SIZE):
        *values, crc = struct.unpack("<IfffH", data[i : i + _SIZE])
        if crc32(data[i : i + _SIZE - 2]) & 0xFFFF == crc:
            yield values
