"""A board that is not there, at its real interfaces: a flash in a file, a serial line that real
tools open, and behind it a bootloader or a 32-bit MicroPython that has the board's memory and
boots from the littlefs in that flash."""

import json
import math
import os
import re
import select
import signal
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from ..flash import bytecode, image, partitions, uf2
from ..flash.boards import Board
from ..flash.mpy import LIBRARY_OPT
from . import micropython, standin
from .control import Control
from .errors import LabError, LabTimeout
from .flash_file import FlashFile
from .interpreter import Held, Interpreter, Nobody
from .part import Part
from .process import POLL_S
from .rom import RomLoader, boot_error
from .rp2_drive import BootDrive
from .serial_line import Kind, SerialLine

State = Literal["off", "runs", "asleep", "bootloader", "no firmware"]
#: How a flash write ends at which the power fails: see simulated/vm/flash.py.
HOW = ("before", "half", "after")
WAIT_LIMIT_S = 30.0
#: How often somebody who waits for the board's thread sees whether it is there, seconds.
ALIVE_S = 1.0

_T = TypeVar("_T")

_SIMULATED = Path(__file__).parent / "simulated"
# What the interpreter ends with: see simulated/power.py
_RESET, _SLEEP, _SOFT, _RAW, _LOADER = 3, 4, 5, 6, 7
# As machine.reset_cause() has them: see simulated/board.py
_POWER_ON, _HARD, _WATCHDOG, _WOKEN, _SOFTLY = 1, 2, 3, 4, 5
_PROMPTS = (">>> ", "... ")
_COUNTERS = struct.Struct("<3I")
_BOOTING = (
    "import os,sys,vfs\n"
    "flash=open({flash!r},'r+b',0)\n"
    "maps=open('/proc/self/maps')\n"
    "os.umount('/')\n"
    "vfs.mount(vfs.VfsPosix({folder!r}),'/sim')\n"
    "sys.path[:]={path!r}\n"
    "import vm.stack\n"
    "vm.stack.deepen(maps)\n"
    "maps.close()\n"
    "del sys.modules['vm.stack'],vm.stack\n"
    "import vm.start\n"
    "vm.start.begin(flash,globals())\n"
)
_ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa",
    "xtensawin", "rv32imc",
)  # fmt: skip
_BANNERS = {
    "esp32": ("ets Jul 29 2019 12:21:46\r\n\r\n", "boot:0x13 (SPI_FAST_FLASH_BOOT)"),
    "esp32s3": (
        "ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\n",
        "boot:0x8 (SPI_FAST_FLASH_BOOT)",
    ),
    "esp32c3": (
        "ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\n",
        "boot:0xc (SPI_FAST_FLASH_BOOT)",
    ),
}
_CAUSES = {
    _POWER_ON: ("0x1 (POWERON_RESET)", "0x1 (POWERON)"),
    _HARD: ("0xc (SW_CPU_RESET)", "0xc (RTC_SW_CPU_RST)"),
    _WATCHDOG: ("0x8 (TG1WDT_SYS_RESET)", "0x8 (TG1WDT_SYS_RST)"),
    _WOKEN: ("0x5 (DEEPSLEEP_RESET)", "0x5 (DSLEEP)"),
}


