"""A device's boots and an update from 1.1 to 1.2, until its power fails: update_boots.py FIRMWARE
IMAGE STOP HOW. Says `runs VERSION` with each boot, and `said TEXT`; `done` when 1.2 is confirmed,
and how many writes that took. STOP 0 makes the file system, -1 lets it live."""

import sys

import vfs
from block import BlockFile
from update_flash import (
    BLOCKS,
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
    session,
    write,
)


def main(firmware, image, stop, how):
    old, new = program("1.1"), program("1.2")
    flash = BlockFile(image, SIZE, BLOCKS, int(stop) if int(stop) > 0 else None, how)
    if stop == "0":
        vfs.VfsLfs2.mkfs(flash, **GEOMETRY)
        mount(flash)
        write("a", old, bundles.manifest(old, "1.1"))
        return
    mount(flash)
    while True:
        version = boot(firmware)
        print("runs", version)
        for path, data in (new if version == "1.2" else old).items():
            assert read(sys.path[0] + "/" + path) == data, path
        device = Device()
        for text in session(device):
            print("said", text)
        if version == "1.2":
            break
        if not device.restarts:
            print("said", fetch(device, bundle_of(new, "1.2"), cut=2800))
    print("done", flash.writes)


main(*sys.argv[1:])
