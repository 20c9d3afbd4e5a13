"""Only what has changed, to a board that runs MicroPython: what `uxmpp deploy` does."""

import ast
import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

from ..errors import UxmppError
from ..provision import secret
from ..provision.device_file import DeviceFile
from . import content
from .boards import Board
from .progress import Report, size
from .repl import OnBoardError, Repl, ReplError

#: The least MicroPython that the library runs on.
LEAST = (1, 24)
#: Bytes of a file system that are left alone, for its own folders and for what a device keeps.
SLACK = 32 * 1024
#: What a board's own main.py and boot.py are kept as.
KEPT = ".old"

_LOGIN = ("keys", "password")
_HASHED = (*content.LOADER, "slots.mpy", "ca.der", "web.der")
_FULL = re.compile(r"ENOSPC|\[Errno 28\]|OSError: 28$")

_ABOUT = """
i=sys.implementation
v=os.statvfs('.')
print(repr((sys.platform,getattr(i,'_machine','?'),tuple(i.version[:3]),getattr(i,'_mpy',0)&255,
 gc.mem_free(),v[1],v[2],v[4])))
"""
_HEADS = "import slots\nprint(repr((slots.head('a'),slots.head('b'))))"


class DeployError(UxmppError):
    """A board was not brought up to date: why, in what state it is now, and what to do."""


@dataclass(frozen=True)
class About:
    """What a board says of itself; bytes, `free` of its file system."""

    platform: str
    machine: str
    version: tuple[int, ...]
    mpy: int
    heap: int
    block: int
    blocks: int
    free_blocks: int

    @property
    def free(self) -> int:
        return self.block * self.free_blocks

    @property
    def mcu(self) -> str | None:
        """The MCU as boards name it, or None where it cannot be told."""
        word = self.machine.rpartition(" with ")[2].lower().replace("-", "")
        return word if re.fullmatch(r"(esp|rp)\w+", word) else None

    @property
    def release(self) -> str:
        return ".".join(map(str, self.version))


