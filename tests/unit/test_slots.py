"""Which program a board runs: new, tried, given up; and with what is left of its files."""

import builtins
import os
import sys

import slots
from bundles import manifest
from helper import MICROPYTHON, raises
from test_updating import Flash, remove, write

HEAP = "500k"
FIRMWARE = __import__("thing").__path__ if MICROPYTHON else __import__("thing").__path__[0]
FIRMWARE = FIRMWARE[: -len("thing")]
NEW = {"app.mpy": b"new", "thing/x.mpy": b"x"}


def text():
    """What the file says, None where there is none."""
    try:
        with open("slot") as f:
            return f.read()
    except OSError:
        return None


def write_state(said):
    with open("slot", "w") as f:
        f.write(said)


class Board(Flash):
    """Slot a with version 1.1.0, b with 1.2.0; what it prints is in `said`. `sys.path` is what it
    was afterwards."""

    def __enter__(self):
        super().__enter__()
        self.said = []
        self.print = print
        builtins.print = lambda *words: self.said.append(" ".join([str(w) for w in words]))
        self.path = list(sys.path)
        write("b", NEW, manifest(NEW, "1.2.0"))
        return self

    def __exit__(self, *args):
        builtins.print = self.print
        sys.path[:] = self.path
        sys.modules.pop("app", None)
        super().__exit__(*args)

    def boot(self):
        """The slot that is first on the path after boot.py and what main.py does first."""
        sys.path[:] = self.path
        first = slots.begin()
        assert first is None or sys.path[0] == slots.root() + first
        if not slots.start():
            assert sys.path == self.path
            return None
        assert sys.path[1:] == self.path
        return sys.path[0][-1]


def program(slot, source):
    """Have the program of a slot be this."""
    name = slot + "/app.mpy"
    os.remove(name)
    with open(slot + "/app.py", "w") as f:
        f.write(source)
    os.remove(slot + "/manifest")
    write(slot, {}, manifest({"app.py": source.encode()}, "1.1.0" if slot == "a" else "1.2.0"))


def test_a_normal_boot_writes_nothing():
    with Board() as board:
        for said, slot in (("a", "a"), ("b", "b"), ("a back boots", "a"), ("b\n", "b")):
            write_state(said)
            assert slots.state()[:2] == (slot, None)
            before = os.stat("slot")[6:9]
            assert board.boot() == slot and text() == said
            assert os.stat("slot")[6:9] == before and "slot.new" not in os.listdir()
        os.remove("slot")
        assert board.boot() == "b" and text() is None


def test_tries():
    with Board() as board:
        slots.switch("b", "try", 0)
        assert text() == "b try 0"
        for n in (1, 2, 3):
            assert board.boot() == "b" and text() == "b try {}".format(n)
        assert board.boot() == "a" and text() == "a back boots"
        assert board.boot() == "a" and text() == "a back boots"
        assert slots.state() == ("a", None, "boots")
        slots.switch("a")
        assert slots.state() == ("a", None, "")
        # Confirmed in between
        slots.switch("b", "try", 0)
        assert board.boot() == "b"
        slots.switch("b")
        for _ in range(4):
            assert board.boot() == "b" and text() == "b"
        # Nowhere to go back to: it goes on as it is
        slots.switch("b", "try", 3)
        os.remove("a/manifest")
        assert board.boot() == "b" and text() == "b try 3"


def test_what_is_left():
    with Board() as board:
        for said in (
            "",
            "c",
            "a try",
            "b try x",
            "b back",
            "\xff\xff",
            "\n",
            "b " + "x" * 999,
            "ab",
        ):
            write_state(said)
            assert board.boot() == "b", said
            assert text() == said
        # The one it speaks of is not there
        write_state("b try 1")
        os.rename("b/manifest", "b/manifest.new")
        assert slots.state() == ("a", None, "") and board.boot() == "a"
        os.rename("b/manifest.new", "b/manifest")
        # Without a word of which: the newest that is whole
        for said in (None, "rubbish"):
            if said is None:
                os.remove("slot")
            else:
                write_state(said)
            os.rename("b/thing/x.mpy", "b/thing/y.mpy")
            assert board.boot() == "a"
            os.rename("b/thing/y.mpy", "b/thing/x.mpy")
            assert board.boot() == "b"
            with open("b/app.mpy", "w") as f:
                f.write("longer than it was")
            assert board.boot() == "a"
            with open("b/app.mpy", "wb") as f:
                f.write(NEW["app.mpy"])
        os.remove("slot")
        for wrong in (b"", b"uxmpp 2\n", b"\xff\xfe" * 9, b"uxmpp 1\nfile x y z\n", b"x" * 5000):
            with open("b/manifest", "wb") as f:
                f.write(wrong)
            assert board.boot() == "a", wrong
        remove("b")
        assert board.boot() == "a"
        remove("a")
        assert board.boot() is None and slots.state() == (None, None, "")
        os.mkdir("a")
        assert board.boot() is None
        assert board.said[-1] == (
            "There is no program: neither slot is whole. Flash the board again."
        )


