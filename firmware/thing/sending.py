"""What sends a File: loaded for one, and forgotten after it. The talk about it is for `sharing`,
which is not in memory while the bytes are on their way."""

import asyncio
import hashlib
import os

from .files import amount
from .memory import forget

#: The most bytes that are read, or taken out of a buffer, at once. What does not go out is copied.
PIECE = 256


async def run(files, file, to):
    """As Thing.share()."""
    source = Source(file.source)
    told = _load("thing.sharing", "who")(files.thing, to)
    if not told:
        return file.name + ": nobody is to be told"
    async with files.lock:
        for i in range(files.tries):
            if i:
                await asyncio.sleep(files.pause_s * 2 ** (i - 1))
            try:
                place, why = await _load("thing.sharing", "place")(files, source.size)
                if why:
                    break
                await _unload()
                place = await _load("uxmpp.xep.upload", "slot")(
                    files.thing.client, place, file.name, source.size, file.kind
                )
                await _unload()
                # Nobody else keeps the headers, which are long
                place = list(place)
                await _load("uxmpp.http", "put")(
                    place.pop(0),
                    place.pop(0),
                    source.size,
                    source.chunks,
                    file.kind,
                    **files.trust,
                )
                break
            except Exception as e:
                await _unload()
                _load("thing.sharing", "failed")(files, file, e, i)
        await _unload()
        if why:
            await _load("thing.streaming", "run")(files, file, source, to, why, _load, _unload)
        else:
            await _load("thing.sharing", "tell")(files, file, source, place[0], told)
    files.count += 1
    said = "{}, {}".format(file.name, amount(source.size))
    said += ", " + file.text if file.text else ""
    return said if why or told[0][1] else said + ": " + place[0]


def _load(module, name):
    # Not to be kept by anybody's local variable
    return getattr(__import__(module, None, None, (name,)), name)


async def _unload():
    # A coroutine that has ended is kept, with its module, until the next one ends
    await asyncio.sleep(0)
    # uxmpp.iq comes with the next question again
    for name in ("http", "xep.upload", "xep.sfs", "iq"):
        forget("uxmpp." + name)
    forget("sharing")


class Source:
    """The bytes of a File's `source`: `size`; `digest`, their SHA-256, when they were all read."""

    def __init__(self, source):
        if isinstance(source, str):
            self.size = os.stat(source)[6]
            self._pieces = lambda: _read(source)
        elif isinstance(source, tuple):
            self.size, self._pieces = source
        else:
            self._view = memoryview(source)
            self.size = len(self._view)
            if len(bytes(self._view[:1])) > 1:
                raise ValueError("its source has to be of bytes")
            self._pieces = None

    def chunks(self):
        """A new iterator. Raises ValueError where there is not as much as was said."""
        sha = hashlib.sha256()
        size = 0
        pieces = self._pieces
        for piece in pieces() if pieces else range(0, self.size, PIECE):
            if not pieces:
                piece = self._view[piece : piece + PIECE]
            size += len(piece)
            if size > self.size:
                break
            sha.update(piece)
            yield piece
        if size != self.size:
            raise ValueError("it is not {} bytes long, as was said".format(self.size))
        self.digest = sha.digest()


def _read(path):
    buffer = memoryview(bytearray(PIECE))
    with open(path, "rb") as f:
        while True:
            n = f.readinto(buffer)
            if not n:
                return
            yield buffer[:n]