@dataclass(frozen=True)
class Held:
    """What a board holds. Paths are below the root, those of `slot_files` below the slot."""

    about: About
    #: Whether there is a loader for slots.
    layout: bool
    #: The slot that a deployment goes to.
    slot: str
    #: Whether the other slot is whole.
    spare: bool
    #: What the manifests of the slots say, {} without one.
    heads: Mapping[str, Mapping[str, str]]
    slot_files: Mapping[str, tuple[int, str]]
    #: The files beside the slots.
    root: Mapping[str, tuple[int, str]]
    #: What `slot` says, or None.
    chosen: str | None
    #: device.json, {} without one that can be read.
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is to be done, in its order. `slot` is written last and has its manifest removed first
    where `program`, what goes there, or `removed` is not empty."""

    slot: str
    #: By path below the root: of the slot, without the manifest; then beside the slots.
    program: Mapping[str, bytes]
    manifest: bytes | None
    settings: Mapping[str, bytes]
    loader: Mapping[str, bytes]
    removed: Sequence[str]
    #: Files that are kept by another name, for they are not ours.
    kept: Sequence[str]
    #: Whether `slot` has to be written.
    choose: bool
    #: What people are told of it.
    notes: Sequence[str] = field(default=())

    @property
    def changes(self) -> Mapping[str, bytes]:
        """All files that are sent."""
        last = {f"{self.slot}/manifest": self.manifest} if self.manifest is not None else {}
        return {**self.program, **last, **self.settings, **self.loader}

    @property
    def empty(self) -> bool:
        return not (self.changes or self.removed or self.choose)


def send(
    board: Board,
    device: DeviceFile,
    port: str,
    report: Report,
    *,
    replace: bool = False,
    anew: bool = False,
    keep_password: bool = False,
    dry_run: bool = False,
) -> None:
    """Have the board on `port` hold what device.toml says, and start its program again; `report`
    is told of all of it. `replace`: as for check(); `anew`: derive the login keys anew, and
    `keep_password`: write the password in their place; `dry_run`: change nothing.

    Raises PortError, ReplError, DeployError (in what state the board is), and for what cannot be
    made on the host other UxmppErrors.
    """

    def by() -> Mapping[str, Any]:
        return login(device, keep_password=keep_password)

    # Before the program there stops: it takes seconds
    _prepare(board, device)
    with Repl(port) as repl:
        report.say(f"{port}: the program there is stopped for this (Ctrl-C).")
        about = ask(repl)
        unfit_there = unfit(board, about)
        if unfit_there:
            raise DeployError(f"port {port}: {'; '.join(unfit_there)}. Nothing was changed")
        held = look(repl, about, None if replace else partial(check, board, device, port))
        todo = plan(board, device, held, login=None if dry_run else by, anew=anew)
        check_room(held, todo, port)
        for line in (*describe(held, todo), *todo.notes):
            report.say(line)
        if dry_run:
            report.say("Nothing was changed.")
        elif todo.empty:
            report.say("All is as it should be.")
        else:
            carry_out(repl, held, todo, report)
            sent = todo.changes.values()
            report.say(
                f"Sent {len(sent)} files with {size(sum(map(len, sent)))}, removed "
                f"{len(todo.removed)}."
            )
    report.say(f"{port}: the program is started again; uxmpp monitor shows what it does.")


def _prepare(board: Board, device: DeviceFile) -> None:
    """Compile what will be needed; it is kept. Raises UxmppError."""
    content.slot_files(board, content.find_app(device), content.surfaces(device))
    content.loader_files()
    content.settings_files(device)


def look(
    repl: Repl,
    about: About,
    check: Callable[[Mapping[str, Any], Mapping[str, str]], None] | None = None,
) -> Held:
    """Return what the board holds. `check` gets its device.json and what the manifest of the slot
    says, before all files are looked at. Raises ReplError."""
    root = dict(repl.list("", hashed=False))
    layout = "slots.mpy" in root
    heads: dict[str, dict[str, str]] = {slot: {} for slot in content.SLOTS}
    chosen = starts = None
    if layout:
        try:
            heads["a"], heads["b"] = _literal(repl, repl.run(_HEADS))
        except OnBoardError:
            # A loader that does not load
            layout = False
    if layout:
        text = (repl.read("slot") or b"").decode(errors="replace") if "slot" in root else ""
        chosen = text if text.partition(" ")[0] in content.SLOTS else None
        there = [slot for slot in content.SLOTS if heads[slot]]
        starts = there[0] if len(there) == 1 else repl.value("slots.state()[0]") if there else None
    # Where a deployment was cut off, the slot is not the one that starts any more
    slot = chosen.partition(" ")[0] if chosen else starts or "a"
    settings: Any = {}
    if "device.json" in root:
        with contextlib.suppress(ValueError):
            settings = json.loads(repl.read("device.json") or b"{}")
    if not isinstance(settings, dict):
        settings = {}
    if check:
        check(settings, heads[slot])
    files = {path[2:]: found for path, found in repl.list(slot).items()}
    other = "b" if slot == "a" else "a"
    spare = bool(heads[other]) and bool(repl.value(f"slots.whole({other!r})"))
    for path in root:
        if path in _HASHED or path.startswith("avatar"):
            root[path] = (root[path][0], repl.run(f"print(sha({path!r}))").strip())
    return Held(about, layout, slot, spare, heads, files, root, chosen, settings)


def ask(repl: Repl) -> About:
    """Return what the board says of itself. Raises ReplError."""
    platform, machine, version, *rest = _literal(repl, repl.run(_ABOUT))
    return About(platform, machine, tuple(version), *rest)


def _literal(repl: Repl, text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        raise ReplError(f"port {repl.port}: the board says {text[:80]!r}") from None


def unfit(board: Board, about: About) -> tuple[str, str] | None:
    """Return why a board that says this of itself is not `board`, or has no MicroPython for us,
    and what to do; None where it fits."""
    if about.platform != board.port or about.mcu not in (board.mcu, None):
        return (
            f"this board is {about.machine[:60]}, and device.toml says board = {board.name!r}",
            "take the board that is meant, by --port, or correct the file",
        )
    if about.version[:2] < LEAST or about.mpy != content.MPY:
        return (
            f"MicroPython {about.release} there is not one that this runs on, "
            f"{'.'.join(map(str, LEAST))} or newer",
            "`uxmpp flash` brings one",
        )
    return None


def check(
    board: Board,
    device: DeviceFile,
    port: str,
    settings: Mapping[str, Any],
    head: Mapping[str, str],
) -> None:
    """Raise DeployError where the board, by its device.json and its manifest, is another device
    or holds the program of another board than device.toml means."""
    jid = settings.get("jid")
    if jid and jid != device.jid:
        raise DeployError(
            f"port {port}: the board is {str(jid)[:80]}, and {device.path} is {device.jid}: give "
            "--replace if it is to become that. Nothing was changed"
        )
    other = head.get("board")
    if other and other != board.name:
        raise DeployError(
            f"port {port}: the board holds a program for {other[:40]}, and {device.path} says "
            f"board = {board.name!r}: give --replace if that is right. Nothing was changed"
        )


def plan(
    board: Board,
    device: DeviceFile,
    held: Held,
    *,
    login: Callable[[], Mapping[str, Any]] | None = None,
    anew: bool = False,
) -> Plan:
    """Return what has to be done for the board to hold what device.toml says. `login` gives the
    `keys`, or the `password`, where the board has none, or with `anew` in any case; without it
    there will be none. Raises UxmppError."""
    notes: list[str] = []
    app = content.find_app(device)
    slot = held.slot
    files = content.slot_files(board, app, content.surfaces(device))
    # To whom updates over the air have been handed on
    key = held.heads[slot].get("key") or held.heads["b" if slot == "a" else "a"].get("key")
    version = device.values.get("version", content.VERSION)
    manifest = content.manifest(board, content.app_name(app), version, files, key)
    program = {
        f"{slot}/{path}": data
        for path, data in files.items()
        if held.slot_files.get(path) != _print(data)
    }
    wanted = {*files, "manifest", *_folders(files)}
    removed = [f"{slot}/{path}" for path in sorted(held.slot_files, reverse=True)
               if path not in wanted]  # fmt: skip
    new = held.slot_files.get("manifest") != _print(manifest) or program or removed
    settings = _settings(device, held, login, anew, notes)
    loader = {
        path: data
        for path, data in content.loader_files().items()
        if held.root.get(path) != _print(data)
    }
    # boot.py last: as soon as it is there, the board is ours
    loader = dict(sorted(loader.items(), key=lambda f: (f[0] == "boot.py", f[0])))
    kept = [] if held.layout else [path for path in content.LOADER if path in loader
                                   and held.root.get(path, (0,))[0]]  # fmt: skip
    notes += [f"{path} that was there is kept as {path}{KEPT}" for path in kept]
    choose = held.chosen != slot if held.chosen else held.spare
    if held.chosen and " " in held.chosen:
        notes.append(f"slot {slot} starts for good now (it said: {held.chosen[:60]})")
    return Plan(
        slot, program, manifest if new else None, settings, loader, removed, kept, choose, notes
    )


def _print(data: bytes) -> tuple[int, str]:
    return len(data), sha256(data).hexdigest()


def _folders(files: Mapping[str, bytes]) -> set[str]:
    """Return the folders of files, with a slash at their end."""
    found: set[str] = set()
    for path in files:
        parts = path.split("/")[:-1]
        found.update("/".join(parts[: i + 1]) + "/" for i in range(len(parts)))
    return found


def _settings(
    device: DeviceFile,
    held: Held,
    login: Callable[[], Mapping[str, Any]] | None,
    anew: bool,
    notes: list[str],
) -> dict[str, bytes]:
    """Return the files of settings that differ. What the board logs in by stays."""
    there = held.settings
    has = next((key for key in _LOGIN if there.get(key)), None)
    if device.values.get("keys"):
        by: Mapping[str, Any] = {"keys": device.values["keys"]}
    elif has and there.get("jid") == device.jid and not anew:
        by = {has: there[has]}
        notes.append(
            "the login keys on the board stay as they are (--login derives them anew)"
            if has == "keys"
            else "the password on the board stays as it is (--login puts login keys in its place)"
        )
    elif login is None:
        by = {}
        notes.append("login keys would be derived: that needs the password and the server")
    else:
        by = login()
    files = content.settings_files(device, by.get("password"), keys=by.get("keys"))
    made = json.loads(files["device.json"])
    changed = {}
    for path, data in files.items():
        if path == "device.json":
            differs = sorted(k for k in {*made, *there} if made.get(k) != there.get(k))
            if differs:
                changed[path] = data
                if there:
                    notes.append(f"device.json changes: {', '.join(differs)}")
        elif held.root.get(path) != _print(data):
            changed[path] = data
    return changed


def login(device: DeviceFile, *, keep_password: bool = False) -> dict[str, Any]:
    """Return what a device logs in by: `keys`, derived with its server, or only with
    `keep_password` the `password`. Raises UxmppError."""
    password = secret.password(device.jid, device.values.get("password"))
    if not password:
        raise DeployError(
            f"{device.jid}: the board has no login keys, and no password is known: set "
            f"{secret.VARIABLE}, or have `uxmpp provision` make the account"
        )
    if keep_password:
        return {"password": password}
    from ..provision import login_keys

    return {"keys": login_keys.derive(device, password)}


def check_room(held: Held, todo: Plan, port: str) -> None:
    """Raise DeployError where the files do not fit beside what is there."""
    about = held.about
    free = about.free_blocks
    least = free
    slot = {f"{todo.slot}/{path}": found[0] for path, found in held.slot_files.items()}
    sizes = {**{path: found[0] for path, found in held.root.items()}, **slot}
    for path in todo.removed:
        free += _blocks(sizes.get(path, 0), about)
    for path, data in todo.changes.items():
        # The new one is beside the old one for a moment
        free -= _blocks(len(data), about)
        least = min(least, free)
        if path not in todo.kept:
            free += _blocks(sizes.get(path, 0), about)
    if todo.changes and least * about.block < min(SLACK, about.blocks * about.block // 16):
        missing = min(SLACK, about.blocks * about.block // 16) - least * about.block
        other = "b" if todo.slot == "a" else "a"
        empty = f", or empty its slot {other}" if held.spare else ""
        raise DeployError(
            f"port {port}: the board is full: {size(missing)} more would have to be free than "
            f"the {size(about.free)} that are: remove files of your own (mpremote fs ls){empty}, "
            "or `uxmpp flash` begins anew. Nothing was changed"
        )


def _blocks(count: int, about: About) -> int:
    # Very small ones stay with their folder
    return -(-count // about.block) if count > 64 else 0


def describe(held: Held, todo: Plan) -> list[str]:
    """Return in lines what will be done."""
    lines = []
    old = {f"{todo.slot}/{path}" for path in held.slot_files} | set(held.root)
    lines += [f"remove  {path}" for path in todo.removed]
    for path, data in todo.changes.items():
        lines.append(f"{'change' if path in old else 'add   '}  {path}  {size(len(data))}")
    return lines


def carry_out(repl: Repl, held: Held, todo: Plan, report: Report) -> None:
    """Do it. Raises DeployError, which says in what state the board is."""
    total = sum(map(len, todo.changes.values()))
    done = 0
    at = ""
    began = False

    def told(before: int, there: int) -> None:
        report.at("files", before + there, total)

    def write(files: Mapping[str, bytes]) -> None:
        nonlocal done, at
        repl.run(_MAKE.format([folder[:-1] for folder in sorted(_folders(files))]))
        for path, data in files.items():
            at = path
            if path in todo.kept:
                repl.run(f"os.rename({path!r},{path + KEPT!r})")
            repl.write(path, data, partial(told, done))
            done += len(data)

    try:
        if todo.choose:
            # First: what is cut off is gone on with in this slot, whichever starts until then
            at = "slot"
            repl.write("slot", todo.slot.encode())
        if todo.manifest is not None:
            at = f"{todo.slot}/manifest"
            repl.run(_REMOVE.format([at]))
            # From here on the slot is not whole
            began = True
            repl.run(_REMOVE.format(list(todo.removed)))
            write(todo.program)
            write({f"{todo.slot}/manifest": todo.manifest})
            began = False
        write(todo.settings)
        write(todo.loader)
        if not held.layout:
            repl.run(_MAKE.format(list(content.SLOTS)))
    except (ReplError, KeyboardInterrupt) as e:
        raise DeployError(_cut(repl, held, todo, e, at, began)) from None


# What is there, or gone, already is as it should be
_REMOVE = """
for p in {}:
 feed()
 try:os.rmdir(p[:-1]) if p[-1]=='/' else os.remove(p)
 except OSError as e:
  if e.args[0]!=2:raise
