"""Two places for a board's program, the folders a and b, and which of them runs.

    slot            "a": it runs. "b try 1": it is new, and this is its first boot without a login.
                    "a back boots", "a back ImportError: ...": the other one was given up, and why
    a/manifest      the program there and its files: see `head` and `files`

`boot.py` and `main.py` call it, and `thing.updating`. It is not updated over the air: what it does
has to hold for all programs to come. Nothing is written at a boot but that of a new program. Where
`slot` is missing or damaged, the newest program runs that is whole.

Manifest, UTF-8, a line each: "uxmpp 1", "app sensor", "version 1.2.0", "board esp32", "mpy 6",
"key " and 64 hex digits (optional), and for each file "file SIZE SHA256 PATH".
"""

import os
import sys

#: How often a new program may boot without a login.
TRIES = 3
#: Milliseconds that a new program has until it feeds a watchdog of its own, where a board allows
#: so many: then it hangs.
watchdog_ms = 300000
#: The most characters that are kept of an error.
MAX_WHY = 80
#: The most characters of a line in a manifest.
MAX_LINE = 160
_NAMES = ("a", "b")


def root():
    """The folder that the slots are in, with its slash: the one that the board starts in."""
    folder = os.getcwd()
    return folder if folder.endswith("/") else folder + "/"


def other(slot):
    """The name of the other slot."""
    return "b" if slot == "a" else "a"


def state():
    """(the slot that runs; the number of boots without a login, where it is new, else None; why
    the other one was given up, else ""). Where `slot` does not tell: the newest program that is
    whole, or (None, None, "")."""
    try:
        with open(root() + "slot") as f:
            words = f.read(2 * MAX_WHY).strip().split(" ", 2)
        slot = words[0]
        if slot in _NAMES and there(slot):
            if len(words) == 1:
                return slot, None, ""
            if words[1] == "back":
                return slot, None, words[2]
            if words[1] == "try":
                return slot, int(words[2]), ""
    except (OSError, ValueError, IndexError):  # UnicodeError, too
        pass
    found = [(number(head(slot)["version"]), slot) for slot in _NAMES if whole(slot)]
    # Of two that are alike the first
    found.sort(key=lambda each: (each[0], each[1] == "a"))
    return found[-1][1] if found else None, None, ""


def switch(slot, *words):
    """Have a slot run from the next boot on, for good; with "try", 0 for as long as it takes to
    log in. One write beside, and a rename. Raises OSError."""
    path = root() + "slot"
    with open(path + ".new", "w") as f:
        f.write(" ".join([slot] + [str(w) for w in words]))
    os.rename(path + ".new", path)


def there(slot):
    """Whether a slot has a manifest, which it gets when all the rest is there."""
    try:
        os.stat(root() + slot + "/manifest")
        return True
    except OSError:
        return False


def head(slot, name="manifest"):
    """What the manifest of a slot says but for its files, as a dict of texts: app, version, board,
    mpy, key. {} where there is none, or none that can be read."""
    found = {}
    try:
        with open(root() + slot + "/" + name) as f:
            if f.readline(MAX_LINE) != "uxmpp 1\n":
                return {}
            while True:
                key, _, value = f.readline(MAX_LINE).rstrip("\n").partition(" ")
                if not value or key == "file":
                    break
                found[key] = value
    except (OSError, ValueError):
        return {}
    return found if "app" in found and "version" in found else {}


def files(slot, name="manifest"):
    """The files that the manifest of a slot speaks of, as an iterator: (size in bytes, SHA-256 in
    hex, path below the slot). Raises OSError, ValueError for one that cannot be read."""
    with open(root() + slot + "/" + name) as f:
        while True:
            line = f.readline(MAX_LINE)
            if not line:
                break
            if line.startswith("file "):
                _, size, sha, path = line.rstrip("\n").split(" ", 3)
                yield int(size), sha, path


def whole(slot):
    """Whether a slot has all of its files, by their sizes."""
    try:
        for size, _, path in files(slot):
            if os.stat(root() + slot + "/" + path)[6] != size:
                return False
    except (OSError, ValueError):
        return False
    return bool(head(slot))


def number(version):
    """What to compare versions by: "1.2" is (1, 2, 0, 0). Raises ValueError for what is none."""
    parts = version.split(".")
    for part in parts:
        if not part.isdigit() or len(part) > 5 or int(part) > 65535 or len(parts) > 4:
            raise ValueError("no version: " + version[:32])
    return tuple([int(part) for part in parts] + [0] * (4 - len(parts)))


def begin():
    """Put the slot that runs first on the path. Returns its name, or None where there is none."""
    slot = state()[0]
    for name in _NAMES:
        if root() + name in sys.path:
            sys.path.remove(root() + name)
    if slot:
        sys.path.insert(0, root() + slot)
    return slot


def start():
    """Choose the slot, and count where its program is new. Whether there is a program, the module
    `app`, whatever the manifest calls it; if not, with a line for people."""
    slot, tried, _ = state()
    try:
        if tried is not None:
            if tried < TRIES:
                switch(slot, "try", tried + 1)
                # One that is begun later takes its place. Elsewhere it allows 8 s, too little
                if sys.platform.encode() == b"esp32":  # text would be a name that is kept
                    from machine import WDT

                    WDT(timeout=watchdog_ms)
            elif there(other(slot)):
                switch(other(slot), "back", "boots")
    except OSError as e:  # it boots all the same
        remove(slot, e)
    if begin():
        return True
    print("There is no program: neither slot is whole. Flash the board again.")
    return False


def remove(slot, e):
    """Give a new program up that cannot be counted, because of the OSError `e`: it may have filled
    flash. Without its manifest it is none; that much littlefs always does."""
    print("slot: cannot be written:", e)
    try:
        if whole(other(slot)):
            os.remove(root() + slot + "/manifest")
    except OSError:
        pass


def failed(e):
    """What to do about an exception that the program raised: where it was new and there is another
    one, that is to run again, and the board restarts. Returns False where it is to be shown, and
    somebody has to look: the board stays at the prompt."""
    slot, tried, _ = state()
    if tried is None or not there(other(slot)):
        return False
    why = " ".join("{}: {}".format(type(e).__name__, e).split())[:MAX_WHY]
    try:
        switch(other(slot), "back", why)
    except OSError as e:
        remove(slot, e)
    print(why)
    print("The new program does not start: the one before is back.")
    try:
        from machine import reset
    except ImportError:
        return False
    reset()
    return True


def leave():
    """Free the memory that this module takes, until it is imported again."""
    sys.modules.pop("slots", None)
