"""`uxmpp provision …`, killed by SIGKILL at one of the steps that leave a trace: what is flushed
to the disk, renamed and removed, what goes to the server and what comes from it.

    killed_provision.py STEP before|after ARGUMENTS…
"""

import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "firmware")]

left = int(sys.argv.pop(1))
before = sys.argv.pop(1) == "before"


def step():
    global left
    left -= 1
    return left == 0


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def counted(f):
    def do(*args, **options):
        last = step()
        if last and before:
            kill()
        result = f(*args, **options)
        if last:
            kill()
        return result

    return do


def awaited(f):
    async def do(*args):
        last = step()
        if last and before:
            kill()
        result = await f(*args)
        if last:
            kill()
        return result

    return do


os.fsync = counted(os.fsync)
for name in ("replace", "rename", "unlink"):
    setattr(Path, name, counted(getattr(Path, name)))

from uxmpp.stream import Stream  # noqa: E402

Stream.read = awaited(Stream.read)
Stream.write = awaited(Stream.write)

from host_tools.cli import main  # noqa: E402

main()
