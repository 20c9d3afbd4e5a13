"""What the device has to say, kept in flash until it is said to have arrived.

A folder of segments, the files `1`, `2` and on, which are only ever appended to, and removed.
Each begins with `_HEAD` (magic, format version, checksum); then follow records:

    sync 0xFF (in no UTF-8), CRC-32 of the rest, length of the body, kind, stamp, id, body

    kind 1   a text; stamp: when it was made, epoch seconds
    kind 2   a text; stamp: the uptime then, the clock was not known
    kind 3   the state: all up to this id has arrived; stamp: how many texts were lost

An id is six random bytes, new for each boot, and the text's number within the boot. Any version
keeps the form of the first eight bytes, so that its files are known for what they are.

Wear: a batch is one append to one file, however many texts and arrivals are in it (two, where a
segment becomes full); on littlefs that is one block erased and written, and an entry in the
folder. A file is removed when all in it has arrived, or there is no room any more. Texts that
arrive within `batch_s` are never written, and where all has arrived the files are removed and
nothing is written. No file is written anew.
"""

import asyncio
import os
import struct
from binascii import crc32, hexlify


def _sum(data):
    return struct.pack("<I", crc32(data))


_HEAD = b"box\x01" + _sum(b"box\x01")
_RECORD = "<BIHBI10s"
_SIZE = 22  # of a record without its body
_NONE = b"\0" * 10  # the id of no text


