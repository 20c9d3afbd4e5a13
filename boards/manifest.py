# ruff: noqa: F821 - a manifest's functions are there when MicroPython's build runs it
# Freezes the library, the agent, and what is asked for besides, into a firmware of one's own:
#
#   include("…/boards/manifest.py", hal="t-watch-s3", app="/home/me/station.py")
#
# `hal`: the folder, here or by its absolute path, with a board's hal.py. `app`: an app's absolute
# path, or its name in firmware/apps; what it imports from beside it comes along. See
# docs/new-board.md.

import sys
from pathlib import Path

options.defaults(app=None, hal=None)

root = Path("..").resolve()
sys.path.insert(0, str(root))
try:
    from host_tools.flash import reached
finally:
    sys.path.remove(str(root))

firmware = root / "firmware"
for name in ("uxmpp", "thing"):
    found = sorted(p.relative_to(firmware / name) for p in (firmware / name).rglob("*.py"))
    # The halves for CPython stay here. No line numbers: nothing on a device shows them
    names = [p.as_posix() for p in found if not p.stem.endswith("_cpython")]
    package(name, files=names, base_path=str(firmware), opt=3)

parts = []
if options.hal:
    hal = Path(options.hal).resolve()
    parts.append((hal / "hal.py", [hal, hal.parent, root / "boards"]))
if options.app:
    app = Path(options.app)
    if app.name == options.app:
        app = firmware / "apps" / (app.stem + ".py")
    parts.append((app, [app.parent, app.parent / "lib"]))
for start, folders in parts:
    module(start.name, base_path=str(start.parent))
    for name, path in reached.files([start], folders).items():
        module(name, base_path=str(path)[: -len(name) - 1])
