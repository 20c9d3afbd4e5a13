"""`uxmpp provision …`, again and again, killed by SIGKILL at one of the steps that leave a trace:
what is flushed to the disk, renamed and removed, what goes to the server and what comes from it.
How the processes ended is the last line printed.

    killed_provision.py "STEP before|after" … -- ARGUMENTS…
"""

import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "firmware")]

at = sys.argv.index("--")
times = sys.argv[1:at]
del sys.argv[1 : at + 1]
left = 0
before = False


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
from host_tools.provision import batch, one  # noqa: E402, F401 - once for all of them

ended = []
for time in times:
    pid = os.fork()
    if not pid:
        number, when = time.split()
        left = int(number)
        before = when == "before"
        main()
    ended.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(*ended)
