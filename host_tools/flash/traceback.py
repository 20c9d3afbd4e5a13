"""MicroPython's tracebacks, with the source that they mean, and errors in plain words.

On a board the library has no line numbers (its tracebacks say line 1) and short private names. So
the place is found by what the frames call: the statement of a function that calls the next frame's
function, or that raises.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from . import mpy
from .boards import Board

#: The most frames of a traceback that are kept, of places that are named for one, and characters
#: of a source line.
MAX_FRAMES = 32
MAX_PLACES = 3
MAX_LINE = 120

FIRST = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "([^"]{1,80})", line (\d{1,6})(?:, in (\S{1,80}))?\s*$')
_ERROR = re.compile(r"([A-Za-z_][\w.]{0,60})(?:: (.*))?$")
_LIBRARY = ("thing", "umqtt", "uxmpp")

_ENTITIES = {
    "EPERM": "the board does not allow it, or the interface is off",
    "ENOENT": "there is no such file, or no such name",
    "EIO": "the hardware does not answer: look at the wires, the address and the supply; of a "
    "file: the flash cannot be read",
    "EAGAIN": "nothing is there yet: the socket does not wait",
    "ENOMEM": "too little memory in one piece; load fewer surfaces, or restart the board",
    "EACCES": "it may not be opened",
    "EEXIST": "it is there already",
    "ENODEV": "there is no such device: look at the wires and the address",
    "EISDIR": "it is a folder, not a file",
    "EINVAL": "an argument makes no sense there",
    "ENOSPC": "the board's flash is full: remove files, or deploy with fewer surfaces",
    "EROFS": "the file system cannot be written to",
    "EADDRINUSE": "the port is in use",
    "ECONNABORTED": "the connection was given up: WiFi is weak, or the server went",
    "ECONNRESET": "the other side cut the connection: it restarted, or does not speak this",
    "ENOBUFS": "too little memory for the network",
    "ENOTCONN": "there is no connection any more",
    "ETIMEDOUT": "no answer came: the host is down, a firewall drops it, a wire is loose, or WiFi "
    "is gone",
    "ECONNREFUSED": "nobody listens at that host and port: is the server up, and the port right?",
    "EHOSTUNREACH": "there is no way to that host: WiFi is down, or the address is wrong",
    "ENETUNREACH": "there is no way to that network: WiFi is down",
    "EINPROGRESS": "it is still at it",
}
# Linux has them so, and MicroPython's rp2; the ESP32's network has its own
_NUMBERS = {
    1: "EPERM", 2: "ENOENT", 5: "EIO", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 17: "EEXIST",
    19: "ENODEV", 21: "EISDIR", 22: "EINVAL", 28: "ENOSPC", 30: "EROFS", 98: "EADDRINUSE",
    101: "ENETUNREACH", 103: "ECONNABORTED", 104: "ECONNRESET", 105: "ENOBUFS", 107: "ENOTCONN",
    110: "ETIMEDOUT", 111: "ECONNREFUSED", 113: "EHOSTUNREACH", 115: "EINPROGRESS",
    116: "ETIMEDOUT", 118: "EHOSTUNREACH", 119: "EINPROGRESS", 128: "ENOTCONN",
}  # fmt: skip
_NEGATIVE = {
    -2: "there is no such host name, or no name server answers: is WiFi up?",
    -16: "too little memory for TLS",
    -84: "the file system is damaged",
    -202: "the name server does not answer: is WiFi up?",
    -203: "too little memory for the network",
    -4354: "no such name in the non-volatile storage",
    -9984: "TLS: the server's certificate is not accepted: another name, or out of date; does the "
    "board know the time?",
    -17168: "too little memory for TLS",
    -29312: "TLS: the other side cut the connection without a word",
    -30336: "TLS: the server's certificate is not signed by the CA that the board has: `uxmpp "
    "check` shows the chain and offers the right one",
    -30592: "TLS: the other side refused the handshake",
    -30848: "TLS: the other side has ended the connection",
    -32512: "too little memory for TLS: about 50 KB are needed, 17 KB of them in one piece",
}
# What a line says -> what it means; {} is the first group
_SAID = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (
            r"MemoryError|memory allocation failed",
            "the board has no such piece of memory left: fewer surfaces, shorter lists, or "
            "gc.collect() before what is large",
        ),
        (
            r"ImportError: no module named '([\w.]+)'",
            "the board has no module {}: put its file beside the app, and `uxmpp deploy` again",
        ),
        (
            r"incompatible \.mpy (?:file|arch)|invalid \.mpy file",
            "it was compiled for another MicroPython: `uxmpp deploy` compiles it anew, `uxmpp "
            "flash` brings the right MicroPython",
        ),
        (
            r"maximum recursion depth exceeded|stack overflow",
            "functions call each other too deeply for the board's stack",
        ),
        (
            r"can't allocate|WiFi Out of Memory|Wifi Internal Error|WiFi Internal State Error",
            "the WiFi has no memory, or is busy: restart the board",
        ),
        (
            r"Brownout detector was triggered",
            "the supply's voltage fell: another USB cable, port or supply",
        ),
        (
            r"^rst:0x\w+ \((?:TG\dWDT|RTCWDT|RTC_SW_WDT|INT_WDT|TASK_WDT)\w*\)|^rst:.*WDT",
            "its watchdog restarted the board: the program did not get on",
        ),
        (
            r"Guru Meditation Error",
            "MicroPython itself crashed: a driver in C, or too little memory for it",
        ),
        (
            r"^invalid header: 0x",
            "there is no firmware on the board: `uxmpp flash`",
        ),
        (
            r"neither slot is whole",
            "a deployment or a flashing was cut off: `uxmpp deploy` or `uxmpp flash`",
        ),
        (
            r"The filesystem appears to be corrupted",
            "the files are lost, or another tool wrote there: `uxmpp flash`",
        ),
        (
            r"NoneType' object has no attribute '(\w+)'",
            "what should have the attribute {} is None: something was not there",
        ),
    )
)
_ERRNO = re.compile(
    r"\[Errno (\d{1,3})\](?: (E[A-Z]+))?|\bOSError: \(?(-?\d{1,6})(?=[,)]|$)|\((-\d{1,6}), ['\"]"
)


@dataclass(frozen=True)
class Frame:
    """A line of a traceback. `function` is None where it says none."""

    file: str
    line: int
    function: str | None


def explain(line: str) -> str | None:
    """Return in plain words what the error in a line of a board's log means, or None."""
    for pattern, text in _SAID:
        match = pattern.search(line)
        if match:
            return text.format(*match.groups())
    match = _ERRNO.search(line)
    if not match:
        return None
    number, name, plain, tls = match.groups()
    if name in _ENTITIES:
        return _ENTITIES[name]
    code = int(number or plain or tls)
    return _NEGATIVE.get(code) or _ENTITIES.get(_NUMBERS.get(code, ""))


