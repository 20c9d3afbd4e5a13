"""Updates on littlefs, and the power cut at every write: update_writes.py FIRMWARE IMAGE [SEED N]

The life of a device is recorded, each write to flash: an update by URL with a cut line, its
confirmation, one that never logs in, one that cannot be imported, one in-band. What is on flash
when the power fails at the n-th write is then what the writes before it made of it, and half of
that one: for every n it is mounted and booted. The program that runs has to be the one that `slot`
says, whole to the last byte, and the device has to say which. Now and then it is also updated from
there. With SEED and N only so many positions are tried.

Prints `checked N writes M updated K`, or a traceback.
"""
# ruff: noqa: PTH123, SIM115, UP032 - MicroPython has no pathlib

import asyncio
import gc
import random
import sys

import vfs
from recorded import Flash
from update_flash import (
    BLOCKS,
    GEOMETRY,
    OTHER,
    OWNER,
    SEED,
    SIZE,
    Device,
    boot,
    bundle_of,
    bundles,
    fetch,
    mount,
    program,
    read,
    session,
    stream,
    unmount,
    write,
)

#: One in so many positions is also updated from there.
UPDATED = 16
PROGRAMS = {v: program(v) for v in ("1.0", "1.1", "1.2", "1.3", "1.5", "9.0")}
PROGRAMS["1.4"] = program("1.4", "import nowhere\n")
BACK = "b back ImportError: no module named 'nowhere'"
# What stands in `slot`, one after another, and what runs then
LIFE = (
    (None, "1.1"), ("a", "1.1"), ("b try 0", "1.2"), ("b try 1", "1.2"), ("b", "1.2"),
    ("a try 0", "1.3"), ("a try 1", "1.3"), ("a try 2", "1.3"), ("a try 3", "1.2"),
    ("b back boots", "1.2"), ("b", "1.2"), ("a try 0", "1.2"), ("a try 1", "1.2"), (BACK, "1.2"),
    ("b", "1.2"), ("a try 0", "1.5"), ("a try 1", "1.5"), ("a", "1.5"),
)  # fmt: skip


def live(firmware, flash):
    """What is done with the device, from an image with 1.1 in slot a and 1.0 in b. Returns, in
    order, (number of writes, the place in LIFE that was reached by then)."""
    marks = [(0, 0)]

    def mark(place):
        marks.append((flash.writes, place))

    key = bundles.public(OTHER)
    said = fetch(Device(), bundle_of(PROGRAMS["1.2"], "1.2", key=key), cut=2800)
    assert said == "update 1.2: installed, restarting in a moment", said
    mark(2)
    assert boot(firmware) == "1.2"
    mark(3)
    assert session(Device()) == ["running 1.2 (was 1.1)"]
    mark(4)
    assert boot(firmware) == "1.2" and session(Device()) == []
    said = fetch(Device(), bundle_of(PROGRAMS["1.3"], "1.3", OTHER))
    assert said.endswith("installed, restarting in a moment"), said
    for n in range(3):
        mark(5 + n)
        assert boot(firmware) == "1.3"
    mark(8)
    assert boot(firmware) == "1.2"
    mark(9)
    assert session(Device()) == ["1.3 did not log in: 1.2 is back"]
    mark(10)
    said = fetch(Device(), bundle_of(PROGRAMS["1.4"], "1.4", OTHER))
    assert said.endswith("installed, restarting in a moment"), said
    mark(11)
    assert boot(firmware) == "1.2"
    mark(13)
    why = "1.4 did not start ({}): 1.2 is back".format(BACK[7:])
    assert session(Device()) == [why]
    mark(14)
    said = stream(Device(), bundle_of(PROGRAMS["1.5"], "1.5", OTHER))
    assert said.endswith("installed, restarting in a moment"), said
    mark(15)
    assert boot(firmware) == "1.5"
    mark(16)
    assert session(Device()) == ["running 1.5 (was 1.2)"]
    mark(17)
    return marks


def check(flash, firmware, where, i, updated):
    """Boot what is on flash; it has to be at a place in LIFE from `i` on, or the next one that
    looks like it."""

    def sure(fact, *why):
        if not fact:
            raise AssertionError("at {}: {}".format(where, why))

    gc.collect()
    flash.overlay = set()
    mount(flash)
    kept = read("slot")
    kept = kept and kept.decode()
    # At most one step from one mark to the next is under way
    while i < len(LIFE) and LIFE[i][0] != kept:
        i += 1
    sure(i < len(LIFE), "slot", kept)
    version = LIFE[i][1]
    found = boot(firmware)
    sure(found == version, "runs", found, "and not", version, "by", kept)
    slot = sys.path[0][-1]
    for path, data in PROGRAMS[version].items():
        sure(read(slot + "/" + path) == data, path, "is not that of", version)
    device = Device()
    said = session(device)
    told = asyncio.run(device.update.word(OWNER))
    sure(told.startswith("running {} of sensor on esp32, slot {}\n".format(version, slot)), told)
    if said and not said[0].startswith("update "):
        sure(version in said[0], said)
    sure(boot(firmware) == version, "after the login")
    if updated:
        # By the key that is in force now
        seed = OTHER if b'"key"' in (read("update.json") or b"") else SEED
        said = fetch(Device(), bundle_of(PROGRAMS["9.0"], "9.0", seed))
        sure(said == "update 9.0: installed, restarting in a moment", said)
        sure(boot(firmware) == "9.0" and session(Device())[0].startswith("running 9.0"))
        for path, data in PROGRAMS["9.0"].items():
            sure(read(sys.path[0] + "/" + path) == data, path)
    unmount()
    flash.overlay = None


def main(firmware, path, seed=0, number=0):
    flash = Flash(path, SIZE, BLOCKS)
    vfs.VfsLfs2.mkfs(flash, **GEOMETRY)
    mount(flash)
    write("a", PROGRAMS["1.1"], bundles.manifest(PROGRAMS["1.1"], "1.1"))
    write("b", PROGRAMS["1.0"], bundles.manifest(PROGRAMS["1.0"], "1.0"))
    begin = flash.writes
    marks = live(firmware, flash)
    unmount()
    writes = flash.writes
    chosen = None
    if int(number):
        random.seed(int(seed))
        chosen = set()
        while len(chosen) < int(number):
            chosen.add(random.randrange(2 * begin, 2 * writes))
    count = updated = 0
    for k, (at, data) in enumerate(flash.again()):
        for half in (0, 1):
            if k >= begin and (chosen is None or 2 * k + half in chosen):
                if half:
                    flash.put(at, data[: len(data) // 2])
                count += 1
                more = count % UPDATED == 0
                updated += more
                place = [place for done, place in marks if done <= k][-1]
                check(flash, firmware, "{} of {}, half {}".format(k, writes, half), place, more)
        flash.put(at, data)
    check(flash, firmware, "the end", len(LIFE) - 1, True)
    print("checked", count, "writes", writes - begin, "updated", updated)


main(*sys.argv[1:])
