"""Updates where flash is too small: update_full.py FIRMWARE IMAGE. Prints what was said of each:
one whose lack of room is seen before, one where it shows in the midst of a file, one that fits."""
# ruff: noqa: PTH102, PTH123, PTH208 - MicroPython has no pathlib

import os
import sys

import vfs
from block import BlockFile
from update_flash import (
    GEOMETRY,
    SIZE,
    Device,
    boot,
    bundle_of,
    bundles,
    fetch,
    mount,
    program,
    read,
    write,
)

SMALL = 32


def main(firmware, image):
    old, new = program("1.1"), program("1.2")
    new["thing/large.mpy"] = bytes(80_000)
    flash = BlockFile(image, SIZE, SMALL)
    vfs.VfsLfs2.mkfs(flash, **GEOMETRY)
    mount(flash)
    write("a", old, bundles.manifest(old, "1.1"))
    os.mkdir("b")
    for spare in (0, -100_000):
        device = Device()
        device.update.spare_bytes = spare
        writes = flash.writes
        print(fetch(device, bundle_of(new, "1.2")))
        assert os.listdir("b") == [] and read("update.json") is None, os.listdir("b")
        assert boot(firmware) == "1.1"
        assert spare or flash.writes - writes < 20
    new["thing/large.mpy"] = bytes(18_000)
    print(fetch(Device(), bundle_of(new, "1.3")))
    assert boot(firmware) == "1.2"


main(*sys.argv[1:])
