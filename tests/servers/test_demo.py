"""`uxmpp demo`, as people start it: from a terminal, from a script, and with what cannot work."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pytest

from .helper import both

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from host_tools.cli import main; main()", "demo"]
LIMIT_S = 60.0
HINT = "type help, or end with Ctrl-C"
TEMPERATURE = r"greenhouse  temperature: \d+(\.\d+)? °C$"


class Demo:
    """`uxmpp demo` with these options, in a world of its own: what it starts is known by the
    folder for temporary files, and that has nothing else in it."""

    def __init__(self, *options):
        self._options = options

    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="demo-")
        self.folder = Path(self._temporary.name) / "tmp"
        self.folder.mkdir()
        # Where ports are leased is the same for all who may want one
        leases = Path(tempfile.gettempdir()) / f"uxmpp-ports-{os.getuid()}"
        leases.mkdir(mode=0o700, exist_ok=True)
        (self.folder / leases.name).symlink_to(leases)
        self._output = self.folder.with_name("output")
        self._errors = self.folder.with_name("errors")
        self._process = None
        return self

    def __exit__(self, *_):
        if self._process:
            self._process.kill()
            self._process.wait()
        self._temporary.cleanup()

    def start(self, stdin=subprocess.DEVNULL, before=None):
        """Start it; `before` runs in the new process, which has a session of its own."""

        def prepare():
            # Where the tests run in the background of a shell, Ctrl-C is ignored by inheritance
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if before:
                before()

        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*COMMAND, *self._options],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.folder), "PYTHONUNBUFFERED": "1"},
                stdin=stdin,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                preexec_fn=prepare,
            )

    def output(self):
        """What it said."""
        return self._output.read_text("utf-8")

    def errors(self):
        """What it complained of."""
        return self._errors.read_text("utf-8")

    def _until(self, true, what):
        end = time.monotonic() + LIMIT_S
        while not (found := true()):
            assert time.monotonic() < end, f"no {what} in {self.output()!r}"
            time.sleep(0.02)
        return found

    def wait_for(self, pattern):
        """Wait for a line of output that fits; returns the match."""

        def seen():
            found = re.search(pattern, self.output(), re.M)
            assert found or self._process.poll() is None, self.output() + self.errors()
            return found

        return self._until(seen, pattern)

    def processes(self):
        """The pids of the demo and of all that it has started."""
        mark = os.fsencode(f"TMPDIR={self.folder}") + b"\0"
        found = set()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.add(int(entry.name))
        return found

    def wait_for_processes(self, number):
        """Wait until there are so many."""
        return self._until(lambda: len(p := self.processes()) >= number and p, "processes")

    def signal(self, number):
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self):
        """Wait for its end, check that nothing of it is left, and return its exit code."""
        code = self._process.wait(LIMIT_S)
        self._until(lambda: not self.processes(), "end of what it started")
        assert [p for p in self.folder.iterdir() if not p.is_symlink()] == []
        if code in (0, 128 + signal.SIGINT, 128 + signal.SIGTERM):
            assert self.errors() == ""
        return code


@both
def test_once(runtime):
    """The whole conversation, as the README shows it."""
    with Demo("--once", "--runtime", runtime) as demo:
        demo.start()
        assert demo.end() == 0
        memory = "" if runtime == "cpython" else r", \d+ of 156 KB free"
        what = "CPython" if runtime == "cpython" else "32-bit MicroPython, 160k heap"
        lines = [
            r"server: .*lab\.example, 127\.0\.0\.1:\d+",
            rf"device: greenhouse on {what}.*",
            r"greenhouse  \[online\] temperature: [\d.]+ °C",
            r"greenhouse  temperature: [\d.]+ °C",
            r"humidity: [\d.]+ %",
            r"you  help",
            r"greenhouse  \*temperature\*: the reading in °C",
            r"you  temperature",
            r"greenhouse  temperature: [\d.]+ °C",
            r"you  Humidity\?",
            r"greenhouse  humidity: [\d.]+ %",
            r"you  relay",
            r"greenhouse  relay: off",
            r"you  relay on",
            r"greenhouse  relay: on",
            r"you  relay sideways",
            r"greenhouse  relay: must be on or off, not sideways",
            r"you  blink 2",
            r"greenhouse  blink: 2 times",
            r"you  status",
            rf"up \d+ s, 0 cuts, 0 faults, 0 dropped, 0 refused{memory}",
            r"you  open the door",
            r"greenhouse  I do not know open\. Try help\.",
            r"greenhouse  temperature: [\d.]+ °C",
        ]
        said = iter(demo.output().splitlines())
        for line in lines:
            assert any(re.fullmatch(" *" + line, s) for s in said), (line, demo.output())


def in_terminal(fd):
    """Make the terminal the new process's own, as a shell does; its Ctrl-C is a signal then."""

    def before():
        fcntl.ioctl(fd, termios.TIOCSCTTY, 0)

    return before