class Outbox:
    """Texts in, out in order, gone when they have arrived. `folder`: of this outbox alone, made
    when it is first written to; `log`: a function of one line; `clock`: `now()`, epoch seconds or
    None while not known, and `uptime_s()`; without one no text has a time. Raises nothing for
    what it finds in the files: damage costs the records that have it."""

    #: Bytes of flash that all segments may take, and bytes of one; a text for which there is no
    #: room costs the oldest segment. At least twice `segment_bytes`, which is 60000 at most.
    max_bytes = 32768
    segment_bytes = 4096
    #: The longest time in seconds that a text waits in RAM, and how many bytes of records are
    #: written without waiting.
    batch_s = 5
    batch_bytes = 512
    #: Bytes of UTF-8 in one text.
    max_text = 1024
    #: Bytes of records in RAM while flash cannot be written; then the oldest is lost.
    max_pending = 4096
    #: Texts that are handed out and have not arrived; next() has no more until one does.
    max_out = 32
    #: How often next() raises OSError where flash cannot be read; then that part is given up.
    max_unread = 5
    #: Bytes read from flash at a time; kept while there is more in flash to hand out.
    read_ahead = 512

    def __init__(self, folder, log, clock=None):
        self.log = log
        #: Texts lost because there was no room, and not yet reported; see told().
        self.lost = 0
        #: How often flash could not be read or written.
        self.failures = 0
        #: Set when there may be something new for next(); cleared by whoever waits for it.
        self.filled = asyncio.Event()
        self._folder = folder
        self._clock = clock
        self._prefix = os.urandom(6)
        self._made = 0
        self._pending = []  # records not in flash yet
        self._work = asyncio.Event()
        self._moved = asyncio.Event()  # _pending has become shorter
        self._failing = False
        self._unread = 0
        self._opened = False
        # A position is a segment's number << 16 | an offset in it
        self._mark = 0  # all before has arrived,
        self._mark_id = _NONE  # up to this id
        self._end = 0  # after the last text in flash
        self._ahead = b""
        self._at = 0  # the position of what was read ahead
        self._hurt = 0  # the last segment that was said to be damaged
        self._clean = 0  # the last segment that ends as it should
        self._segments = []  # [number, size, whether it is of this format]
        self._current = None  # the one that is written to
        self._last = 0  # the highest number
        self._open()
        self._dirty = self._mark >= self._end and self._last > 0  # something to write or remove
        if self._dirty:
            self._work.set()
        self.rewind()
        self._opened = True

    def _open(self):
        segments = self._segments
        try:
            names = os.listdir(self._folder)
        except OSError:  # not there yet
            return
        for n in names:
            try:
                n = int(n)
                size = min(os.stat(self._path(n))[6], 0xFFFF)
                if n > 0 and size:  # an empty one will be written to, under its number
                    segments.append([n, size, True])
            except (OSError, ValueError):  # not ours
                pass
        segments.sort()
        for s in segments:
            n = self._last = s[0]
            head = self._read(n, 0, 8)
            if head[:3] == _HEAD[:3] and head != _HEAD and _sum(head[:4]) == head[4:]:
                s[2] = False
                self.log("outbox: {}: another version, left alone".format(n))
        for kind, stamp, ident, _, pos in self._records(0):
            if kind < 3:
                self._end = pos
            else:
                self.lost = stamp
                self._mark_id = ident
        # Whatever boot wrote it: each record has its own id
        if self._clean == self._last > 0:
            self._current = segments[-1]
        for kind, _, ident, _, pos in self._records(0):
            if kind < 3 and ident[:6] == self._mark_id[:6]:
                if ident > self._mark_id:
                    break
                self._mark = pos

    async def put(self, text):
        """As keep(), but returns when it is in flash or has arrived, or was lost for want of room.
        Cancelled, it is kept all the same."""
        record = self.keep(text)
        while record in self._pending:
            await self._moved.wait()

    def keep(self, text):
        """Keep `text`, in RAM until the next batch is written; what it became. Raises ValueError
        when it is longer than `max_text`."""
        text = text.encode()
        if len(text) > self.max_text:
            raise ValueError("text: more than {} bytes".format(self.max_text))
        clock = self._clock
        stamp = clock and clock.now()
        kind = 1
        if stamp is None:
            kind = 2
            stamp = clock.uptime_s() if clock else 0
        self._made += 1
        record = _record(kind, stamp, self._prefix + struct.pack(">I", self._made), text)
        pending = self._pending
        size = sum([len(r) for r in pending]) + len(record)
        while pending and size > self.max_pending:
            size -= len(pending[0])
            self.lost += 1
            self._dirty = True
            self._forget(1, 0)
        pending.append(record)
        self.filled.set()
        self._work.set()
        if size >= self.batch_bytes and not self._failing:
            self.flush()
        return record

    def next(self):
        """Hand out the oldest text that is not handed out: (id, text, epoch seconds or None), or
        None when there is no more, or `max_out` have not arrived. The id is the same whenever and
        after whatever boot the text is handed out. Raises OSError where flash cannot be read."""
        out = self._out
        if len(out) >= 2 * self.max_out:
            return None
        pos = None
        if self._next < self._end:
            for record in self._records(self._next):
                kind, stamp, ident, text, at = record
                # What a failed write left behind was written again
                if kind < 3 and (ident[:6] != self._seen[:6] or ident > self._seen):
                    pos = at
                    break
            else:  # damaged since
                self._next = self._end
        if pos is None:
            self._ahead = b""
            if self._ram >= len(self._pending):
                return None
            text = self._pending[self._ram]
            _, _, _, kind, stamp, ident = struct.unpack(_RECORD, text[:_SIZE])
            text = text[_SIZE:]
        if kind > 1:
            clock = self._clock
            now = clock and clock.now()
            if now is not None and ident[:6] == self._prefix:
                stamp += now - clock.uptime_s()
            else:
                stamp = None
        found = hexlify(ident).decode(), text.decode(), stamp
        # From here on nothing needs memory: what is counted as handed out is handed out
        out += (pos, ident)
        if pos is None:
            self._ram += 1
        else:
            self._seen = ident
            self._next = pos
        return found

    def done(self):
        """The oldest text that is handed out has arrived."""
        if not self._out:
            return
        if len(self._out) >= 2 * self.max_out:
            self.filled.set()
        if self._out[0] is None:
            self._forget(1, 0)
        pos = self._out.pop(0)
        ident = self._out.pop(0)
        if pos > self._mark:  # else it was in RAM, or its segment is gone
            self._mark = pos
            self._mark_id = ident
            self._dirty = True
            self._work.set()

    def rewind(self):
        """Hand out again what has not arrived."""
        self._out = []  # of each that is handed out: position after it or None, id
        self._ram = 0  # the last of these, which are in RAM yet: the first of _pending
        self._next = self._mark
        self._seen = self._mark_id
        if self._pending or self._next < self._end:
            self.filled.set()

    def lost_id(self):
        """The id of what tells of the lost ones: the same until something else arrives."""
        return "lost-" + hexlify(self._mark_id).decode()

    def told(self, n):
        """That `n` texts were lost was reported."""
        self.lost = max(0, self.lost - n)
        self._dirty = True
        self._work.set()

    async def run(self):
        """Write batches in time, until cancelled. What waits then is left to flush()."""
        while True:
            await self._work.wait()
            await asyncio.sleep(self.batch_s)
            self._work.clear()
            self.flush()

    def flush(self):
        """Write now what waits: before a reset."""
        try:
            while self._write():
                pass
            self._failing = False
        except (OSError, MemoryError) as e:
            self.failures += 1
            self._work.set()
            if not self._failing:
                self._failing = True
                try:
                    self.log("outbox: flash: " + repr(e))
                except MemoryError:
                    pass

    def _write(self):
        # One append, and what goes before it; whether there is more to do
        segments = self._segments
        pending = self._pending
        first = self._mark >> 16
        if not pending and not self.lost and self._mark >= self._end:
            first = self._last + 1
            self._current = None
            self._dirty = False
        for s in segments[:]:
            if s[2] and s[0] < first:
                segments.remove(s)
                os.remove(self._path(s[0]))
        if not pending and not self._dirty:
            return False
        current = self._current or [self._last + 1, 0, True]
        n, at, _ = current
        reserve = self.batch_bytes + self.max_text + 64
        size = _SIZE + len(_HEAD)
        count = 0
        for record in pending:
            more = size + len(record)
            if count and (more > reserve or at + more > self.segment_bytes):
                break
            size = more
            count += 1
        if at and at + size > self.segment_bytes:
            self._current = None
            return True
        # Room is made by the oldest segment, which is removed after the state is written that says
        # how many were lost; for that there is always room for one more append
        kept = segments[:]
        while (
            kept
            and kept[0] is not current
            and (
                sum([s[1] for s in kept]) + size + reserve > self.max_bytes
                or not at
                and len(kept) >= self.max_bytes // self.segment_bytes
            )
        ):
            if not count:  # no text is given up only to note what has arrived: that can wait
                return False
            self._drop(kept.pop(0))
        data = b""
        if not at:
            data = _HEAD
            try:
                os.mkdir(self._folder)
            except OSError:  # it is there
                pass
        if self._dirty or not at:
            data += _record(3, self.lost, self._mark_id, b"")
        data += b"".join(pending[:count])
        self._current = None  # what a failed write leaves is not appended to
        with open(self._path(n), "ab" if at else "wb") as f:
            f.write(data)
            if hasattr(os, "fsync"):  # on boards closing a file does it
                f.flush()
                os.fsync(f.fileno())
        if not at:
            self._last = n
            segments.append(current)
        current[1] += len(data)
        self._current = current
        self._dirty = False
        if count:
            self._end = n << 16 | current[1]
            self._forget(count, self._end)
        return True

    def _forget(self, count, end):
        # The oldest that wait are in flash now and end there; with 0 they need not be
        pending = self._pending
        at = end - sum([len(r) for r in pending[:count]])
        for record in pending[:count]:
            at += len(record)
            if self._ram:
                self._next = max(self._next, at)
                self._out[-2 * self._ram] = end and at
                self._ram -= 1
        del pending[:count]
        self._moved.set()
        self._moved.clear()

    def _drop(self, s):
        # Give up a segment, the oldest
        n = s[0]
        end = (n + 1) << 16
        lost = self.lost
        if s[2]:
            for kind, _, ident, _, pos in self._records(self._mark):
                if pos >= end:
                    break
                if kind < 3:
                    self.lost += 1
                    self._mark_id = ident
        s[2] = True
        self._mark = max(self._mark, end)
        self._next = max(self._next, end)
        self._dirty = True
        self.log("outbox: {}: no room, {} lost".format(n, self.lost - lost))

    def _path(self, n):
        return "{}/{}".format(self._folder, n)

    def _read(self, n, offset, count):
        # Bytes of segment n, fewer at its end or where it cannot be read
        i = (n << 16 | offset) - self._at
        if i < 0 or i + count > len(self._ahead):
            i = 0
            self._at = n << 16 | offset
            self._ahead = b""
            try:
                with open(self._path(n), "rb") as f:
                    f.seek(offset)
                    self._ahead = f.read(max(count, self.read_ahead))
                self._unread = 0
            except OSError:
                self.failures += 1
                self._unread += 1
                if self._opened and self._unread <= self.max_unread:
                    raise
        return self._ahead[i : i + count]

    def _records(self, start):
        # The whole records from a position on: kind, stamp, id, body, position after it
        for n, size, ours in self._segments:
            at = max(0, start - (n << 16))
            if not ours or at > 0xFFFF:
                continue
            # What was passed over: 1 is what a power cut leaves at the end, 2 is damage
            gap = 0
            if not at:
                if self._read(n, 0, 8) == _HEAD:
                    at = 8
                else:
                    gap = 2
            while at < size:
                head = self._read(n, at, _SIZE)
                why = 2
                if head[:1] == b"\xff":
                    why = 1
                    if len(head) == _SIZE:
                        _, crc, end, kind, stamp, ident = struct.unpack(_RECORD, head)
                        end += at + _SIZE
                        if end <= size:
                            why = 2
                            head = self._read(n, at, end - at)
                            if crc32(head[5:]) == crc and len(head) == end - at:
                                if gap:
                                    self._damaged(n)
                                gap = 0
                                at = end
                                yield kind, stamp, ident, head[_SIZE:], n << 16 | at
                                continue
                gap = gap or why
                if not self._ahead:
                    break
                end = self._at & 0xFFFF
                at = self._ahead.find(b"\xff", at + 1 - end)
                at = end + (len(self._ahead) if at < 0 else at)
            if gap > 1:
                self._damaged(n)
            elif not gap:
                self._clean = n

    def _damaged(self, n):
        if n > self._hurt:
            self._hurt = n
            self.log("outbox: {}: damaged, the rest is kept".format(n))


def _record(kind, stamp, ident, body):
    body = struct.pack("<HBI10s", len(body), kind, int(stamp), ident) + body
    return b"\xff" + _sum(body) + body
