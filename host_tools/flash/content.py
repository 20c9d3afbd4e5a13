"""What stands in a device's flash: the loader, a slot with the program, and the settings.

boot.py main.py slots.mpy    the loader, which no update over the air touches
device.json ca.der …         the settings; login keys, not the password
a/                           a slot: manifest, app.mpy, uxmpp/, thing/, what the app imports, and
                             umqtt/ where it does
b/                           the other slot, empty
"""

import ast
import binascii
import json
import re
import ssl
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from ..provision.device_file import DeviceFile
from ..update import bundle
from . import bytecode, mpy, reached
from .boards import Board

#: The version of MicroPython's bytecode that mpy-cross makes, and that a device must take.
MPY = 6
VERSION = "0.1.0"
SLOTS = ("a", "b")
#: The files of the loader: source, for MicroPython looks for these by name, and bytecode.
LOADER = ("boot.py", "main.py")
LOADER_MPY = ("slots.py",)
#: What a device loads for a key of its own, or pubsub.payload, as it does the surfaces.
BY_KEY = ("mqtt", "sleep", "update")
#: What a device's own files may grow to, in bytes: reports, history, what was sent to it.
ROOM = 160 * 1024
#: The most bytes of a file that a setting names: a certificate, a picture.
MAX_FILE = 65536

_APPS = mpy.FIRMWARE / "apps"
_LIBRARY = ("uxmpp", "thing", "umqtt")
# What only few programs use: without them it is no part of a slot
_SELDOM = "umqtt/"
# What stands in a slot or beside it by these names
_TAKEN = ("app", "boot", "main", "slots", "hal", *_LIBRARY)


class ContentError(UxmppError):
    """What a device's flash cannot be filled with, and why."""


def find_app(device: DeviceFile, app: str | None = None) -> Path:
    """Return the file of the app: `app`, else what device.toml says: a path, one beside the
    device.toml where it is named there, or the name of one in firmware/apps. Raises
    ContentError."""
    given = app or device.app
    if not given:
        raise ContentError(f'which app? Name its file, or write app = "…" into {device.path}')
    beside = Path(given) if app else device.path.parent / given
    ours = _APPS / f"{given.removesuffix('.py')}.py"
    for path in (beside, ours) if Path(given).name == given else (beside,):
        try:
            if path.is_file():
                return path.absolute()
        except OSError as e:
            raise ContentError(f"{path}: cannot be read: {e.strerror}") from None
    there = ", ".join(sorted(p.stem for p in _APPS.glob("*.py")))
    raise ContentError(f"{beside}: there is no such app; uxmpp itself has {there}")


def surfaces(device: DeviceFile) -> list[str]:
    """Return the surfaces that a device loads: those that its file names, and what it turns on by
    a table of its own, such as `sleep`, or by the payload of its `pubsub`."""
    payload = device.values.get("pubsub", {}).get("payload", "json")
    return [*device.values.get("surfaces", ("chat",)), *device.values, payload]


def slot_files(board: Board, app: Path, surfaces: Iterable[str] | None = None) -> dict[str, bytes]:
    """Return the files of a slot by their path in it, without the manifest: the app as app.mpy,
    the library, the agent, what the app imports from beside it (or from the folder `lib` there),
    and the board's hal and drivers; umqtt where the app, or one of `surfaces`, uses it.

    Where the flash is too small for two such slots, the parts of the agent that only other
    surfaces than `surfaces` use are left out. Raises ContentError, MpyError, SourceError.
    """
    if board.port == "linux":
        raise ContentError(
            f"{board.name}: there is nothing to flash: the app runs under Linux, `uxmpp run`"
        )
    if not app.is_file():
        raise ContentError(f"{app}: there is no such app")
    made = {"app.mpy": _compiled(app, app.name)}
    made.update(_beside(app))
    made.update(_hardware(board))
    made.update(library())
    unused = _unused(app, surfaces)
    for name in unused:
        if name.startswith(_SELDOM):
            made.pop(name, None)
    if surfaces is not None and 2 * _blocks(made, board) + ROOM > board.fs_size:
        for name in unused:
            made.pop(name, None)
    return dict(sorted(made.items()))


