"""The Thing that `uxmpp run` gives to apps: it tells systemd how it is, and ends as a good client.

To be imported when the firmware can be.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from thing import Thing  # type: ignore[import-not-found]
from uxmpp.xml import Element  # type: ignore[import-not-found]

from . import machine
from .journal import WARNING, Lines
from .notify import notify, watchdog_ms

#: Seconds after which systemd is told that the service has started, though it is not online: the
#: device does its work without a server, too.
READY_S = 30.0
#: Seconds that saying goodbye may take, and the end as a whole.
GOODBYE_S = 2.5
END_S = 4.5

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _End(Element):  # type: ignore[misc]
    # What closes a stream, for the client's one writer
    def to_bytes(self, xmlns: str | None = None) -> bytes:
        return b"</stream:stream>"


class Agent(Thing):  # type: ignore[misc]
    """As Thing. SIGTERM, SIGINT and SIGHUP end run() and main(): contacts see the device go, the
    stream is closed, what is only in RAM is written."""

    #: Where its lines go, if their priority is to be known there.
    out: Lines | None = None

    def __init__(self, path: str = "device.json") -> None:
        super().__init__(path)
        self._ready = self._over = False
        self._status = "starting"
        client = self.client
        self._wrap(client, "on_online", self._tell_ready)
        self._wrap(client, "on_try", self._tell_offline)
        self._announce = self.access.announce
        self.access.announce = self._announced
        if watchdog_ms():
            self.guard.watchdog_ms = watchdog_ms()
        self._managed = notify("STATUS=starting")

    def log(self, text: str) -> None:
        """As Thing.log()."""
        self._say(WARNING if "; next try in " in text else None, super().log, text)

    def fault(self, name: str, e: BaseException) -> None:
        """As Thing.fault()."""
        self._say(WARNING, super().fault, name, e)

    def restart(self, why: str) -> None:
        """As Thing.restart(), where there is systemd, which starts it again; else go on."""
        if self._managed:
            super().restart(why)

    def _say(self, level: int | None, say: Callable[..., None], *args: object) -> None:
        out = self.out
        if out is None or level is None:
            return say(*args)
        before = out.level
        out.level = level
        try:
            say(*args)
        finally:
            out.level = before

    # What systemd is told

    def _wrap(self, client: Any, name: str, first: Callable[[], None]) -> None:
        then: Callable[[], Awaitable[None]] = getattr(client, name)

        async def both() -> None:
            first()
            await then()

        setattr(client, name, both)

    def _tell_ready(self) -> None:
        if not self._ready:
            self._ready = True
            notify("READY=1", f"STATUS={self._status}")

    def _tell_offline(self) -> None:
        if self.client.error:
            self._status = f"offline: {self.client.error}"
            notify(f"STATUS={self._status}")

    async def _announced(self, children: list[Any]) -> None:
        await self._announce(children)
        for el in children:
            if el.name == "status":
                self._status = el.text
                notify(f"STATUS={self._status}")

    # Its end

    async def main(self) -> None:
        """As Thing.main(), until there is a signal to end."""
        loop = asyncio.get_running_loop()
        machine.attach(loop.call_soon_threadsafe)
        ready = loop.call_later(READY_S, self._tell_ready)
        leave = asyncio.Event()
        run = self.client.run
        self.client.run = lambda: self._until(leave, run)

        def told(number: int, frame: FrameType | None) -> None:
            # The second one ends it at once
            for n in _SIGNALS:
                signal.signal(n, signal.SIG_DFL)
            notify("STOPPING=1")
            limit = threading.Timer(END_S, self._give_up)
            limit.daemon = True
            limit.start()
            loop.call_soon_threadsafe(leave.set)

        before = {}
        with suppress(ValueError):  # in another than the main thread there are no signals
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    before[number] = signal.signal(number, told)
        try:
            await super().main()
        finally:
            self._over = True
            for number, handler in before.items():
                if not leave.is_set():
                    signal.signal(number, handler)
            ready.cancel()
            machine.attach(None)

    async def _until(self, leave: asyncio.Event, run: Callable[[], Awaitable[None]]) -> None:
        going = asyncio.ensure_future(run())
        waiting = asyncio.create_task(leave.wait())
        try:
            await asyncio.wait((going, waiting), return_when=asyncio.FIRST_COMPLETED)
            if going.done():
                going.result()
                return
            self.log("ending")
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._goodbye()
        finally:
            going.cancel()
            waiting.cancel()
            await asyncio.gather(going, waiting, return_exceptions=True)

    async def _goodbye(self) -> None:
        """Have everybody see that it goes, and close the stream (RFC 6120 section 4.4)."""
        client = self.client
        if not client.online:
            return
        arrived, closed = asyncio.Event(), asyncio.Event()
        await client.send(Element("presence", None, {"type": "unavailable"}), arrived.set)
        if client.acks():
            await arrived.wait()
        if not client.sm.queue:
            client.sm.on = False  # nothing may follow: no question whether it has arrived
        # The one line that still comes tells that the server has closed it, too
        client.log = lambda text: closed.set()
        await client.send(_End("end"))
        await closed.wait()

    def _give_up(self) -> None:
        # In a thread: something blocks the loop, or, after it, the interpreter's end
        with suppress(Exception):
            if not self._over:
                self.log(f"not ended within {END_S} s: a function of the app blocks")
                self.flush()
        machine.let_go()
        os._exit(0 if self._over else 1)
