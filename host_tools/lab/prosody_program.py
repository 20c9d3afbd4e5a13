"""Where a Prosody 13 comes from: the one installed here, or Debian's, unpacked."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from . import debian
from .errors import LabError

OLDEST = (13, 0)
COMMAND_LIMIT_S = 20.0
# Community modules that a login of one round trip needs.
NEEDED_MODULES = ("sasl2", "sasl2_bind2", "sasl2_fast", "sasl2_sm")

PACKAGES = debian.PackageSet(
    "prosody",
    (
        "prosody",
        "prosody-modules",
        "lua5.4",
        "lua-bitop",
        "lua-event",
        "lua-expat",
        "lua-filesystem",
        "lua-readline",
        "lua-sec",
        "lua-socket",
        "lua-unbound",
        "libc6",
        "libevent-2.1-7t64",
        "libexpat1",
        "libgcc-s1",
        "libicu76",
        "libreadline8t64",
        "libssl3t64",
        "libstdc++6",
        "libtinfo6",
        "libunbound8",
        "libzstd1",
        "zlib1g",
    ),
    "prosody (13 or newer) with prosody-modules and lua-unbound",
)


@dataclass(frozen=True)
class ProsodyProgram:
    """Prosody's server and its control program, and the environment that both need.

    `prefix` is where they were unpacked, None for an installed one.
    """

    server: tuple[str, ...]
    control: tuple[str, ...]
    prefix: debian.Prefix | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def placed(self, folder: Path) -> "ProsodyProgram":
        """Return it ready to start with `folder` as the place of its configuration and data.

        Of an unpacked one, whose two scripts hold the paths of an installed system, copies
        with other paths are written into `folder`.
        """
        if self.prefix is None:
            return self
        source = self.prefix.root / "usr" / "lib" / "prosody"
        paths = {
            "SOURCE": source,
            "PLUGIN": source / "modules",
            "CONFIG": folder,
            "DATA": folder / "data",
        }
        starts = []
        for name in ("prosody", "prosodyctl"):
            script = (self.prefix.root / "usr" / "bin" / name).read_text()
            for kind, path in paths.items():
                line = f"CFG_{kind}DIR={lua(path)};"
                script = re.sub(
                    rf"^CFG_{kind}DIR=.*$", line.replace("\\", r"\\"), script, count=1, flags=re.M
                )
            copy = folder / f"{name}.lua"
            copy.write_text(script)
            starts.append((*self.prefix.argv("usr/bin/lua5.4"), str(copy)))
        return ProsodyProgram(starts[0], starts[1], self.prefix, self.env)


def lua(value: object) -> str:
    """Return `value` (None, a boolean, number, string, path, list or dict) as a Lua literal."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | os.PathLike):
        escaped = "".join(
            c if " " <= c <= "~" and c not in '"\\' else "".join(f"\\{b:03d}" for b in c.encode())
            for c in os.fspath(value)
        )
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{ " + "".join(f"[{lua(k)}] = {lua(v)}; " for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        return "{ " + "".join(f"{lua(v)}; " for v in value) + "}"
    raise LabError(f"a {type(value).__name__} has no form in Prosody's configuration: {value!r}")


@cache
def find() -> ProsodyProgram:
    """Return the Prosody on PATH if it is fit, else Debian's, downloaded once.

    Raises LabError when neither is to be had.
    """
    server = _which("prosody")
    control = _which("prosodyctl")
    if server and control and _fit(control):
        return ProsodyProgram((server,), (control,))
    prefix = debian.prefix(PACKAGES)
    lua_version = "5.4"
    shared = prefix.root / "usr" / "share" / "lua" / lua_version
    libraries = prefix.libraries
    return ProsodyProgram(
        (),
        (),
        prefix,
        {
            "LUA_PATH": f"{shared}/?.lua;{shared}/?/init.lua",
            "LUA_CPATH": f"{libraries}/lua/{lua_version}/?.so",
            # The machine's own OpenSSL configuration speaks of the machine's own OpenSSL.
            "OPENSSL_MODULES": str(libraries / "ossl-modules"),
            "OPENSSL_CONF": "/dev/null",
        },
    )


def _which(name: str) -> str | None:
    # Servers live where a user's PATH does not always lead.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _fit(control: str) -> bool:
    """Ask the control program, for asking an old server its version starts it."""
    with tempfile.TemporaryDirectory(prefix="uxmpp-") as folder:
        config = Path(folder) / "prosody.cfg.lua"
        config.write_text(f'run_as_root = true\ndata_path = {lua(folder)}\nVirtualHost "probe"\n')
        try:
            done = subprocess.run(
                [control, "--config", str(config), "about"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_LIMIT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    version = re.search(r"^Prosody (\d+)\.(\d+)", done.stdout, re.M)
    if done.returncode or not version or tuple(map(int, version.groups())) < OLDEST:
        return False
    folders = [Path(p) for p in re.findall(r"^\s+(/\S*?)/?(?:\s+- .*)?$", done.stdout, re.M)]
    return all(
        any((f / f"mod_{m}" / f"mod_{m}.lua").exists() for f in folders) for m in NEEDED_MODULES
    )