def manifest(
    board: Board, app_name: str, version: str, files: Mapping[str, bytes], key: str | None = None
) -> bytes:
    """Return the manifest of a slot with `files`; `key`: the public key, 64 hex digits, that
    later updates must be signed by. Raises BundleError."""
    entries = tuple(
        bundle.Entry(path, len(data), sha256(data).hexdigest())
        for path, data in sorted(files.items())
    )
    return bundle.Manifest(app_name, version, board.name, MPY, entries, key).data()


def settings_files(
    device: DeviceFile, password: str | None = None, *, keys: Sequence[Any] | None = None
) -> dict[str, bytes]:
    """Return device.json and the files that it names, certificates as DER. It holds `keys`, as
    login_keys.derive() returns them, or those of device.toml; the password only where `password`
    gives one: whoever reads the flash has it then. Raises ContentError."""
    made = device.device_json()
    made.pop("password", None)
    if keys:
        made["keys"] = list(keys)
    elif password:
        made["password"] = password
        made.pop("keys", None)
    files: dict[str, bytes] = {}
    for table, name in (("", "ca.der"), ("files", "web.der")):
        part = made.get(table, {}) if table else made
        if part.get("ca"):
            der = certificate(Path(part["ca"]))
            part["ca"] = next((n for n, data in files.items() if data == der), name)
            files[part["ca"]] = der
    profile = made.get("profile", {})
    if profile.get("avatar"):
        picture = Path(profile["avatar"])
        profile["avatar"] = f"avatar{_suffix(picture)}"
        files[profile["avatar"]] = _contents(picture)
    files["device.json"] = json.dumps(made, ensure_ascii=False, indent=1).encode()
    return dict(sorted(files.items()))


def loader_files() -> dict[str, bytes]:
    """Return the loader: what stands beside the slots. Raises MpyError."""
    made = {name: _contents(mpy.FIRMWARE / name) for name in LOADER}
    for name in LOADER_MPY:
        path = mpy.FIRMWARE / name
        made[f"{path.stem}.mpy"] = _compiled(path, name, opt=mpy.LIBRARY_OPT)
    return made


def device_files(
    device: DeviceFile,
    board: Board,
    password: str | None = None,
    *,
    keys: Sequence[Any] | None = None,
    version: str | None = None,
    slot: str = "a",
    app: Path | None = None,
    key: str | None = None,
) -> dict[str, bytes]:
    """Return all files of a device by their path, "b/" being an empty folder: loader, settings,
    and the program in `slot`. `password` and `keys`: as settings_files() has them; `version`:
    else device.toml's. Raises ContentError, MpyError, BundleError, SourceError."""
    if slot not in SLOTS:
        raise ContentError(f"slot {slot!r}: must be {' or '.join(SLOTS)}")
    app = app or find_app(device)
    files = slot_files(board, app, surfaces(device))
    version = version or device.values.get("version", VERSION)
    made = {**loader_files(), **settings_files(device, password, keys=keys)}
    told = manifest(board, app_name(app), version, files, key)
    made.update({f"{slot}/{path}": data for path, data in files.items()})
    made[f"{slot}/manifest"] = told
    made.update({f"{other}/": b"" for other in SLOTS if other != slot})
    return dict(sorted(made.items()))


def spare(board: Board, files: Mapping[str, bytes]) -> int:
    """Return about how many bytes of the file system stay free for the device's own files when
    the other slot of `files`, as device_files() returns them, is as full as this one. Below 0: an
    update over the air does not fit."""
    slot = {path: data for path, data in files.items() if path[:2] in ("a/", "b/")}
    return board.fs_size - _blocks(files, board) - _blocks(slot, board)


def app_name(app: Path) -> str:
    """Return the name of an app in manifests: that of its file, without what is not allowed
    there; of `main.py` and `app.py` that of its folder."""
    name = app.stem if app.stem not in ("main", "app") else app.absolute().parent.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:32] or "app"


@lru_cache(maxsize=1)
def library() -> Mapping[str, bytes]:
    """Return the library, the agent and umqtt, compiled, by path. Raises MpyError."""
    with tempfile.TemporaryDirectory(prefix="uxmpp-library-") as folder:
        bytecode.library(Path(folder))
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(Path(folder).rglob("*.mpy"))
        }


