"""Writes the flash of an ESP32, by esptool."""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from . import held, image, partitions, ports
from .boards import Board
from .errors import HALF, NOTHING, WHOLE, FlashError
from .progress import Report, size

#: Bits a second for the transfer; every bridge and cable is asked at esptool's own rate first.
BAUD = 460800
BAUDS = range(9600, 4000001)
#: How often a bootloader is asked for before there is none.
ATTEMPTS = 7
#: The most blocks that are read of a board's file system to see what it holds.
MAX_BLOCKS_READ = 64
#: The most bytes of a device.json that is looked at.
MAX_SETTINGS = 16384

# What the library waits for most answers: it sets any other again for each, which takes a
# remote port tenths of a second
_ANSWER_S = 3


@dataclass(frozen=True)
class Part:
    """What is written where: `at` in the flash, a multiple of 4,096."""

    name: str
    at: int
    data: bytes


class Esp:
    """The bootloader of a board on a port, for a `with`: connected, checked to be that of the
    board's chip, and its flash found. Every method raises FlashError, or PortError for a port
    that does not open; both say in what state the board is."""

    def __init__(
        self,
        board: Board,
        port: str,
        *,
        baud: int = BAUD,
        report: Report | None = None,
    ) -> None:
        if baud not in BAUDS:
            raise FlashError(f"baud {baud}: must be {BAUDS[0]} to {BAUDS[-1]}. {NOTHING}")
        self.board = board
        self.port = port
        #: Bytes, as found on the board.
        self.flash_size = 0
        #: Whether the port's lines can reset the board.
        self.resets = False
        self._baud = baud
        self._report = report or Report()
        self._esp: Any = None
        self._serial: Any = None
        self._state = NOTHING
        self._where = ""

    def __enter__(self) -> Self:
        try:
            self._serial = ports.open_port(self.port, timeout_s=_ANSWER_S)
        except ports.PortError as e:
            raise ports.PortError(f"{e}. {NOTHING}") from None
        try:
            self.resets = self._can_reset()
            self._connect()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._close()
        else:
            self._leave()

    def read(self, at: int, count: int) -> bytes:
        """Return `count` bytes of the flash."""
        with self._esptool("reading the flash"):
            return bytes(self._esp.read_flash(at, count))

    def holds(self) -> str | None:
        """Return in words what would be lost by flashing: the device and the files that the board
        has; None where there are none to be seen."""
        region = partitions.Region(self.board.fs_offset, self.board.fs_size)
        with contextlib.suppress(partitions.PartitionError):
            table = self.read(partitions.TABLE_AT, partitions.MAX_TABLE)
            region = partitions.file_system(partitions.parse(table), self.flash_size)
        return _held(lambda at, count: self.read(region.at + at, count), region, self.board)

    def write(self, parts: Sequence[Part]) -> None:
        """Write the parts, each verified by the MD5 of what is then in the flash."""
        for part in parts:
            if part.at + len(part.data) > self.flash_size:
                raise self._error(
                    f"{part.name} reaches to {part.at + len(part.data):#x}, and the flash of this "
                    f"board ends at {self.flash_size:#x}"
                )
        from esptool.cmds import write_flash  # type: ignore[import-untyped]

        for part in parts:
            self._at(part, 0)
            with self._esptool("writing", partial(self._at, part)):
                write_flash(self._esp, [(part.at, part.data)])
                self._at(part, 1)
        self._state, self._where = WHOLE, ""

    def reset(self) -> bool:
        """Start what is in the flash; False where somebody has to press reset."""
        from esptool.cmds import reset_chip

        if self.resets:
            try:
                with self._esptool("resetting"):
                    reset_chip(self._esp, "hard-reset")
            except FlashError:
                return False
        return self.resets

    def _connect(self) -> None:
        from esptool.cmds import attach_flash, detect_chip, detect_flash_size, run_stub
        from esptool.targets import CHIP_DEFS  # type: ignore[import-untyped]
        from esptool.util import flash_size_bytes  # type: ignore[import-untyped]

        with self._esptool("connecting"):
            mode = "default-reset" if self.resets else "no-reset"
            esp = detect_chip(self._serial, connect_mode=mode, connect_attempts=ATTEMPTS)
        self._esp = esp
        wanted = CHIP_DEFS[self.board.chip].CHIP_NAME
        if wanted != esp.CHIP_NAME:
            raise self._error(
                f"this board has an {esp.CHIP_NAME}, and the {self.board.title} an {wanted}",
                "Take the other board, or name this one in device.toml: uxmpp boards lists them.",
            )
        with self._esptool("starting the loader"):
            self._esp = run_stub(esp)
        if self._baud != self._serial.baudrate:
            with self._esptool(f"changing to {self._baud} baud"):
                self._esp.change_baud(self._baud)
        with self._esptool("looking at the flash"):
            attach_flash(self._esp)
            found = detect_flash_size(self._esp)
        if found is None:
            raise self._error(
                "the size of the flash cannot be read: its chip does not answer, or is unknown"
            )
        self.flash_size = int(flash_size_bytes(found))
        if self.flash_size < self.board.flash_size:
            raise self._error(
                f"the flash of this board has {size(self.flash_size)}, and the {self.board.title} "
                f"{size(self.board.flash_size)}",
                "Take the other board, or name this one in device.toml.",
            )
        # The library would wait and go on by itself after a lost connection, silently
        self._esp.WRITE_FLASH_ATTEMPTS = 1
        for name in ("flash_begin", "flash_defl_begin"):
            setattr(self._esp, name, self._marking(getattr(self._esp, name)))

    def _marking(self, begin: Callable[..., Any]) -> Callable[..., Any]:
        """From the first erased sector on the board is no longer what it was."""

        def begin_writing(*args: Any, **kwargs: Any) -> Any:
            self._state = HALF
            return begin(*args, **kwargs)

        return begin_writing

    def _can_reset(self) -> bool:
        if self.port.startswith("socket:"):
            return False
        if self.port.startswith("rfc2217:"):
            return True
        try:
            # A pseudo terminal has no lines
            self._serial.cts  # noqa: B018
        except OSError:
            return False
        return True

    def _at(self, part: Part, done: float) -> None:
        self._where = f" at {done:.0%} of {part.name}"
        self._report.at(part.name, int(done * len(part.data)), len(part.data))

    def _leave(self) -> None:
        """End with an error: what was not touched is to go on with what it has, if it can."""
        if self._esp is not None and self._state == NOTHING:
            with contextlib.suppress(Exception):
                self.reset()
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._serial.close()

    @contextlib.contextmanager
    def _esptool(self, doing: str, told: Callable[[float], None] | None = None) -> Iterator[None]:
        """Turn what the library raises, of whatever kind, into a FlashError; `told` gets the
        part that is done."""
        _Log.install(told)
        try:
            yield
        except FlashError:
            raise
        except (KeyboardInterrupt, SystemExit):
            if self._state != NOTHING:
                raise self._error(f"stopped{self._where}") from None
            raise
        except Exception as e:
            raise self._failed(doing, e) from None
        finally:
            _Log.install(None)

    def _failed(self, doing: str, error: Exception) -> FlashError:
        text = " ".join(str(error).split())
        slower = "Flash it again, with --baud 115200, or by another cable."
        if "MD5 of file" in text or "flash region is empty" in text:
            return self._error(
                f"the flash differs from what was written{self._where}",
                f"{slower} If that does not help, its flash is worn out.",
            )
        if doing == "connecting" and _is_fatal(error):
            how = "" if self.resets else " (this port cannot make it start one)"
            return self._error(
                f"no bootloader answers there{how}",
                f"Into the bootloader: {self.board.bootloader}",
            )
        if not _is_fatal(error):
            # One with USB of its own may have another port in its bootloader
            how = f" If it always does: {self.board.bootloader}" if doing == "connecting" else ""
            return self._error(
                f"the board went away while {doing}{self._where}",
                f"Plug it in again and flash it again.{how}",
            )
        if _SILENT.search(text):
            return self._error(f"the board stopped answering while {doing}{self._where}", slower)
        return self._error(f"{doing} failed{self._where}: {text[:200].rstrip('.')}")

    def _error(self, what: str, todo: str = "") -> FlashError:
        todo = todo or {HALF: "Flash it again.", WHOLE: "Press reset."}.get(self._state, "")
        return FlashError(
            f"port {self.port}: {what}. {self._state} {todo}".rstrip(),
            written=self._state == HALF,
        )