@pytest.fixture
def terminal():
    """(our end, the program's end) of a terminal."""
    ends = pty.openpty()
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.mark.parametrize(
    ("end", "code"),
    [(b"\x03", 130), (b"\x04", 0), (signal.SIGTERM, 143)],
    ids=["ctrl-c", "ctrl-d", "sigterm"],
)
def test_in_a_terminal(terminal, end, code):
    """What is typed is answered, until it ends in order; nothing of it is left."""
    ours, its = terminal
    with Demo() as demo:
        demo.start(its, in_terminal(its))
        demo.wait_for(HINT)
        os.write(ours, b"temperature\n  Relay ON\nwhat is that\n")
        demo.wait_for(HINT + r"\n(?s:.*)" + TEMPERATURE)
        demo.wait_for("greenhouse  relay: on$")
        demo.wait_for(r"greenhouse  I do not know that\. Try help\.$")
        # The demo, the server, the device
        assert len(demo.processes()) >= 3
        if isinstance(end, bytes):
            os.write(ours, end)
        else:
            demo.signal(end)
        assert demo.end() == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ended_while_it_starts(number, code):
    with Demo() as demo:
        demo.start()
        demo.wait_for_processes(2)
        demo.signal(number)
        assert demo.end() == code


ONE = ("temperature\n", [TEMPERATURE])
MANY = (
    "relay on\n\n  \nRelay?\nblink 1\nopen\nhumidity",
    ["relay: on", "relay: on", "blink: 1 times", r"I do not know open\.", "humidity: "],
)


@pytest.mark.parametrize(
    ("source", "text", "answers"),
    [("pipe", *ONE), ("pipe", *MANY), ("file", *MANY)],
    ids=["one-pipe", "many-pipe", "many-file"],
)
def test_input_that_is_no_terminal(source, text, answers):
    """All of it is answered before the end, in order."""
    with Demo() as demo:
        file = demo.folder.with_name("input")
        file.write_text(text)
        if source == "file":
            with file.open() as f:
                demo.start(f)
        else:
            ours, its = os.pipe()
            os.write(its, text.encode())
            os.close(its)
            demo.start(ours)
            os.close(ours)
        assert demo.end() == 0
        said = demo.output().partition(HINT)[2]
        for answer in answers:
            found = re.search(answer, said, re.M)
            assert found, demo.output()
            said = said[found.end() :]


@pytest.mark.parametrize("stdin", ["null", "closed"])
def test_without_input(stdin):
    with Demo() as demo:
        if stdin == "closed":
            demo.start(None, lambda: os.close(0))
        else:
            demo.start()
        assert demo.end() == 0
        assert HINT in demo.output()


@pytest.mark.parametrize(
    ("heap", "options", "why"),
    [
        ("40k", (), r"40k heap.*[Mm]emory"),
        ("40k", ("--once",), r"40k heap.*[Mm]emory"),
        ("xyz", (), r"heap 'xyz': must be a size like 160k"),
        ("", ("--once",), r"heap '': must be a size"),
        ("12", (), "12 heap"),
    ],
    ids=["small", "small-once", "words", "nothing", "bytes"],
)
def test_heap_that_cannot_be(heap, options, why):
    """One line that says so, and soon."""
    with Demo("--heap", heap, *options) as demo:
        demo.start()
        assert demo.end() == 1
        # Soon: the reason is the program's end, and no answer that did not come in time
        assert re.fullmatch(f"uxmpp: .*{why}.*\n", demo.errors()), demo.errors()
        assert "greenhouse  " not in demo.output()


def test_output_that_nobody_reads():
    """As of `uxmpp demo --once | head -1`: it ends, and says nothing of pipes."""
    with Demo("--once") as demo:
        demo.start(before=lambda: os.dup2(nobody_reads(), 1))
        assert demo.end() != 0
        assert len(demo.errors().splitlines()) <= 1 and "Traceback" not in demo.errors()


def nobody_reads():
    """The end of a pipe to nobody."""
    ours, its = os.pipe()
    os.close(ours)
    return its