class Decoder:
    """Takes the lines of a board's log, and tells what is to be shown beneath one. `app`: the
    file of its app; `board`: for the hal and drivers."""

    def __init__(self, app: Path | None = None, board: Board | None = None) -> None:
        self._app = app
        self._board = board
        self._frames: list[Frame] | None = None
        self._told = ""

    def feed(self, line: str) -> list[str]:
        """Return what to show beneath a line: after a traceback the source of its frames and
        what the error means; after another line that tells of an error, what that means, once
        where it is repeated."""
        line = line.rstrip()
        if line.endswith(FIRST):
            self._frames = []
            return []
        if self._frames is not None:
            match = _FRAME.match(line)
            if match:
                if len(self._frames) < MAX_FRAMES:
                    self._frames.append(Frame(match[1], int(match[2]), match[3]))
                return []
            frames, self._frames = self._frames, None
            match = _ERROR.match(line)
            if match and frames:
                shown = list(self._places(frames, match[1], match[2] or ""))
                said = explain(line)
                return shown + ([f"= {said}"] if said else [])
        said = explain(line)
        if not said or said == self._told:
            return []
        self._told = said
        return [f"= {said}"]

    def _places(self, frames: list[Frame], error: str, text: str) -> Iterator[str]:
        seen_main = False
        for i, frame in enumerate(frames):
            # The loader's main.py calls an app that may have this name, too
            ours = frame.file == "main.py" and not seen_main
            seen_main = seen_main or ours
            path = self._source(frame.file, loader=ours)
            if path is None:
                continue
            after = frames[i + 1] if i + 1 < len(frames) else None
            yield from _place(path, frame, after, error, text)

    def _source(self, file: str, *, loader: bool) -> Path | None:
        """Return the file here that a frame names, or None."""
        if file.startswith(("/", ".")) or ".." in file:
            return None
        folders = [mpy.FIRMWARE] if loader or file.split("/")[0] in _LIBRARY else []
        if file in ("boot.py", "slots.py"):
            folders.append(mpy.FIRMWARE)
        if self._app:
            folders += [self._app.parent, self._app.parent / "lib"]
        if self._board and self._board.hal_folder:
            root = mpy.FIRMWARE.parent / "boards"
            folders += [self._board.hal_folder, self._board.path.parent, root]
        return next((folder / file for folder in folders if (folder / file).is_file()), None)