_SILENT = re.compile(
    "data stream stopped|No serial data|No more data|transfer stopped|Invalid head of packet"
    "|Invalid SLIP|doesn't match request|Timed out|write timeout",
    re.I,
)


def _is_fatal(error: Exception) -> bool:
    """Tell the library's own errors from those of a port that is gone."""
    from esptool.util import FatalError

    return isinstance(error, FatalError) or "write timeout" in str(error).lower()


class _Log:
    """What the library says of its steps goes nowhere; how far it is goes to whoever waits in
    this thread, since its logger is one for the process."""

    _made: Any = None
    _thread = threading.local()

    @classmethod
    def install(cls, told: Callable[[float], None] | None) -> None:
        """Have the library's progress in this thread told to `told`."""
        from esptool import loader  # type: ignore[import-untyped]
        from esptool.logger import TemplateLogger, log  # type: ignore[import-untyped]

        cls._thread.told = told
        if cls._made is not None:
            return

        class Quiet(TemplateLogger):  # type: ignore[misc]
            def print(self, *args: Any, **kwargs: Any) -> None: ...

            def note(self, message: str) -> None: ...

            def warning(self, message: str) -> None: ...

            def error(self, message: str) -> None: ...

            def stage(self, finish: bool = False) -> None: ...

            def set_verbosity(self, verbosity: str) -> None: ...

            def progress_bar(self, cur_iter: int, total_iters: int, *a: Any, **kw: Any) -> None:
                told = getattr(cls._thread, "told", None)
                if told and total_iters > 0:
                    told(min(cur_iter / total_iters, 1))

        cls._made = Quiet()
        log.set_logger(cls._made)
        # It spells all bytes in hex for a trace, on or not: seconds for a firmware
        loader.HexFormatter = lambda data, auto_split=True: ""


