"""Running an app of a device on a Linux computer: what `uxmpp run` does."""

import asyncio
import fcntl
import json
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ..errors import UxmppError
from ..flash.mpy import FIRMWARE
from ..provision.device_file import DeviceFile
from ..provision.secret import VARIABLE, password
from .errors import HardwareError
from .journal import ERROR, INFO, Lines, is_journal

#: MicroPython's modules that are files of this folder.
MODULES = ("camera", "dht", "ds18x20", "machine", "micropython", "onewire")
# Older drivers call these by their old names
_OLD = "binascii collections errno hashlib io json os random re select socket struct sys time"

_CONFIG = "device.json"


def state_folder(name: str, given: Path | None = None) -> Path:
    """Return the folder that a device of that name keeps its files in: `given`, or systemd's, or
    the user's own. Raises UxmppError."""
    if given:
        return given.absolute()
    systemd = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if systemd:
        return Path(systemd)
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return Path(home).expanduser().absolute() / "uxmpp" / name
    except RuntimeError:
        raise UxmppError("the user has no home: name the folder for its files, --state") from None


def run(app: Path, config: DeviceFile, state: Path) -> int:
    """Run `app` until it ends, with its files in the folder `state`; the exit code. Raises
    UxmppError."""
    if not hasattr(os, "fork"):
        raise UxmppError("uxmpp run needs Linux")
    secret = password(config.jid, config.values.get("password"), ask="keys" not in config.values)
    if not secret and not config.values.get("keys"):
        raise UxmppError(
            f"{config.jid}: there is no password: set {VARIABLE}, or keep it by "
            f"`keyring set uxmpp {config.jid}`, or give systemd the credential `password`"
        )
    made = config.device_json(secret)
    if made.pop("wifi", None):
        print("wifi: left to the system")
    with _locked(state), _device_json(made):
        # Until the device runs, and has its own way to end
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        _path(app)
        journal = is_journal(sys.stderr) or is_journal(sys.stdout)
        out = Lines(sys.stdout, INFO, journal)
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = out, Lines(sys.stderr, ERROR, journal)
        try:
            return _run(app, out)
        except UxmppError as e:  # in the journal, an error
            print(f"uxmpp: {e}", file=sys.stderr)
            return 1
        finally:
            sys.stdout, sys.stderr = before


def _run(app: Path, out: Lines) -> int:
    thing = import_module("thing")
    agent = import_module("host_tools.linux.agent").Agent
    agent.out = out
    thing.Thing = agent  # type: ignore[attr-defined]
    sys.argv = [str(app)]
    try:
        runpy.run_path(str(app), run_name="__main__")
    except SyntaxError as e:
        raise UxmppError(f"{e.filename}:{e.lineno}: {e.msg}") from None
    except UnicodeDecodeError as e:
        raise UxmppError(f"{app}: is not UTF-8: {e.reason}") from None
    except HardwareError as e:
        raise UxmppError(f"{_place(e, app)}{e}") from None
    except ModuleNotFoundError as e:
        raise UxmppError(
            f"{_place(e, app)}there is no module {e.name} here: put {e.name}.py beside the app, "
            "or into the folder lib there"
        ) from None
    except ImportError as e:
        raise UxmppError(f"{_place(e, app)}{e}") from None
    except Exception as e:
        # A mistake in the program: whoever wrote it needs all of it, but for what is ours
        tb = e.__traceback__
        while tb and tb.tb_frame.f_code.co_filename != str(app):
            tb = tb.tb_next
        traceback.print_exception(e.with_traceback(tb or e.__traceback__))
        return 1
    return 0


def _place(e: BaseException, app: Path) -> str:
    """Return where in the app it went wrong, "app.py:12: "."""
    found = [f for f in traceback.extract_tb(e.__traceback__) if f.filename == str(app)]
    return f"{app.name}:{found[-1].lineno}: " if found else f"{app.name}: "


# What an app finds around it


class _Modules(MetaPathFinder, Loader):
    """Finds MODULES in this folder, unless there are such files in `folders`: drivers of the
    app's own."""

    def __init__(self, app: Path, folders: Sequence[Path]) -> None:
        self._app = app
        self._folders = folders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        ours = Path(__file__).with_name(f"{fullname}.py")
        if (
            fullname not in MODULES
            or not ours.exists()
            or any(
                file != self._app and file.exists()
                for folder in self._folders
                for file in (folder / f"{fullname}.py", folder / fullname)
            )
        ):
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return import_module(f"host_tools.linux.{spec.name}")

    def exec_module(self, module: ModuleType) -> None:
        pass  # it was, as what it is in this package


def _path(app: Path) -> None:
    """Have the app's modules found, then ours, and give modules what they have on a board."""
    sys.path.insert(0, str(FIRMWARE))
    # An app may have the name of a module: its folder hides none of Python's own, and apps of
    # ours, such as `camera`, not what they are for
    folders = [str(folder) for folder in (app.parent, app.parent / "lib")]
    packages = (i for i, p in enumerate(sys.path) if Path(p).name.endswith("-packages"))
    at = next(packages, len(sys.path))
    sys.path[at:at] = folders
    drivers = [] if app.parent == FIRMWARE / "apps" else [Path(f) for f in folders]
    sys.meta_path.insert(0, _Modules(app, drivers))
    for name in _OLD.split():
        sys.modules.setdefault(f"u{name}", import_module(name))

    def ticks(unit_ns: int) -> object:
        return lambda: time.monotonic_ns() // unit_ns

    for name, f in {
        "ticks_ms": ticks(1_000_000),
        "ticks_us": ticks(1_000),
        "ticks_diff": lambda a, b: a - b,
        "ticks_add": lambda a, b: a + b,
        "sleep_ms": lambda ms: time.sleep(ms / 1_000),
        "sleep_us": lambda us: time.sleep(us / 1_000_000),
    }.items():
        setattr(time, name, f)
    asyncio.sleep_ms = lambda ms: asyncio.sleep(ms / 1_000)  # type: ignore[attr-defined]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Work in the folder, which is made, and nobody else in it."""
    os.umask(0o077)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_mode & 0o002 or found.st_uid not in (os.geteuid(), 0):
            # They could have what is written there land elsewhere, by links
            raise UxmppError(f"{folder}: others can write there: name another --state")
        lock = os.open(folder / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
        os.chdir(folder)
    except OSError as e:
        raise UxmppError(f"{folder}: cannot be the device's folder: {e.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise UxmppError(f"{folder}: another `uxmpp run` works there") from None
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def _device_json(made: dict[str, object]) -> Iterator[None]:
    """Have a device.json in the working directory. Where the kernel can, only its name is there:
    the password does not get onto the SD card."""
    path = Path(_CONFIG)
    if path.exists() and not path.is_symlink():
        raise UxmppError(
            f"{path.absolute()}: is in the way: with device.toml it is made anew each time; "
            "remove it, or name another --state"
        )
    text = json.dumps(made).encode()
    try:
        path.unlink(missing_ok=True)
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create(_CONFIG)
            path.symlink_to(f"/proc/self/fd/{fd}")
        else:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, text)
    except OSError as e:
        raise UxmppError(f"{path.absolute()}: cannot be made: {e.strerror}") from None
    try:
        yield
    finally:
        os.close(fd)
        with suppress(OSError):
            path.unlink()
