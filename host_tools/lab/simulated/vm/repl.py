"""The prompt of a board: friendly, raw and raw paste, as MicroPython documents them.

https://docs.micropython.org/en/latest/reference/repl.html
"""

import gc
import sys

import power

from .start import interrupt_by, put, run, show

#: Bytes that may come in raw paste mode before the next ones are asked for.
WINDOW = 128

_A, _B, _C, _D, _E = 1, 2, 3, 4, 5
_read = sys.stdin.buffer.read
_HELP = 'Type "help()" for more information.\n'


def _char():
    c = _read(1)
    if not c:  # whoever holds the line has gone
        power.stop(0)
    return c[0]


def _execute(text, mode, names):
    """Run a source. Returns the exception that it ended with, or None."""
    gc.collect()
    return run(_compiled, text, mode, names)


def _compiled(text, mode, names):
    if not isinstance(text, str):
        text = str(text, "utf-8")
    exec(compile(text, "<stdin>", mode), names)


def prompt(raw, banner, names):
    """Serve until a soft reset is wanted; returns whether it came from the raw prompt."""
    while True:
        try:
            interrupt_by(-1)
            if raw:
                if _raw(names):
                    return True
            else:
                put((banner + "\n" + _HELP).encode())
                if _friendly(names, banner):
                    return False
            raw = not raw
        except KeyboardInterrupt:  # it came too late for what it was meant for
            put(b"\n")


# Raw


def _raw(names):
    while True:
        put(b"raw REPL; CTRL-B to exit\r\n>")
        line = bytearray()
        while True:
            c = _char()
            if c == _A:
                if len(line) != 2 or line[0] != _E:
                    break
                if _paste(line[1], names):
                    return True
                line = bytearray()
                put(b">")
            elif c == _B:
                put(b"\r\n")
                return False
            elif c == _C:
                line = bytearray()
            elif c == _D:
                put(b"OK")
                if not line:
                    put(b"\r\n")
                    return True
                text, line = line, bytearray()
                if _answer(_execute(text, "exec", names)):
                    return True
                text = None
                put(b">")
            else:
                line.append(c)


def _answer(error):
    """Tell how a program has ended. Returns whether it wants a soft reset."""
    put(b"\4")
    wanted = isinstance(error, SystemExit)
    if error and not wanted:
        show(error)
    put(b"\4")
    return wanted


def _paste(kind, names):
    if kind != 65:
        put(b"R\0")
        return False
    put(b"R\1" + WINDOW.to_bytes(2, "little") + b"\1")
    text = bytearray()
    left = WINDOW
    while True:
        c = _char()
        if c in (_C, _D):
            put(b"\4")
            break
        text.append(c)
        left -= 1
        if not left:
            left = WINDOW
            put(b"\1")
    if c == _C:
        return _answer(KeyboardInterrupt())
    return _answer(_execute(text, "exec", names))


# Friendly


def _friendly(names, banner):
    text = ""
    while True:
        indent = 0
        if text:
            # As far as the line before, and one step more after its colon
            last = text.rstrip("\n").rpartition("\n")[2]
            indent = len(last) - len(last.lstrip()) + 4 * last.rstrip().endswith(":")
        put(b"... " if text else b">>> ")
        line, end = _line(b" " * indent)
        if end == _A:
            put(b"\n")
            return False
        if end == _B:
            put(("\n" + banner + "\n" + _HELP).encode())
            text = ""
        elif end == _C:
            put(b"\n")
            text = ""
        elif end == _D:
            put(b"\n")
            return True
        elif end == _E:
            if _several(names):
                return True
            text = ""
        else:
            put(b"\n")
            if text:
                text += line + "\n"
                if line.strip():
                    continue
            elif line.rstrip().endswith(":") or line.startswith("@"):
                text = line + "\n"
                continue
            else:
                text = line
            if text.strip() and _shown(_execute(text, "single", names)):
                return True
            text = ""


def _shown(error):
    if isinstance(error, SystemExit):
        return True
    if error:
        show(error)
    return False


def _line(begin):
    """(a line, with what it ended: a control character, or 13)."""
    line = bytearray(begin)
    put(begin)
    while True:
        c = _char()
        if c == 13 or (c in (_A, _B, _D, _E) and not line) or c == _C:
            try:
                return str(line, "utf-8"), c
            except UnicodeError:
                return "", c
        if c in (8, 127):
            if line:
                line = line[:-1]
                put(b"\x08 \x08")
        elif c == 27:  # an arrow key: Escape [ A
            if _char() == 91:
                while not 64 <= _char() < 127:
                    pass
        elif c == 9:
            line.extend(b"    ")
            put(b"    ")
        elif c >= 32:
            line.append(c)
            put(bytes((c,)))


def _several(names):
    """Paste mode. Returns whether a soft reset is wanted."""
    put(b"\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\n=== ")
    text = bytearray()
    while True:
        c = _char()
        if c == _C:
            put(b"\n")
            return False
        if c == _D:
            put(b"\n")
            return _shown(_execute(text, "exec", names))
        c = 10 if c == 13 else c
        text.append(c)
        put(b"\n=== " if c == 10 else bytes((c,)))
