"""littlefs images: a board's file system, made and read on the host."""

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ..errors import UxmppError
from .boards import Board

if TYPE_CHECKING:
    from littlefs import LittleFS, UserContext

#: How often a block is written before its content moves on, as MicroPython has it.
BLOCK_CYCLES = 100
#: The longest name of a file or folder, as MicroPython has it.
MAX_NAME = 255
#: The most bytes of a file system that is made or read.
MAX_BYTES = 128 * 1024 * 1024


class ImageError(UxmppError):
    """What a file system is not made of, or why it cannot be read."""


def build(board: Board, files: Mapping[str, bytes], *, fs_size: int | None = None) -> bytes:
    """Return the image of a file system with `files`: contents by path, "a/app.mpy"; a path that
    ends in "/" is an empty folder.

    It is exactly as long as the region that it goes to, `fs_size` bytes, else the board's, or a
    device would not mount it. The same files give the same bytes. Raises ImageError, also where
    they do not fit, with the number of bytes that are too many.
    """
    size = board.fs_size if fs_size is None else fs_size
    blocks = _blocks(board, size)
    made = _filled(board, files, blocks)
    if made is None:
        over = (_used(board, files, blocks) - blocks) * board.block_size
        raise ImageError(
            f"{board.name}: the files do not fit: {over} bytes too many for a file system of "
            f"{size} bytes; take a smaller app, fewer surfaces, or a board with more flash"
        )
    return bytes(made.context.buffer)


def used(board: Board, files: Mapping[str, bytes]) -> int:
    """Return how many bytes of a file system the files take, in whole blocks, however many the
    board has. Raises ImageError."""
    return _used(board, files, _blocks(board, board.fs_size)) * board.block_size


def read(image: bytes, board: Board) -> dict[str, bytes]:
    """Return the files of an image, by path; an empty folder's path ends in "/". Raises
    ImageError for what is no file system, or a damaged one."""
    from littlefs import LittleFSError

    blocks = _blocks(board, len(image))
    fs = file_system(board, 0)  # however many it says
    fs.context.buffer = bytearray(image)
    files: dict[str, bytes] = {}
    try:
        fs.mount()
        if fs.block_count != blocks:
            raise ImageError(
                f"{board.name}: the file system has {fs.block_count} blocks, its region {blocks}: "
                "a device would not mount it"
            )
        _collect(fs, "", files)
    except LittleFSError as e:
        raise ImageError(f"{board.name}: no littlefs, or a damaged one: {e}") from None
    return files


def _collect(fs: "LittleFS", folder: str, files: dict[str, bytes]) -> None:
    names = sorted(fs.listdir(f"/{folder}"))
    if folder and not names:
        files[folder] = b""
    for name in names:
        path = folder + name
        if fs.stat(f"/{path}").type == 2:  # LFS_TYPE_DIR
            _collect(fs, f"{path}/", files)
        else:
            with fs.open(f"/{path}", "rb") as f:
                files[path] = f.read()


def _filled(board: Board, files: Mapping[str, bytes], blocks: int) -> "LittleFS | None":
    """Return a file system of so many blocks with the files, or None where they do not fit."""
    from littlefs import LittleFSError

    fs = file_system(board, blocks)
    path = ""
    try:
        fs.format()
        fs.mount()
        for path in sorted(files):
            _check_path(path)
            folder = path.rpartition("/")[0]
            if folder:
                fs.makedirs(f"/{folder}", exist_ok=True)
            if not path.endswith("/"):
                with fs.open(f"/{path}", "wb") as f:
                    f.write(files[path])
        fs.unmount()
    except LittleFSError as e:
        if e.code == LittleFSError.Error.LFS_ERR_NOSPC:
            return None
        raise ImageError(f"{board.name}: {path}: cannot be put into the image: {e}") from None
    except OSError as e:  # what the binding makes of some codes
        if e.errno == errno.ENOSPC:
            return None
        raise ImageError(f"{board.name}: {path}: cannot be put into the image: {e}") from None
    return fs


def _used(board: Board, files: Mapping[str, bytes], blocks: int) -> int:
    while True:
        made = _filled(board, files, blocks)
        if made is not None:
            made.mount()
            return made.used_block_count
        blocks *= 2
        if blocks * board.block_size > MAX_BYTES:
            raise ImageError(f"{board.name}: the files do not fit into {MAX_BYTES} bytes")


class _Memory:
    """The flash that littlefs works on. The package's own writes each step into a log, which takes
    most of the time."""

    def __init__(self, size: int) -> None:
        self.buffer = bytearray(b"\xff") * size

    def read(self, cfg: Any, block: int, off: int, size: int) -> bytearray:
        at = block * cfg.block_size + off
        return self.buffer[at : at + size]

    def prog(self, cfg: Any, block: int, off: int, data: bytes) -> int:
        at = block * cfg.block_size + off
        self.buffer[at : at + len(data)] = data
        return 0

    def erase(self, cfg: Any, block: int) -> int:
        at = block * cfg.block_size
        self.buffer[at : at + cfg.block_size] = b"\xff" * cfg.block_size
        return 0

    def sync(self, cfg: Any) -> int:
        return 0


def file_system(board: Board, blocks: int, context: Any = None) -> "LittleFS":
    """Return a littlefs as the board's MicroPython has it, not mounted, of so many blocks (0: as
    many as it says) in memory, or behind a `context` (littlefs.UserContext)."""
    from littlefs import LittleFS

    return LittleFS(
        context=cast("UserContext", context or _Memory(blocks * board.block_size)),
        mount=False,
        block_size=board.block_size,
        block_count=blocks,
        read_size=board.read_size,
        prog_size=board.prog_size,
        cache_size=board.cache_size,
        lookahead_size=board.lookahead,
        block_cycles=BLOCK_CYCLES,
    )


def _blocks(board: Board, size: int) -> int:
    if not board.block_size:
        raise ImageError(f"{board.name}: has no file system of ours: its port is {board.port}")
    if not 2 * board.block_size <= size <= MAX_BYTES or size % board.block_size:
        raise ImageError(
            f"{board.name}: a file system of {size} bytes: must be whole blocks of "
            f"{board.block_size} bytes, 2 at least and {MAX_BYTES} bytes at most"
        )
    return size // board.block_size


def _check_path(path: str) -> None:
    names = path.removesuffix("/").split("/")
    for name in names:
        if name in ("", ".", "..") or "\0" in name or len(name.encode()) > MAX_NAME:
            raise ImageError(f"{path[:80]!r}: no path of a file: folder/name, without a leading /")
