"""The way of a bundle to devices, as one of their owners: by the server's upload service, from an
address where it is already, or in-band; until each device says which version it runs.

The device does the work (firmware/thing/updating.py) and tells of it in chat; here it is asked,
fed, and listened to. This side keeps nothing: what a device has of a bundle it knows itself, and
goes on from there when it is asked again.
"""

import asyncio
import hashlib
import re
import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal

from ..provision.device_file import firmware
from ..provision.session import said
from . import bundle
from .errors import SendError
from .owner import Login, Owner

KIND = "application/octet-stream"

_VERSION = r"(\d+(?:\.\d+){0,3})"
# What a device says: the protocol between the two is in docs/updates.md
_RUNNING = re.compile(rf"^running {_VERSION} of (\S+) on (\S+), slot \S+(.*)$", re.M)
_CONFIRMED = re.compile(rf"^running {_VERSION} \(was [^)]*\)", re.M)
_RESUME = re.compile(r"\bresume ([0-9a-f]{64}) (\d{1,9})\b")
_COMING = re.compile(rf"^{_VERSION} is being received: (\d+) of (\d+) bytes", re.M)
_BEGINS = re.compile(r"^an update begins", re.M)
_OTHER = re.compile(rf"^the other slot has {_VERSION}$", re.M)
_PART = re.compile(rf"^update {_VERSION}: (\d+) %", re.M)
_INSTALLED = re.compile(rf"^update {_VERSION}: installed\b", re.M)
_REFUSED = re.compile(r"^update refused: (.*)", re.M)
_BROKEN = re.compile(r"^update broken off: (.*)", re.M)
_BACK = re.compile(rf"^{_VERSION} (did not .*: \S+ is back)", re.M)
# What is no answer; the last is what it says of a line that a cut had kept back
_PATIENCE = re.compile(r": I am at it\.$|^update: I fetch it|^I was away when you wrote: ")

Way = Literal["auto", "in-band"]


class _Broken(Exception):  # noqa: N818 - it is tried again
    """A transfer that ended before its time and may be gone on with."""


class Report:
    """Who is told how far it is; nobody, unless these are overridden."""

    def say(self, device: str, text: str) -> None:
        """A line about a device (a bare JID), "" for all of them."""

    def at(self, device: str, done: int, total: int) -> None:
        """A device has so much of the bundle, in whatever unit."""

    def ended(self, device: str, how: str | SendError) -> None:
        """A device is done: as send() returns it."""


class Shipment:
    """A bundle that is sent: its bytes, and how it gets to each device. `url`: where it is
    already; `way`: "in-band" where it is not to be uploaded."""

    #: The most bytes of a block of a bytestream: as many as a device takes.
    block = 1024
    #: How often it is begun, or gone on with, by itself.
    tries = 3

    def __init__(
        self,
        data: bytes,
        found: bundle.Bundle,
        owner: Owner,
        report: Report,
        *,
        name: str = "update.uxb",
        url: str | None = None,
        way: Way = "auto",
    ) -> None:
        self.data = data
        self.version = found.manifest.version
        self.owner = owner
        self.report = report
        at = len(bundle.MAGIC)
        (length,) = struct.unpack(">I", data[at : at + 4])
        #: SHA-256 of the manifest, by which a device knows what it has a part of.
        self.digest = hashlib.sha256(data[at + 4 : at + 4 + length]).hexdigest()
        self.stem = re.sub(r"[^A-Za-z0-9_.-]", "_", name.removesuffix(bundle.SUFFIX))[:60]
        self._url = url
        self._lock = asyncio.Lock()
        self._in_band = way == "in-band"

    async def url(self) -> str | None:
        """Return where devices may fetch it, uploaded with the first question; None: in-band."""
        async with self._lock:
            if not self._in_band and not self._url:
                self._url, why = await self._upload()
                if not self._url:
                    self._in_band = True
                    self.report.say("", f"in-band, which is slower: {why}")
            return self._url

    async def _upload(self) -> tuple[str | None, str]:
        # (URL, "") or (None, why)
        upload = firmware("uxmpp.xep.upload")
        client, place, size = self.owner.client, self.owner.login.place, len(self.data)
        try:
            found = await upload.find(client)
            if not found:
                return None, "the server has no place for files (XEP-0363)"
            service, most = found
            if most is not None and size > most:
                return None, f"it has {size} bytes, and the server takes {most} at most"
            name = self.stem + bundle.SUFFIX
            put, headers, get = await upload.slot(client, service, name, size, KIND)
            await firmware("uxmpp.http").put(
                put, headers, size, self._pieces, KIND, place.ca, place.pin, place.nameserver
            )
        except firmware("uxmpp.client").StanzaError as e:
            return None, f"the server takes no file: {said(e.text or e.condition)}"
        except (OSError, ValueError) as e:
            return None, f"the upload failed: {said(str(e) or repr(e))}"
        return get, ""

    def _pieces(self) -> Iterator[bytes]:
        for at in range(0, len(self.data), 4096):
            yield self.data[at : at + 4096]