def _place(path: Path, frame: Frame, after: Frame | None, error: str, text: str) -> Iterator[str]:
    """Yield what is to be shown of a frame; `text`: what the error says."""
    source = _read(path)
    if source is None:
        return
    lines, functions = source
    # The library's frames all say line 1, in which there is no code but a docstring
    if frame.line > 1 or frame.function in (None, "<module>"):
        if frame.line <= len(lines) and (frame.line > 1 or path.name == frame.file):
            yield f"{frame.file}:{frame.line}  {lines[frame.line - 1].strip()[:MAX_LINE]}"
        return
    name = _whole_names(path).get(frame.function or "", frame.function)
    found = [f for f in functions if f.name == name]
    if not found:
        return
    called = None
    if after is not None and after.function:
        there = mpy.FIRMWARE / after.file
        called = _whole_names(there).get(after.function, after.function)
    places = [n for f in found for n in _calls(f, called, error, text)]
    if 0 < len(places) <= MAX_PLACES:
        for number in places:
            yield f"{frame.file}:{number}  in {name}: {lines[number - 1].strip()[:MAX_LINE]}"
        return
    starts = [f.lineno for f in found][:MAX_PLACES]
    where = " or ".join(f"{frame.file}:{n}" for n in starts)
    yield f"{where}  in {name}, {lines[starts[0] - 1].strip()[:MAX_LINE]}"


def _calls(
    function: ast.FunctionDef | ast.AsyncFunctionDef, called: str | None, error: str, text: str
) -> list[int]:
    """Return the lines in a function at which it calls what is named so, or where that is None,
    raises the error; of several those whose own words are in `text`."""
    found: dict[int, bool] = {}
    for node in ast.walk(function):
        if called is None:
            raised = node.exc if isinstance(node, ast.Raise) else None
            target = raised.func if isinstance(raised, ast.Call) else raised
        else:
            target = node.func if isinstance(node, ast.Call) else None
        name = getattr(target, "attr", None) or getattr(target, "id", None)
        if target is not None and name == (called or error.rpartition(".")[2]):
            line = target.lineno
            found[line] = found.get(line, False) or called is None and _says(node, text)
    return sorted(n for n, said in found.items() if said) or sorted(found)


def _says(raised: ast.AST, text: str) -> bool:
    """Return whether words that stand in a `raise` are in what the error says."""
    parts = [
        part.strip()
        for node in ast.walk(raised)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for part in re.split(r"\{.*?\}", node.value)
    ]
    return any(len(part) > 3 and part in text for part in parts)


@lru_cache(maxsize=64)
def _read(
    path: Path,
) -> tuple[list[str], list[ast.FunctionDef | ast.AsyncFunctionDef]] | None:
    """Return the lines and functions of a source, or None where it cannot be read."""
    try:
        text = path.read_text("utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return text.splitlines(), [n for n in ast.walk(tree) if isinstance(n, kinds)]


@lru_cache(maxsize=64)
def _whole_names(path: Path) -> Mapping[str, str]:
    """Return what a file's short private names are in its source."""
    return {short: name for name, short in mpy.private_names(path).items()}