"""
_MAKE = """
for p in {}:
 feed()
 try:os.mkdir(p)
 except OSError as e:
  if e.args[0]!=17:raise
"""


def _cut(repl: Repl, held: Held, todo: Plan, error: BaseException, at: str, began: bool) -> str:
    """Return what happened, in what state the board is, and what to do."""
    why, first = str(error), ""
    if isinstance(error, OnBoardError) and _FULL.search(error.error):
        why = f"port {repl.port}: the board's file system is full"
        first = "Take something out of the app, or files of your own from the board. "
    elif isinstance(error, KeyboardInterrupt):
        why = f"port {repl.port}: ended by Ctrl-C"
    other = "b" if todo.slot == "a" else "a"
    if not began:
        state = "its program is whole"
        if todo.manifest is not None and at not in todo.settings and at not in todo.loader:
            state = "its old program is whole"
        if not held.layout:
            state = "its old program starts still"
    elif not held.layout:
        state = "its old program starts still, ours is not whole yet"
    elif held.spare:
        version = held.heads[other].get("version", "?")[:20]
        state = f"slot {todo.slot} is not whole: it starts version {version} of slot {other}"
    else:
        state = f"slot {todo.slot} is not whole, and the board has no program to start"
    return (
        f"{why}; that was at {at}, and {state}. {first}Run `uxmpp deploy` again: it goes on with "
        "what is missing"
    )