def certificate(path: Path) -> bytes:
    """Return the DER of the first certificate in a file, be it PEM or DER. Raises
    ContentError."""
    data = _contents(path)
    begin, end = (b"-----%s CERTIFICATE-----" % word for word in (b"BEGIN", b"END"))
    if begin in data:
        first = data[data.index(begin) :].partition(end)[0] + end
        try:
            return ssl.PEM_cert_to_DER_cert(first.decode("ascii"))
        except (ValueError, binascii.Error):
            raise ContentError(f"{path}: is no PEM of a certificate") from None
    return data


def _beside(app: Path) -> dict[str, bytes]:
    """Return what the app imports from its folder, or from `lib` in it."""
    folders = [app.parent, app.parent / "lib"]
    made = {}
    for name, path in reached.files([app], folders).items():
        top = name.partition("/")[0].removesuffix(".py")
        if top in _TAKEN:
            raise ContentError(
                f"{path}: the name {top} is taken on a device: call it something else"
            )
        made[_mpy(name)] = _compiled(path, name)
    return made


def _hardware(board: Board) -> dict[str, bytes]:
    """Return the board's hal and the drivers that it imports."""
    if not board.hal_folder:
        return {}
    hal = board.hal_folder / "hal.py"
    # Drivers of a maker's own are beside the board's file; ours are known everywhere
    folders = [board.hal_folder, board.path.parent, mpy.FIRMWARE.parent / "boards"]
    made = {"hal.mpy": _compiled(hal, "hal.py", opt=mpy.LIBRARY_OPT)}
    for name, path in reached.files([hal], folders).items():
        made[_mpy(name)] = _compiled(path, name, opt=mpy.LIBRARY_OPT)
    return made


def _unused(app: Path, surfaces: Iterable[str] | None) -> list[str]:
    """Return the files of library, agent and umqtt that neither the app nor one of `surfaces`
    uses, None being all of these."""
    folders = [mpy.FIRMWARE, app.parent, app.parent / "lib"]
    every = {*_surfaces(), *BY_KEY}
    without = [f"thing.{name}" for name in every - set(every if surfaces is None else surfaces)]
    if not _has_topics(app):
        without.append("thing.topics")
    used = {_mpy(name) for name in reached.files([app], folders, without)}
    return [name for name in library() if name not in used]


def _has_topics(app: Path) -> bool:
    """Tell whether an app, or what it imports from its folder, may call Thing.topic() or
    Thing.publish()."""
    beside = reached.files([app], [app.parent, app.parent / "lib"])
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("topic", "publish")
        for path in (app, *beside.values())
        for node in ast.walk(ast.parse(path.read_bytes()))
    )


@lru_cache(maxsize=1)
def _surfaces() -> tuple[str, ...]:
    """Return config.SURFACES, without loading it."""
    for node in ast.parse((mpy.FIRMWARE / "thing" / "config.py").read_bytes()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SURFACES":
            return tuple(ast.literal_eval(node.value))
    raise ContentError("firmware/thing/config.py: has no SURFACES")


def _blocks(files: Mapping[str, bytes], board: Board) -> int:
    """Return about how many bytes of a file system files take: littlefs keeps small ones with
    their folder, which takes two blocks."""
    size = board.block_size
    small = min(board.cache_size, size // 8)
    whole = sum(-(-len(data) // size) for data in files.values() if len(data) > small)
    folders = {path.rpartition("/")[0] for path in files}
    names = sum(len(data) + 64 for data in files.values() if len(data) <= small)
    return (whole + 2 * len(folders) + 2 * (names // size)) * size


def _compiled(path: Path, name: str, opt: int = 2) -> bytes:
    with tempfile.TemporaryDirectory(prefix="uxmpp-content-") as folder:
        return mpy.compile_file(path, Path(folder, "made.mpy"), name=name, opt=opt).read_bytes()


def _mpy(name: str) -> str:
    return f"{name.removesuffix('.py')}.mpy"


def _suffix(path: Path) -> str:
    return path.suffix.lower() if re.fullmatch(r"\.[a-z0-9]{1,8}", path.suffix.lower()) else ""


def _contents(path: Path) -> bytes:
    try:
        with path.open("rb") as f:
            data = f.read(MAX_FILE + 1)
    except OSError as e:
        raise ContentError(f"{path}: cannot be read: {e.strerror}") from None
    if len(data) > MAX_FILE:
        raise ContentError(f"{path}: is longer than {MAX_FILE} bytes: too much for a device")
    return data