def test_manifests():
    with Board():
        head = slots.head("b")
        assert head == {"app": "sensor", "version": "1.2.0", "board": "esp32", "mpy": "6"}
        assert slots.head("c") == {} and slots.head("b", "manifest.new") == {}
        found = list(slots.files("b"))
        assert [(size, path) for size, _, path in found] == [(3, "app.mpy"), (1, "thing/x.mpy")]
        assert slots.whole("b") and slots.there("b") and not slots.there("c")
        numbers = [slots.number(v) for v in ("0", "0.0.1", "1", "1.0.0.1", "1.2", "1.10", "65535")]
        assert numbers == sorted(numbers) and slots.number("1.2") == slots.number("1.2.0.0")
        for wrong in ("", "a", "1.", ".1", "1..2", "1.2.3.4.5", "65536", "000001", "-1", "1 2"):
            raises(ValueError, slots.number, wrong)


def test_what_cannot_be_counted_is_given_up():
    with Board() as board:
        slots.switch("b", "try", 0)
        os.mkdir("slot.new")  # in the place of flash that is full
        # Nowhere to go back to
        os.rename("a/app.mpy", "a/x.mpy")
        assert board.boot() == "b" and slots.state() == ("b", 0, "")
        os.rename("a/x.mpy", "a/app.mpy")
        assert board.boot() == "a" and slots.state() == ("a", None, "")
        assert board.said[-1].startswith("slot: cannot be written: ")
        assert text() == "b try 0" and not slots.there("b")
        # One that fails, too
        write("b", NEW, manifest(NEW, "1.2.0"))
        os.rmdir("slot.new")
        slots.switch("b", "try", 1)
        os.mkdir("slot.new")
        assert not slots.failed(ValueError("x"))  # where there is no board to be restarted
        assert slots.state() == ("a", None, "") and not slots.there("b")


def test_a_program_that_hangs():
    begun = []

    class Sys:
        platform = "esp32"
        path = sys.path
        modules = sys.modules

    class Machine:
        @staticmethod
        def WDT(timeout):  # noqa: N802 - as machine has it
            begun.append((timeout, text()))

    was = sys.modules.get("machine")
    sys.modules["machine"] = Machine
    slots.sys = Sys
    try:
        with Board() as board:
            Sys.path = sys.path
            slots.switch("b", "try", 0)
            for n in (1, 2, 3):
                assert board.boot() == "b"
                assert begun == [(slots.watchdog_ms, "b try {}".format(n))]
                begun.clear()
            # Neither the one before it, nor one that is confirmed
            assert board.boot() == "a" and not begun
            slots.switch("b")
            assert board.boot() == "b" and not begun
            # Less would not be enough for some boards, elsewhere
            Sys.platform = "rp2"
            slots.switch("b", "try", 0)
            assert board.boot() == "b" and not begun
    finally:
        slots.sys = sys
        sys.modules.pop("machine")
        if was:
            sys.modules["machine"] = was


def run_main():
    """What main.py of the firmware does."""
    with open(FIRMWARE + "main.py") as f:
        exec(f.read(), {"__name__": "__main__"})


def test_programs():
    with Board() as board:
        program("a", "import os\nos.mkdir('old ran')\n")
        program("b", "import nowhere\n")
        # It cannot be imported: the other one runs from the next boot on
        slots.switch("b", "try", 0)
        raises(ImportError, run_main)  # where there is no board to be restarted
        assert text().startswith("a back ") and "nowhere" in text(), text()
        assert slots.state()[2].split(":")[0] in ("ImportError", "ModuleNotFoundError")
        assert board.said == [slots.state()[2], board.said[-1]]
        assert board.said[-1] == "The new program does not start: the one before is back."
        sys.modules.pop("app", None)
        run_main()
        os.rmdir("old ran")
        assert sys.path[0] == slots.root() + "a"
        # A confirmed one that fails is shown, for somebody to look at
        sys.modules.pop("app", None)
        slots.switch("b")
        raises(ImportError, run_main)
        assert text() == "b"
        sys.modules.pop("app", None)
        program_error = "raise ValueError('long' * 90 + '\\n and more')\n"
        with open("b/app.py", "w") as f:
            f.write(program_error)
        slots.switch("b", "try", 1)
        raises(ValueError, run_main)
        why = slots.state()[2]
        assert why.startswith("ValueError: long") and len(why) == slots.MAX_WHY
        assert board.boot() == "a"
        # Confirmed before it failed
        sys.modules.pop("app", None)
        with open("b/app.py", "w") as f:
            f.write("import slots\nslots.switch('b')\nraise ValueError\n")
        slots.switch("b", "try", 1)
        raises(ValueError, run_main)
        assert text() == "b"
        # It leaves no memory: what it has loaded goes, so that there is some for `slots`
        if MICROPYTHON:
            modules = dict(sys.modules)
            program_error = "import sys\nsys.modules['large'] = sys\nraise MemoryError\n"
            with open("b/app.py", "w") as f:
                f.write(program_error)
            slots.switch("b", "try", 1)
            raises(MemoryError, run_main)
            assert "large" not in sys.modules
            sys.modules.update(modules)
            assert text() == "a back MemoryError:", text()
        sys.modules.pop("app", None)
        # Whoever ends it at the prompt is no failure
        sys.modules.pop("app", None)
        with open("b/app.py", "w") as f:
            f.write("raise KeyboardInterrupt\n")
        slots.switch("b", "try", 1)
        raises(KeyboardInterrupt, run_main)
        assert text() == "b try 2"


def test_main_leaves_no_slots_behind():
    with Board():
        program("a", "import sys\nassert 'slots' not in sys.modules\n")
        slots.switch("a")
        run_main()
        sys.modules["slots"] = slots
