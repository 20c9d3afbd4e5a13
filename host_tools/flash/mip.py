"""The package.json files by which `mip` installs parts of the firmware on a board that runs.

    python -m host_tools.flash.mip                       write them
    python -m host_tools.flash.mip --check               are they up to date?
    python -m host_tools.flash.mip --base URL --to DIR   others, for a server of one's own

They list sources: those are for any version of MicroPython. The paths in them are beside
themselves: `mpremote mip` (1.25 and newer) knows such, a board's own mip up to 1.25 does not. For
that one whole URLs can be made, of the place URL where the folder firmware/ is served.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import UxmppError
from . import mpy

#: The packages, by the folder below firmware/ that their package.json is in: the folders that each
#: brings. Those that are not there are left out.
PACKAGES = {
    "": ("uxmpp", "thing", "umqtt"),
    "uxmpp": ("uxmpp",),
    "thing": ("thing",),
    "umqtt": ("umqtt",),
}
NAME = "package.json"

_BASE = re.compile(r"(https?://|github:|gitlab:|codeberg:)[!-~]+")


class MipError(UxmppError):
    """A package.json cannot be written, or is not what it has to be."""


def packages(firmware: Path = mpy.FIRMWARE, base: str = "") -> dict[str, str]:
    """Return what has to stand in each package.json, by its path below `firmware`; `base`: the
    URL of that folder, for whole URLs. Raises MipError."""
    if base and not _BASE.fullmatch(base):
        raise MipError(f"{base[:80]!r}: must be a URL, http://…, https://…, or github:owner/name")
    try:
        text = (firmware / "uxmpp" / "__init__.py").read_text("utf-8")
    except OSError as e:
        raise MipError(f"{firmware}: is no folder of uxmpp's firmware: {e.strerror}") from None
    version = re.search(r'^__version__ = "([0-9.]+)"$', text, re.M)
    if not version:
        raise MipError(f"{firmware / 'uxmpp' / '__init__.py'}: has no __version__")
    made = {}
    for name, folders in PACKAGES.items():
        found = [
            path.relative_to(firmware)
            for folder in folders
            for path in sorted((firmware / folder).rglob("*.py"))
            if not path.match(mpy.HOST_ONLY)
        ]
        urls = [
            [
                path.as_posix(),
                f"{base.rstrip('/')}/{path.as_posix()}"
                if base
                else path.relative_to(name).as_posix(),
            ]
            for path in found
        ]
        if urls:
            # A file a line, for whoever reads the changes
            lines = ",\n".join(f"    {json.dumps(pair)}" for pair in urls)
            text = f'{{\n  "version": "{version[1]}",\n  "urls": [\n{lines}\n  ]\n}}\n'
            made[f"{name}/{NAME}".lstrip("/")] = text
    return made


def wrong(firmware: Path = mpy.FIRMWARE) -> list[Path]:
    """Return the package.json files that are missing or out of date. Raises MipError."""
    return [
        firmware / name
        for name, text in packages(firmware).items()
        if _text(firmware / name) != text
    ]


def write(folder: Path = mpy.FIRMWARE, base: str = "") -> list[Path]:
    """Write into `folder` those that are out of date there, and return them. Raises MipError."""
    written = []
    for name, text in packages(base=base).items():
        path = folder / name
        if _text(path) == text:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        except OSError as e:
            raise MipError(f"{path}: cannot be written: {e.strerror}") from None
        written.append(path)
    return written


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m host_tools.flash.mip")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--base", default="", help="where firmware/ is served, for whole URLs")
    parser.add_argument("--to", type=Path, help="the folder for those with whole URLs")
    given = parser.parse_args(words)
    if bool(given.base) != bool(given.to) or given.check and given.to:
        parser.error("--base and --to belong together, without --check")
    try:
        found = wrong() if given.check else write(given.to or mpy.FIRMWARE, given.base)
    except UxmppError as e:
        print(f"mip: {e}", file=sys.stderr)
        return 1
    for path in found:
        print(f"{path}: {'is out of date' if given.check else 'written'}")
    return 1 if given.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