def _held(
    read: Callable[[int, int], bytes], region: partitions.Region, board: Board
) -> str | None:
    """Return in words what a littlefs holds, of which `read(at, count)` gives the bytes."""
    from littlefs import LittleFSError

    context = _Blocks(read, region.size)
    fs = image.file_system(board, 0, context)
    try:
        fs.mount()
        names = set(fs.listdir("/"))
        settings = b""
        if "device.json" in names:
            with fs.open("/device.json", "rb") as f:
                settings = f.read(MAX_SETTINGS)
    except (LittleFSError, OSError):
        names, settings = set(), b""
    if context.failed:
        raise context.failed
    if context.gave_up and not names:
        return "many files"
    return held.words(names, _jid(settings))


def _jid(settings: bytes) -> object:
    try:
        return json.loads(settings)["jid"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


class _Blocks:
    """The blocks of a file system on a board, each read once; what littlefs asks for."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._known: dict[int, bytes] = {}
        #: What the board's side raised: littlefs lets no error through.
        self.failed: FlashError | None = None
        #: Whether more was asked for than is read.
        self.gave_up = False

    def read(self, cfg: Any, block: int, off: int, size: int) -> bytearray:
        if block not in self._known:
            at = block * cfg.block_size
            full = len(self._known) >= MAX_BLOCKS_READ
            self.gave_up |= full
            if self.failed or full or at + cfg.block_size > self._size:
                return bytearray(size)
            try:
                self._known[block] = self._read(at, cfg.block_size)
            except FlashError as e:
                self.failed = e
                return bytearray(size)
        return bytearray(self._known[block][off : off + size])

    def prog(self, cfg: Any, block: int, off: int, data: bytes) -> int:
        return -5  # LFS_ERR_IO: nothing is written here

    def erase(self, cfg: Any, block: int) -> int:
        return -5

    def sync(self, cfg: Any) -> int:
        return 0
