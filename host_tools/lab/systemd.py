"""systemd's own judgement of a unit, without a running systemd."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from . import debian
from .errors import LabError

COMMAND_LIMIT_S = 20.0

PACKAGES = debian.PackageSet(
    "systemd",
    (
        "systemd",
        "libacl1",
        "libapparmor1",
        "libaudit1",
        "libblkid1",
        "libc6",
        "libcap-ng0",
        "libcap2",
        "libcrypt1",
        "libmount1",
        "libpam0g",
        "libpcre2-8-0",
        "libseccomp2",
        "libselinux1",
        "libssl3t64",
        "libsystemd-shared",
        "libzstd1",
        "zlib1g",
    ),
    "systemd (250 or newer)",
)


@cache
def find() -> tuple[tuple[str, ...], str]:
    """Return the words that start systemd-analyze, and the folder of the distribution's units, ""
    for its own: the one on PATH, else Debian's, downloaded once. Raises LabError."""
    path = shutil.which("systemd-analyze")
    if path:
        return (path,), ""
    prefix = debian.prefix(PACKAGES)
    loader, option, libraries, program = prefix.argv("usr/bin/systemd-analyze")
    libraries += f":{prefix.libraries / 'systemd'}"
    units = prefix.root / "usr" / "lib" / "systemd" / "system"
    return (loader, option, libraries, program), f"{units}:"


def verify(unit: Path, folder: Path) -> list[str]:
    """Return what systemd-analyze finds wrong with a unit of the system's manager; none: all is
    well. `folder` is for its own files. Raises LabError."""
    command, units = find()
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "LC_ALL": "C.UTF-8"}
    if units:
        env["SYSTEMD_UNIT_PATH"] = units
    try:
        done = subprocess.run(
            [*command, "verify", "--man=no", str(unit)],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise LabError(f"systemd-analyze: {e}") from None
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode and not said:
        raise LabError(f"systemd-analyze ended with {done.returncode}")
    return said
