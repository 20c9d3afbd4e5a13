"""From power on to the prompt, as a board's firmware does it: the file system, boot.py, main.py.

What is not for the serial line goes out between its bytes, framed: _MARK, a kind, the length (4
bytes, little-endian) and the content. Kinds: H what the hardware does, K the character that
interrupts (255: none), B bytes that stay as they are. All else is text: "\\n" becomes "\\r\\n".
"""

import gc
import io
import json
import os
import sys
import time
from collections import namedtuple

import micropython
import outside
import power
import vfs

from .flash import BLOCK, Flash

#: Where the modules and files of the hardware are; they are no part of the board.
PLACE = "sim"
_MARK = b"\0~U"
_SMALL = 512  # that goes out in one piece
_CORRUPTED_S = 3
_GET_FILENO = 10  # of a stream's ioctl

#: Text for the serial line.
put = sys.stdout.buffer.write
_HELLO = "# Runs at each start, before main.py.\n"


def _frame(kind, data):
    head = _MARK + kind + len(data).to_bytes(4, "little")
    if len(data) > _SMALL:
        put(head)
        put(data)
    else:
        put(head + bytes(data))


def _say(text):
    _frame(b"H", text.encode())


def interrupt_by(char):
    """As micropython.kbd_intr."""
    _frame(b"K", bytes((char & 255,)))


class _Over:
    """A built-in module some of whose names are others here."""

    def __init__(self, module, names):
        self._module = module
        for name in names:
            setattr(self, name, names[name])

    def __getattr__(self, name):
        return getattr(self._module, name)

    def __repr__(self):
        return repr(self._module)


class _Stream(io.IOBase):
    def flush(self):
        pass

    def ioctl(self, op, arg):
        return 1 if op == _GET_FILENO else arg


class _Bytes(_Stream):
    """sys.stdout.buffer."""

    def write(self, data, *part):
        if isinstance(data, str):
            data = data.encode()
        if part:  # the length, or the offset and the length
            begin = part[0] if len(part) > 1 else 0
            data = memoryview(data)[begin : begin + part[-1]]
        _frame(b"B", data)
        return len(data)


class _Out(_Stream):
    """sys.stdout."""

    def __init__(self):
        self.buffer = _Bytes()

    def write(self, data):
        put(data)
        return len(data)


_ilistdir = os.ilistdir


def _listed(path="."):
    found = _ilistdir(path)
    if path == "/" or (path in (".", "") and os.getcwd() == "/"):
        return (entry for entry in found if entry[0] != PLACE)
    return found


def _names(path="."):
    return [entry[0] for entry in _listed(path)]


def _mounted(*args, **options):
    if args or options:
        return vfs.mount(*args, **options)
    return [entry for entry in vfs.mount() if entry[1] != "/" + PLACE]


def _become(config):
    """Have the built-in modules speak of a board."""
    release = config["release"]
    machine = config["machine"]
    uname = namedtuple("uname", ("sysname", "nodename", "release", "version", "machine"))(
        config["port"], config["port"], release, config["version"], machine
    )
    implementation = namedtuple(
        "implementation", ("name", "version", "_machine", "_mpy", "_build")
    )("micropython", sys.implementation.version, machine, config["mpy"], config["build"])
    version = "3.4.0; MicroPython {}".format(config["version"])
    sys.modules["sys"] = _Over(
        sys,
        {
            "platform": config["port"],
            "implementation": implementation,
            "version": version,
            "stdout": _Out(),
        },
    )
    sys.modules["os"] = _Over(
        os,
        {
            "uname": lambda: uname,
            "ilistdir": _listed,
            "listdir": _names,
            "mount": _mounted,
            "sync": lambda: None,
        },
    )
    for name in ("sys", "os"):  # by their old names
        sys.modules["u" + name] = sys.modules[name]
    sys.modules["vfs"] = _Over(vfs, {"mount": _mounted})
    sys.modules["micropython"] = _Over(micropython, {"kbd_intr": interrupt_by})
    outside.folder = "/" + PLACE + "/"
    outside.say = _say
    if hasattr(time, "set_clock"):  # it was loaded before it could know
        import boardclock
        import utime

        boardclock.start(utime.time())


def _mount(config, flash):
    """What the firmware's own first script does: an ESP32's makes a file system only where there
    is nothing at all, an RP2's wherever there is none that it can read."""
    counter = open("/" + PLACE + "/writes.bin", "r+b", 0)
    device = Flash(flash, config["at"], config["size"] // BLOCK, counter)
    options = {
        "readsize": config["read_size"],
        "progsize": config["prog_size"],
        "lookahead": config["lookahead"],
    }
    try:
        vfs.mount(vfs.VfsLfs2(device, **options), "/")
        return
    except OSError:
        pass
    if config["port"] == "esp32":
        block = bytearray(BLOCK)
        device.readblocks(0, block)
        if block.count(b"\xff") < BLOCK:
            block = None
            interrupt_by(3)
            while True:
                print(
                    "The filesystem at sector {} of {} sectors appears to be corrupted: write it "
                    "anew, or erase the flash.".format(config["at"] // BLOCK, device.ioctl(4, 0))
                )
                time.sleep(_CORRUPTED_S)
        print("Performing initial setup")
    vfs.VfsLfs2.mkfs(device, **options)
    vfs.mount(vfs.VfsLfs2(device, **options), "/")
    if config["port"] == "esp32":
        with open("boot.py", "w") as f:
            f.write(_HELLO)


def show(error):
    """Print an exception as a board does, without what calls the program here."""
    try:
        text = io.StringIO()
        sys.print_exception(error, text)
        lines = text.getvalue().split("\n")
        text = None
        print("\n".join([line for line in lines if 'File "vm/' not in line]), end="")
    except MemoryError:
        sys.print_exception(error)


def run(function, *args):
    """Call what may be interrupted. Returns None, or the exception that it ended with."""
    interrupt_by(3)
    try:
        try:
            function(*args)
        finally:
            interrupt_by(-1)
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt):
            try:
                bytearray(16)
            except MemoryError:  # it came while memory was collected
                power.stop(power.SOFT)
        return e
    return None


def _file(name, names):
    """Run the file `name`. Returns whether it wants a soft reset."""
    try:
        os.stat(name)
    except OSError:
        return False
    error = run(execfile, name, names)  # noqa: F821 - MicroPython's
    if isinstance(error, SystemExit):
        return True
    if error:
        show(error)
    return False


def begin(flash, names):
    """Be the board that vm.json describes: `flash` is the open file of its flash, `names` what is
    in the module __main__."""
    with open("/" + PLACE + "/vm.json") as f:
        config = json.load(f)
    _become(config)
    try:
        _mount(config, flash)
    except KeyboardInterrupt as e:
        show(e)
    interrupt_by(-1)
    os.chdir("/")
    raw = config["raw"]
    banner = "MicroPython {}; {}".format(config["version"], config["machine"])
    config = flash = None
    for name in list(names):
        if name != "__name__":
            del names[name]
    gc.collect()
    again = False
    try:
        again = _file("boot.py", names)
        if not raw and not again:
            again = _file("main.py", names)
    except KeyboardInterrupt as e:  # it came between them
        show(e)
    if not again:
        from .repl import prompt

        raw = prompt(raw, banner, names)
    put(b"MPY: soft reboot\n")
    power.stop(power.RAW if raw else power.SOFT)
