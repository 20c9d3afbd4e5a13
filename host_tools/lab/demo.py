"""The whole job on one machine: a server, a device, and the terminal as its owner's chat."""

import asyncio
import contextlib
import math
import re
import sys
import threading
from collections.abc import Callable

from .device import BOARD_HEAP, Device, Runtime
from .errors import LabError, LabTimeout
from .lab import Lab
from .owner import Message, Owner, Presence

DEVICE = "greenhouse"
ANSWER_LIMIT_S = 15.0
CHECK_S = 0.2

# What is said with --once, and the pattern that the whole answer must fit
_CONVERSATION = (
    ("help", r"\*temperature\*: .*\n\*relay\*: on or off\n\*blink\* .*\nAlso: status, .*"),
    ("temperature", r"temperature: \d+(\.\d+)? °C"),
    ("Humidity?", r"humidity: \d+(\.\d+)? %"),
    ("relay", r"relay: off"),
    ("relay on", r"relay: on"),
    ("relay sideways", r"relay: must be on or off, not sideways"),
    ("blink 2", r"blink: 2 times"),
    ("status", r"\*temperature\*: .*\*humidity\*: .*\*relay\*: on, since .*\nup .*"),
    ("open the door", r"I do not know open\. Try help\."),
)

Show = Callable[[str, str], None]


def readings(count: int) -> list[tuple[float, float]]:
    """A warm day in `count` measurements, (°C, %): up to the afternoon and down again."""
    day = [math.sin(2 * math.pi * i / count) for i in range(count)]
    return [(round(21.5 + 6 * s, 1), round(45 - 10 * s, 1)) for s in day]


async def run(
    show: Show, *, once: bool = False, runtime: Runtime = "32", heap: str = BOARD_HEAP
) -> bool:
    """Start all, show what the owner sees by `show(who, text)`, and send what is typed; with
    `once`, hold a fixed conversation instead. Returns whether every answer came as it should.
    Ends when the input does. Raises LabError."""
    with Lab(accounts={"owner": "owner's password", DEVICE: "device's password"}) as lab:
        device = Device(
            lab.device_config(DEVICE, owners=["owner"]),
            folder=lab.folder / DEVICE,
            runtime=runtime,
            heap=heap,
            readings=readings(60 if once else 120),
            files=[lab.ca_der],
        )
        what = "CPython" if runtime == "cpython" else f"{runtime}-bit MicroPython, {heap} heap"
        show("", f"server: Prosody, {lab.domain}, {lab.server.host}:{lab.server.c2s_port}")
        show("", f"device: {DEVICE} on {what}, TLS verified against the lab's own CA")
        server = lab.server
        async with Owner(
            lab.jid("owner"), lab.accounts["owner"], server.host, server.c2s_port, lab.ca_pem
        ) as owner:
            with device:
                talk = asyncio.create_task(_talk(show, owner, device, lab.jid(DEVICE), once))
                try:
                    while not talk.done():
                        device.check()
                        await asyncio.wait({talk}, timeout=CHECK_S)
                    return talk.result()
                except LabTimeout as e:
                    raise LabError(f"{e} (the device said: {device.child.tail()})") from e
                finally:
                    talk.cancel()


async def _talk(show: Show, owner: Owner, device: Device, jid: str, once: bool) -> bool:
    first = await owner.next_message(jid, ANSWER_LIMIT_S)
    await owner.subscribe(jid)
    presence = await owner.presence(
        jid, lambda p: p.type == "available" and "no reading" not in p.status, ANSWER_LIMIT_S
    )
    show(DEVICE, f"[online] {presence.status}")
    show(DEVICE, first.body)
    if not once:
        await _chat(show, owner, presence)
        return True
    good = re.fullmatch(r"temperature: .* °C\nhumidity: .* %", first.body) is not None
    for text, pattern in _CONVERSATION:
        show("you", text)
        await owner.say(jid, text)
        while not _answers(said := await owner.next_message(jid, ANSWER_LIMIT_S)):
            show(DEVICE, said.body)
        show(DEVICE, said.body)
        if not re.fullmatch(pattern, said.body, re.DOTALL):
            show("", f"that is not what was expected: {pattern}")
            good = False
    # The readings move on by themselves, and the next report says so
    report = await owner.next_message(jid, ANSWER_LIMIT_S)
    show(DEVICE, report.body)
    if "temperature: " not in report.body:
        show("", "that is not a report of the temperature")
        good = False
    return good


def _answers(message: Message) -> bool:
    """Whether it is an answer, and nothing that the device says by itself."""
    # Reports are for the person, wherever they are; and what takes long says so before
    there = message.xml.get("to", "")
    return "/" in there and not message.body.endswith(": I am at it.")


async def _chat(show: Show, owner: Owner, first: Presence) -> None:
    show("", "type help, or end with Ctrl-C")
    jid = first.jid.partition("/")[0]
    shown = {first.jid: (first.type, first.status)}
    heard = asyncio.Event()

    async def listen() -> None:
        while True:
            message = await owner.next_message(jid, math.inf)
            show(DEVICE, message.body)
            if _answers(message):
                heard.set()

    async def watch() -> None:
        while True:
            presence = await owner.presence(
                jid, lambda p: "/" in p.jid and shown.get(p.jid) != (p.type, p.status), math.inf
            )
            shown[presence.jid] = (presence.type, presence.status)
            state = "online" if presence.type == "available" else "offline"
            show(DEVICE, f"[{state}] {presence.status}")

    tasks = [asyncio.create_task(listen()), asyncio.create_task(watch())]
    try:
        typed = _typed()
        while (line := await typed.get()) is not None:
            if text := line.strip():
                heard.clear()
                await owner.say(jid, text)
                if sys.stdin.isatty():
                    continue
                # Input from a file must not end before the answers have come
                await asyncio.wait_for(heard.wait(), ANSWER_LIMIT_S)
    except TimeoutError:
        raise LabTimeout(f"{jid} gave no answer within {ANSWER_LIMIT_S:g} s") from None
    finally:
        for task in tasks:
            task.cancel()


def _typed() -> "asyncio.Queue[str | None]":
    # A thread, for files, pipes and terminals alike; it may wait for a line when all else ends
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def put(line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lines.put_nowait, line)

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in sys.stdin or ():
                put(line)
        put(None)

    threading.Thread(target=read, name="typed", daemon=True).start()
    return lines