class VirtualBoard(Part):
    """A `board` whose flash and state are in `folder`, which is made, or used as it is.

    `heap`: bytes for its program, else what the board has. `wifi` scripts its WiFi and `clock` its
    clock (see simulated/wifi and simulated/clock), `sensors` are values as for set(), `chips` what
    is soldered to its buses (simulated/bus.py), `second_ms` how long a second of deep sleep takes.
    `kind` and `baud` are those of its SerialLine. `tell` is called with all that it says:
    ("serial", bytes) and ("hardware", the text of a line), in the board's own thread.

    start() switches the power on. Raises LabError.
    """

    #: What stands in for the hardware takes so much of the heap; a program gets it on top.
    OVERHEAD = 24 * 1024
    #: The most bytes that are kept of what it said; then the older half goes.
    MAX_CONSOLE = 2 * 1024 * 1024
    #: The most lines that are kept of what its hardware did.
    MAX_EVENTS = 10_000

    def __init__(
        self,
        board: Board,
        folder: Path,
        *,
        heap: int | None = None,
        wifi: Mapping[str, Any] | None = None,
        sensors: Mapping[str, Any] | None = None,
        chips: Mapping[str, Mapping[str, Any]] | None = None,
        clock: str | None = None,
        second_ms: int = 1000,
        kind: Kind = "pty",
        baud: int | None = None,
        follows: bool = False,
        tell: Callable[[str, bytes | str], None] | None = None,
    ) -> None:
        if board.port not in ("esp32", "rp2"):
            raise LabError(f"{board.name}: {board.port} boards cannot be simulated")
        self.board = board
        self.folder = folder
        self.heap = heap or board.heap
        self.boots = 0
        #: The folder that the bootloader of an RP2 shows as a drive, while it does.
        self.drive = folder / "drive"
        self.control = Control(
            folder / "control", board, wifi, sensors, chips, clock=clock, second_ms=second_ms
        )
        self.flash = FlashFile(folder / "flash.bin", board.flash_size)
        self.line = SerialLine(kind, baud=baud, follows=follows, on_reset=self._reset_by_line)
        self.loader = RomLoader(board.chip, self.flash, self._left_loader) if board.chip else None
        self._tell = tell
        self._state: State = "off"
        self._why_off = "it was not switched on"
        self._vm: Interpreter | None = None
        self._drive: BootDrive | None = None
        self._wakes_at = 0.0
        self._woken_by = "timer"
        self._said = bytearray()
        self._forgotten = 0  # bytes of what it said
        self._booted_at = 0
        self._events: deque[str] = deque(maxlen=self.MAX_EVENTS)
        self._jobs: deque[tuple[Callable[[], None], Future[None] | None]] = deque()
        self._thread: threading.Thread | None = None
        self._wake: int = -1
        self._waker: int = -1
        self._ends = False

    def install(self, files: Mapping[str, bytes], firmware: bytes | None = None) -> None:
        """Fill the flash at once, as it leaves a factory: `firmware` (as it is published), else a
        stand-in, and a file system with `files` by path. Raises LabError, ImageError."""
        board = self.board
        firmware = standin.firmware(board) if firmware is None else firmware
        self.flash.erase()
        if board.port == "rp2":
            assert board.uf2_family is not None
            blocks = uf2.of_family(uf2.read(firmware), board.uf2_family)
            at, firmware = min(b.at for b in blocks) - uf2.XIP, uf2.memory(blocks)
        else:
            assert board.firmware_offset is not None
            at = board.firmware_offset
        self.flash.write(at, firmware)
        at, size = self._region()
        self.flash.write(at, image.build(board, files, fs_size=size))

    # What is done to it

    def start(self) -> Self:
        """Open the serial line, and switch the power on."""
        self.open()
        try:
            self.power_on()
        except BaseException:
            self.close()
            raise
        return self

    def open(self) -> None:
        """Open the serial line, with the power off."""
        if self._thread is None:
            bytecode.tree(_SIMULATED, self.control.folder / "modules", opt=LIBRARY_OPT)
            micropython.find(32)
            self.line.start()
            self._wake, self._waker = os.pipe()
            self._ends = False
            self._thread = threading.Thread(target=self._work, name="virtual board", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Switch it off, and close its line; the folder stays."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # First: the thread may be waiting to write to a client
        self.line.unplug()
        self._ends = True
        os.write(self._waker, b"!")
        thread.join()
        self.line.close()
        os.close(self._wake)
        os.close(self._waker)

    def power_on(self) -> None:
        """Switch the power on; without effect where it is."""
        self._do(lambda: self._boot(_POWER_ON) if self._state == "off" else None)

    def power_off(self) -> None:
        """Switch the power off, at once."""
        self._do(lambda: self._stop("it was switched off"))

    def power_cut(self, after: int = 1, how: str = "before") -> None:
        """Have the power fail at the `after`th write to flash from now on that its program causes
        (1 is the next; erasing a block is one): `how` says whether before it, half way through its
        bytes or after it. power_on() brings it back."""
        if after < 1 or how not in HOW:
            raise LabError(f"power cut at write {after}, {how!r}: must be 1 or more, {HOW}")
        writes = self.writes
        with self._counters.open("r+b") as f:
            f.seek(4)
            f.write(struct.pack("<2I", writes + after, HOW.index(how)))

    def press_reset(self) -> None:
        """Press the reset button: from the bootloader, too."""
        self._do(self._reset)

    def hold_boot(self) -> None:
        """Reset it with the BOOT (BOOTSEL) button held: an ESP32's loader then answers on the
        line, an RP2's shows `drive`, takes a UF2 and starts."""
        self._do(self._into_loader)

    def unplug(self) -> None:
        """Pull the USB cable, and with it the power."""
        self.power_off()
        self.line.unplug()

    def plug(self) -> None:
        """Plug it in again."""
        self.line.plug()
        self.power_on()

    def wake(self, why: Literal["timer", "pin", "touch"] = "pin") -> None:
        """End its deep sleep, or the one that begins. Raises LabTimeout."""

        def woken() -> None:
            self._woken_by = why
            self._wakes_at = 0.0

        self._until(lambda: self._state == "asleep", "deep sleep", WAIT_LIMIT_S)
        self._do(woken)

    def set(self, name: str, value: Any) -> None:
        """Set what is measured, or what its hardware does: `control.NAMES` has them. Raises
        ControlError."""
        self.control.set(name, value)

    # What it says

    @property
    def port(self) -> str:
        """What tools open: the path of a pty, or a URL of pyserial's."""
        return self.line.port

    @property
    def state(self) -> State:
        """What it is at."""
        return self._state

    @property
    def writes(self) -> int:
        """How often its program wrote to the flash, erasing a block included, since ever."""
        return int(_COUNTERS.unpack(self._counters.read_bytes())[0])

    def console(self) -> str:
        """All that came over the serial line so far, MAX_CONSOLE at most."""
        return bytes(self._said).decode(errors="replace")

    def mark(self) -> int:
        """A place in what it says, for wait_for_line: now."""
        return self._forgotten + len(self._said)

    def wait_for_line(
        self, pattern: str, limit: float = WAIT_LIMIT_S, *, since: int | None = None
    ) -> re.Match[str]:
        """Wait for a line on the console in which the regular expression `pattern` is found; the
        match in the first such line since it booted last, or since a mark(). Only whole lines
        count, and the prompt. Raises LabTimeout, and LabError once it is off."""

        def found() -> re.Match[str] | None:
            begin = self._booted_at if since is None else since
            said = bytes(self._said[max(0, begin - self._forgotten) :]).decode(errors="replace")
            *lines, last = said.replace("\r", "").split("\n")
            if last in _PROMPTS:
                lines.append(last)
            return next((m for m in (re.search(pattern, line) for line in lines) if m), None)

        return self._until(found, f"line with {pattern!r}", limit)

    def events(self) -> list[str]:
        """What its hardware did: "pin 5: 1", "wifi: connected", "reset" ..."""
        return list(self._events)

    def wait_for_event(self, pattern: str, limit: float = WAIT_LIMIT_S) -> re.Match[str]:
        """Wait for one of events() in which `pattern` is found; its first match."""

        def found() -> re.Match[str] | None:
            return next((m for m in (re.search(pattern, e) for e in self.events()) if m), None)

        return self._until(found, f"event with {pattern!r}", limit)

    def wait_for_state(self, state: State, limit: float = WAIT_LIMIT_S) -> None:
        """Wait until it is "off" (after a power cut), "asleep" or what else there is."""
        self._until(lambda: self._state == state, state, limit)

    def _until(self, found: Callable[[], _T | None], what: str, limit: float) -> _T:
        end = time.monotonic() + limit
        while True:
            off = self._state == "off"
            result = found()
            if result:
                return result
            tail = " | ".join([s.strip() for s in self.console().splitlines() if s.strip()][-4:])
            if off:
                raise LabError(f"{self.board.name}: no {what}: {self._why_off}: {tail}")
            if time.monotonic() > end:
                raise LabTimeout(f"{self.board.name}: no {what} within {limit:g} s: {tail}")
            time.sleep(POLL_S)

    # In its own thread

    def _do(self, job: Callable[[], None]) -> None:
        """Have the board's thread do it, and wait until it has."""
        if threading.current_thread() is self._thread:
            job()
            return
        thread = self._thread
        if thread is None:
            raise LabError(f"{self.board.name}: the virtual board was not started")
        done: Future[None] = Future()
        self._jobs.append((job, done))
        os.write(self._waker, b"!")
        while not wait_for([done], ALIVE_S).done:
            if not thread.is_alive():  # it ended before it saw the job
                raise LabError(f"{self.board.name}: {self._why_off}")
        done.result()

    def _post(self, job: Callable[[], None]) -> None:
        """Have the board's thread do it soon: for the line's threads, which it may wait for."""
        if self._thread is not None:
            self._jobs.append((job, None))
            os.write(self._waker, b"!")

    def _reset_by_line(self, bootloader: bool) -> None:
        self._post(self._into_loader if bootloader else self._reset)

    def _left_loader(self) -> None:
        self._post(self._reset)

    def _work(self) -> None:
        try:
            while not self._ends:
                self._step()
        finally:  # `tell` may have raised
            self._ends = True
            self._stop("it was closed")
            while self._jobs:
                _, done = self._jobs.popleft()
                if done:
                    done.set_exception(LabError(f"{self.board.name}: {self._why_off}"))

    def _step(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        vm = self._vm
        if vm is not None:
            poll.register(vm.socket, select.POLLIN)
            poll.register(vm.pidfd, select.POLLIN)
        wait_ms = None
        if self._state == "asleep" and self._wakes_at != math.inf:
            wait_ms = max(0, int((self._wakes_at - time.monotonic()) * 1000) + 1)
        ready = [fd for fd, _ in poll.poll(wait_ms)]
        if self._wake in ready:
            os.read(self._wake, 4096)
        if vm is not None and vm is self._vm and not self._ends:
            if vm.socket.fileno() in ready:
                vm.take()
            if vm.pidfd in ready:
                self._jobs.appendleft((lambda: self._ended(vm), None))
        if self._state == "asleep" and time.monotonic() >= self._wakes_at:
            self._jobs.appendleft((self._woke, None))
        while self._jobs and not self._ends:
            job, done = self._jobs.popleft()
            try:
                job()
                if done:
                    done.set_result(None)
            except Exception as e:  # noqa: BLE001 - it is raised where it was asked for
                self._stop(str(e))
                self.event(f"off: {e}")
                if done:
                    done.set_exception(e)

    def _ended(self, vm: Interpreter) -> None:
        """Its program has ended: go on as the chip does."""
        held = Held()
        self.line.attach(held)
        code = vm.end(held)
        self._vm = None
        if code == _RESET:
            self._boot(None)
        elif code in (_SOFT, _RAW):
            self._run(_SOFTLY, raw=code == _RAW, unread=held)
        elif code == _LOADER:
            self._into_loader()
        elif code == _SLEEP:
            self.line.attach(Nobody())
            self._wakes_at = time.monotonic() + self.control.asleep_s()
            self._state = "asleep"
        elif code == -signal.SIGKILL:
            last = self._events[-1] if self._events else ""
            self._stop(last if last.startswith("power cut") else "it was killed")
        elif vm.began:
            self.event(f"the interpreter ended with {code}")
            self._boot(_WATCHDOG)
        else:
            self._stop(f"MicroPython did not start (heap {self.heap}), it ended with {code}")

    def _stop(self, why: str) -> None:
        """Switch it off."""
        self._silence()
        if self._state != "off":
            self._why_off = why
            self._state = "off"

    def _silence(self) -> None:
        """End whatever it is at."""
        vm, self._vm = self._vm, None
        if vm is not None:
            vm.kill()
        drive, self._drive = self._drive, None
        if drive is not None:
            drive.close()
        if self._thread is not None:
            self.line.attach(None)

    def _reset(self) -> None:
        if self._state != "off":
            self._boot(_POWER_ON)

    def _woke(self) -> None:
        self.control.tell_wake(self._woken_by)
        self._woken_by = "timer"
        self._boot(None)

    def _into_loader(self) -> None:
        self._silence()
        self._state = "bootloader"
        if self.loader is not None:
            self._begin_saying()
            self.line.attach(_Recorded(self.loader, self))
            return
        self.line.unplug()
        self._drive = BootDrive(self.drive, self.flash, self.board, self._left_loader)
        self._drive.start()

    def _boot(self, cause: int | None) -> None:
        """Start from the flash; `cause`: of the reset, None where the program has left it."""
        self._silence()
        if cause is None:
            cause = self.control.cause()
        if self.board.port == "rp2":
            # Its USB is a part of the chip: with it, the port goes and comes
            self.line.unplug()
            if boot_error(self.board, self.flash):
                self._into_loader()
                return
            self.line.plug()
        else:
            self._begin_saying()
            banner, mode = _BANNERS[self.board.mcu]
            reset = _CAUSES[cause][self.board.mcu != "esp32"]
            self.say(f"{banner}rst:{reset},{mode}\r\n".encode())
            error = boot_error(self.board, self.flash)
            if error:
                self.say(f"{error}\r\n".encode())
                self._state = "no firmware"
                self.line.attach(Nobody())
                return
        self._run(cause)

    def _run(self, cause: int, *, raw: bool = False, unread: Held | None = None) -> None:
        """Start the program; `unread`: what the one before has not read."""
        at, size = self._region()
        if cause == _SOFTLY or self.board.port == "rp2":
            self._begin_saying()
        self.control.tell_cause(cause)
        runtime = micropython.find(32)
        version = ".".join(map(str, runtime.version[:3]))
        config = {
            "at": at,
            "size": size,
            "read_size": self.board.read_size,
            "prog_size": self.board.prog_size,
            "lookahead": self.board.lookahead,
            "port": self.board.port,
            "release": version,
            "version": f"v{version} on 2025-04-15",
            "machine": f"Virtual {self.board.name} with {self.board.mcu.upper()}",
            "mpy": 6 | 3 << 8 | _ARCHITECTURES.index(self.board.mpy_arch or "") << 10,
            "build": self.board.firmware or self.board.name,
            "raw": raw,
        }
        (self.control.folder / "vm.json").write_text(json.dumps(config), "utf-8")
        path = ["", ".frozen", "/lib", *self.control.path()]
        code = _BOOTING.format(
            flash=str(self.flash.path.resolve()), folder=str(self.control.folder), path=path
        )
        argv, env = runtime.command_code(code, heap=str(self.heap + self.OVERHEAD))
        vm = Interpreter(argv, env, self.folder, self.say, self.event, unread)
        self.boots += 1
        self._vm = vm
        self._state = "runs"
        self.line.attach(vm)

    def _region(self) -> tuple[int, int]:
        """Return where the file system is in the flash, and its size."""
        if self.board.port == "rp2":
            return self.board.fs_offset, self.board.fs_size
        table = partitions.parse(self.flash.read(partitions.TABLE_AT, partitions.MAX_TABLE))
        region = partitions.file_system(table, self.flash.size)
        return region.at, region.size

    def _begin_saying(self) -> None:
        self._booted_at = self.mark()

    def say(self, data: bytes) -> None:
        """Send `data` over the line: for what is behind it."""
        self.record(data)
        self.line.write(data)

    def record(self, data: bytes) -> None:
        """Keep what goes over the line."""
        said = self._said + data
        if len(said) > self.MAX_CONSOLE:
            half = len(said) - self.MAX_CONSOLE // 2
            said = said[half:]
            self._forgotten += half
        # A new one, as others read the old one meanwhile
        self._said = said
        if self._tell:
            self._tell("serial", data)

    def event(self, text: str) -> None:
        """Its hardware did something: for what runs on it."""
        self._events.append(text)
        if self._tell:
            self._tell("hardware", text)

    @property
    def _counters(self) -> Path:
        return self.control.folder / "writes.bin"


class _Recorded:
    """Behind a line: a loader whose banner the console keeps."""

    def __init__(self, loader: RomLoader, board: VirtualBoard) -> None:
        self._loader = loader
        self._board = board

    def attached(self, line: SerialLine) -> None:
        self._board.record(b"waiting for download\r\n")
        self._loader.attached(line)

    def received(self, data: bytes) -> None:
        self._loader.received(data)