class Target:
    """A device that is to run another version; `jid`: its bare JID."""

    #: Seconds until a device has to be seen, and until it answers a question.
    online_s = 30.0
    answer_s = 20.0
    #: Seconds in which it says why it has ended a bytestream.
    words_s = 5.0
    #: It is asked how far it is when it said nothing for so many seconds, and given up when it
    #: was silent for so many of those.
    quiet_s = 15.0
    max_quiet = 6
    #: Seconds from the restart to the new version's login, or to the old one's after three boots
    #: without.
    return_s = 900.0
    #: Seconds from the word that it is installed in which the device restarts.
    settled_s = 10.0
    #: Seconds between two presences to a device that is not there, and between two questions
    #: whether it is sure of the new version; and between those to one that did not come back.
    show_s = 3.0
    away_s = 60.0
    #: Seconds that a bytestream may be refused because the device is not ready for it.
    open_s = 10.0

    def __init__(self, shipment: Shipment, jid: str) -> None:
        self.jid = jid
        self._shipment = shipment
        self._owner = shipment.owner
        self._full: str | None = None
        self._moved = asyncio.Event()
        # Whether there was a presence, an answer to `update`, any line, since they were cleared
        self._came = self._told = self._spoke = False
        self._streaming = False
        self._forget()

    def _forget(self) -> None:
        # What was said of the last transfer
        self.version = ""
        self._trial = False
        self._resume: tuple[str, int] | None = None
        self._coming = self._installed = self._confirmed = self._beside = False
        self._refused: str | None = None
        self._broken: str | None = None
        self._back: str | None = None
        self._other: str | None = None

    def heard(self, full: str, text: str) -> None:
        """Take a message of the device."""
        new = self._shipment.version
        self._spoke = True
        report = self._shipment.report
        if m := _RUNNING.search(text):
            self._told = True
            self._full = full
            self.version, self._trial = m[1], "trial" in m[4]
            resume = _RESUME.search(text)
            self._resume = (resume[1], int(resume[2])) if resume else None
            self._coming = bool(_BEGINS.search(text))
            other = _OTHER.search(text)
            self._beside = bool(other and _same(other[1], new))
        elif m := _CONFIRMED.search(text):
            self._confirmed = _same(m[1], new)
        elif _INSTALLED.search(text):
            self._installed = True
            report.say(self.jid, said(text))
        elif m := _PART.search(text):
            self._at(int(m[2]), 100)
        elif m := _REFUSED.search(text):
            self._refused = said(m[1])
        elif m := _BROKEN.search(text):
            self._broken = said(m[1])
        elif not (_PATIENCE.search(text) or _BACK.search(text)):
            self._other = said(text)
        if m := _COMING.search(text):
            self._coming = True  # as of this answer
            self._at(int(m[2]), int(m[3]))
        if (m := _BACK.search(text)) and _same(m[1], new):
            self._back = said(m[0])
        self._moved.set()

    def _at(self, done: int, total: int) -> None:
        # Of what is sent in-band this side knows more
        if not self._streaming:
            self._shipment.report.at(self.jid, done, total)

    def seen(self, full: str, there: bool) -> None:
        """Take a presence of the device."""
        if there:
            self._full = full
            self._came = True
        elif full == self._full:
            self._full = None
        self._moved.set()

    async def update(self) -> str:
        """Have the device run the new version; the version it ran before, or "" where it was the
        new one. Raises SendError."""
        new = self._shipment.version
        await self._ask()
        before = self.version
        if _same(before, new):
            await self._confirm(restart=False)
            return ""
        for left in reversed(range(self._shipment.tries)):
            try:
                await self._transfer()
                break
            except _Broken as e:
                why = str(e)
            if not left:
                raise self._error(f"broken off: {why}; run it again to go on")
            self._shipment.report.say(self.jid, f"broken off: {why}; going on")
            await self._ask()
            if _same(self.version, new):  # its last words were not heard
                break
        await self._confirm(restart=not _same(self.version, new))
        return before

    async def _until(self, true: Callable[[], object], limit: float) -> bool:
        """Wait until `true()`, which is asked whenever something came; whether it was so in
        `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                while not true():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return bool(true())
        return True

    async def _there(self, limit: float) -> bool:
        """Wait for the device to be online; whether it was in `limit` seconds."""
        end = asyncio.get_running_loop().time() + limit
        while not self._full:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            # It may not know that we are here: directed presence is kept nowhere
            await self._owner.show(self.jid)
            await self._until(lambda: self._full, min(self.show_s, left))
        return True

    async def _say(self, text: str, *children: Any) -> None:
        # To the full JID: what goes to the bare one waits for a device that is away
        with suppress(OSError):  # our own line is cut: it is asked again
            if self._full:
                await self._owner.say(self._full, text, *children)

    async def _ask(self) -> None:
        """Have the device tell its state. Raises SendError."""
        if not await self._there(self.online_s):
            raise self._error(
                f"is not online, or {self._owner.client.account} is not one of its owners"
            )
        for _ in range(2):
            self._forget()
            await self._question(lambda: self._told or self._refused or self._other)
            if self._told:
                return
            if self._refused or self._other:
                raise self._error(f"says: {self._refused or self._other}")
            # It may have logged in anew in the meantime
            if not await self._there(self.online_s):
                break
        raise self._error("does not answer: is it asleep?")

    async def _question(self, true: Callable[[], object]) -> None:
        """Ask for the state, and wait for `true()`; `_told` says whether it was answered."""
        self._told = False
        await self._say("update")
        await self._until(true, self.answer_s)

    async def _transfer(self) -> None:
        """Have the device take the bundle, or what it has not of it. Raises SendError where it
        refuses, _Broken."""
        url = await self._shipment.url()
        resume = self._resume
        self._resume = self._other = self._back = None
        if url:
            await self._say(f"update {url}")
            await self._wait()
        else:
            offset = resume[1] if resume and resume[0] == self._shipment.digest else 0
            await self._stream(offset)

    async def _wait(self) -> None:
        # Until the device says how the transfer ended
        quiet = 0
        while not self._ended():
            self._spoke = False
            if await self._until(lambda: self._spoke or self._ended(), self.quiet_s):
                quiet = 0
                continue
            quiet += 1
            if quiet > self.max_quiet:
                raise _Broken("the device is silent")
            # Whether it is still at it: a line that was lost does not come again
            if await self._there(self.quiet_s):
                await self._question(lambda: self._told or self._ended())
                if self._told and not (self._coming or self._ended()):
                    raise _Broken("it has stopped")

    def _ended(self) -> bool:
        # Raises where it did not end well
        if self._refused is not None:
            raise self._error(f"update refused: {self._refused}")
        if self._other is not None:
            raise self._error(f"says: {self._other}")
        if self._broken is not None:
            raise _Broken(self._broken.removesuffix("; what has arrived is kept"))
        return self._installed or self._confirmed or _same(self.version, self._shipment.version)

    async def _stream(self, offset: int) -> None:
        # In-band: an announcement (XEP-0447), then the bytes (XEP-0047)
        element = firmware("uxmpp.xep.sfs").element
        refused = firmware("uxmpp.client").StanzaError
        send = firmware("uxmpp.xep.ibb").send
        shipment, to = self._shipment, self._full
        if not to:
            raise _Broken("it is not online")
        total = len(shipment.data)
        size = total - offset
        sid = secrets.token_hex(8)
        name = f"{shipment.stem}{f'+{offset}' if offset else ''}{bundle.SUFFIX}"
        if offset:
            shipment.report.say(self.jid, f"goes on at byte {offset} of {total}")
        at = offset

        def pieces() -> Iterator[bytes]:
            nonlocal at
            while at < total:
                shipment.report.at(self.jid, at, total)
                piece = shipment.data[at : at + shipment.block]
                at += len(piece)
                yield piece

        self._streaming = True
        await self._say(name, element(name, KIND, size, None, id=sid))
        sending = asyncio.create_task(self._opened(send, refused, to, sid, size, pieces))
        waiting = asyncio.create_task(self._wait())
        gone = asyncio.create_task(self._until(lambda: self._full != to, self.return_s))
        tasks = (sending, waiting, gone)
        try:
            # A refusal comes in the middle: nobody waits for the last byte then
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not sending.exception() and not waiting.done():
                await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done() and not gone.done():
                # Its words come with the end of the stream, or not at all
                await asyncio.wait((waiting,), timeout=self.words_s)
            if waiting.done() or self._ended():
                await waiting
                return
            why = sending.exception() if sending.done() else None
            raise _Broken(said(str(why)) if why else "it is not online any more")
        finally:
            self._streaming = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _opened(
        self,
        send: Any,
        refused: type[Any],
        to: str,
        sid: str,
        size: int,
        pieces: Callable[[], Iterator[bytes]],
    ) -> None:
        # The device listens a moment after it has read the announcement
        begun = False

        def chunks() -> Iterator[bytes]:
            nonlocal begun
            begun = True
            yield from pieces()

        end = asyncio.get_running_loop().time() + self.open_s
        while True:
            try:
                await send(self._owner.client, to, sid, size, chunks, self._shipment.block)
                return
            except refused as e:
                if begun or asyncio.get_running_loop().time() > end:
                    raise OSError(e.text or e.condition) from None
            await asyncio.sleep(0.2)

    async def _confirm(self, restart: bool) -> None:
        """Wait until the device has the new version for good, after its `restart` or the one there
        was. Raises SendError."""
        new = self._shipment.version
        end = asyncio.get_running_loop().time() + self.return_s
        if not restart and not self._trial:
            return
        pause = self.away_s if restart else 0.0
        self._came = False
        surely = asyncio.get_running_loop().time() + self.settled_s
        while not self._confirmed:
            if self._back:
                raise self._error(self._back)
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                runs = f", runs {self.version}" if self.version else ""
                raise self._error(f"did not confirm {new} in {self.return_s:g} s{runs}")
            # Asked while it is away, it would answer when nobody waits for it
            await self._until(lambda: self._came or self._done(), min(pause, left))
            self._came = False
            pause = self.away_s
            if self._full and not self._done():
                await self._question(lambda: self._told or self._came or self._done())
                if self._told and _same(self.version, new):
                    if not self._trial:
                        return
                    pause = self.show_s
                elif self._told:
                    # Before its restart, or given up
                    if self._beside and asyncio.get_running_loop().time() > surely:
                        raise self._error(f"{new} was given up: it runs {self.version}")
                    pause = self.show_s

    def _done(self) -> bool:
        return bool(self._confirmed or self._back)

    def _error(self, text: str) -> SendError:
        return SendError(f"{self.jid}: {text}")


def _same(one: str, other: str) -> bool:
    try:
        return bundle.version(one) == bundle.version(other)
    except bundle.BundleError:
        return False


async def send(
    shipment: Callable[[Owner], Shipment],
    devices: Sequence[str],
    login: Login,
    report: Report,
    *,
    jobs: int = 4,
    online_s: float = Target.online_s,
) -> dict[str, str | SendError]:
    """Send a bundle to devices (bare JIDs), `jobs` at a time, waiting `online_s` for one that is
    away; return by device the version it ran before, "" where it ran the new one already, or why
    it does not. `shipment`: makes the Shipment in the session. Raises SendError where there is no
    session."""
    owner = Owner(login)
    owner.devices = set(devices)
    made = shipment(owner)
    targets = {jid: Target(made, jid) for jid in devices}
    for target in targets.values():
        target.online_s = online_s
    owner.on_text = lambda full, text: targets[full.partition("/")[0]].heard(full, text)
    owner.on_presence = lambda full, there: targets[full.partition("/")[0]].seen(full, there)
    places = asyncio.Semaphore(jobs)
    ended: dict[str, str | SendError] = {}

    async def one(target: Target) -> None:
        async with places:
            try:
                ended[target.jid] = await target.update()
            except SendError as e:
                ended[target.jid] = e
            report.ended(target.jid, ended[target.jid])

    async with owner, asyncio.TaskGroup() as group:
        for target in targets.values():
            group.create_task(one(target))
    return {jid: ended[jid] for jid in devices}
