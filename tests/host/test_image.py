"""littlefs images: what the host makes MicroPython mounts, and the other way round."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import host_tools.lab
from host_tools.flash import boards, content, image, mpy
from host_tools.lab import micropython

SIMULATED = Path(host_tools.lab.__file__).parent / "simulated"
FILES = {
    "boot.py": b"import slots\n",
    "a/app.mpy": bytes(range(256)) * 40,
    "a/thing/chat.mpy": b"x" * 4096,
    "a/empty": b"",
    "b/": b"",
    "device.json": b"{}",
    "deep/er/and/deeper.txt": b"?",
}
# On a board, with the parameters that its MicroPython gives to littlefs
MOUNT = """
import json, os, sys
import vfs
from block import BlockFile

blocks, read, prog, ahead = [int(v) for v in sys.argv[2:]]
device = BlockFile(sys.argv[1], 4096, blocks)
vfs.mount(vfs.VfsLfs2(device, readsize=read, progsize=prog, lookahead=ahead), "/flash")
os.chdir("/flash")


def walk(folder):
    for name, kind, *_ in os.ilistdir(folder or "."):
        if kind == 0x4000:
            yield folder + name + "/"
            yield from walk(folder + name + "/")
        else:
            yield folder + name


def size(name):
    with open(name, "rb") as f:
        return sum(f.read())


print(json.dumps({name: -1 if name.endswith("/") else size(name) for name in walk("")}))
print(device.writes, os.statvfs("/flash")[2])
if "slots.mpy" in os.listdir():
    import slots

    print(slots.begin(), slots.whole("a"), slots.head("a")["app"])
    from thing import Thing

    print(Thing.read_s, sys.path[0])
with open("a/state.json", "w") as f:
    f.write("kept")
os.remove("boot.py")
os.mkdir("made")
os.sync() if hasattr(os, "sync") else None
os.chdir("/")
vfs.umount("/flash")
"""


def boot(tmp_path, board, made):
    """Have MicroPython mount an image and write to it: what it said, and the image afterwards."""
    script, flash = tmp_path / "mount.py", tmp_path / "flash.bin"
    script.write_text(MOUNT)
    flash.write_bytes(made)
    told = [str(n) for n in (len(made) // 4096, board.read_size, board.prog_size, board.lookahead)]
    done = micropython.find(32).run(
        script, str(flash), *told, path=["/flash", SIMULATED], heap="160k"
    )
    return done, flash.read_bytes()


def folders(files):
    """The same files, with every folder."""
    parts = [path.rstrip("/").split("/") for path in files]
    deep = [p[:i] for p in parts for i in range(1, len(p))]
    return {"/".join(p) + "/" for p in deep} | {path for path in files if path.endswith("/")}


@pytest.mark.parametrize("name", ["esp32", "esp32-s3", "pico-w"])
def test_micropython_mounts_it(tmp_path, name):
    board = boards.load(name)
    made = image.build(board, FILES)
    assert len(made) == board.fs_size
    assert image.read(made, board) == FILES
    assert image.build(board, dict(reversed(FILES.items()))) == made, "the same every time"
    done, after = boot(tmp_path, board, made)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    sums = {path: sum(data) for path, data in FILES.items() if path[-1] != "/"}
    assert json.loads(lines[0]) == sums | dict.fromkeys(folders(FILES), -1)
    assert lines[1] == f"0 {board.fs_size // 4096}", "mounted as it is, without a write"
    # And back
    kept = {path: data for path, data in FILES.items() if path != "boot.py"}
    assert image.read(after, board) == kept | {"a/state.json": b"kept", "made/": b""}
    # Of another size than its region it is not mounted
    wrong = image.build(board, FILES, fs_size=board.fs_size - 4096)
    done, _ = boot(tmp_path, board, wrong + b"\xff" * 4096)
    assert done.returncode == 1 and "OSError" in done.stderr
    with pytest.raises(image.ImageError, match="a device would not mount it"):
        image.read(wrong + b"\xff" * 4096, board)


def test_a_device_runs_from_it(tmp_path):
    board = boards.load("pico-w")
    slot = content.slot_files(board, mpy.FIRMWARE / "apps" / "sensor.py", ["chat"])
    files = {f"a/{path}": data for path, data in slot.items()}
    files["a/manifest"] = content.manifest(board, "sensor", "1.2.0", slot)
    files |= {**content.loader_files(), "b/": b""}
    done, after = boot(tmp_path, board, image.build(board, files))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2:] == ["a True sensor", "10 /flash/a"]
    assert image.read(after, board)["a/state.json"] == b"kept"


def test_what_does_not_fit():
    small = replace(boards.load("pico-w"), fs_offset=0x1E0000, fs_size=0x20000)
    # 32 blocks: two for the root, the rest is the file's
    room = 30 * 4096
    fits = {"x": bytes(4096 * 29)}
    assert len(image.build(small, fits)) == 0x20000
    assert image.used(small, fits) <= room + 2 * 4096
    many = {f"f/{i}": bytes(3000) for i in range(60)}
    for files, least in (({"x": bytes(4096 * 40)}, 40 * 4096), (many, 60 * 4096)):
        with pytest.raises(image.ImageError) as e:
            image.build(small, files)
        over = image.used(small, files) - small.fs_size
        assert over % 4096 == 0 and least - room <= over <= least - room + 6 * 4096
        assert f"pico-w: the files do not fit: {over} bytes too many" in str(e.value)
        assert "\n" not in str(e.value)
        # That much more, and they do
        image.build(small, files, fs_size=small.fs_size + over)


def test_refused():
    board = boards.load("esp32")
    made = image.build(board, FILES)
    for path in ("/x", "a//b", "../x", "a/./b", "", "x" * 256, "a\0b"):
        with pytest.raises(image.ImageError, match="no path of a file"):
            image.build(board, {path: b""})
    with pytest.raises(image.ImageError, match="a/b: cannot be put into the image"):
        image.build(board, {"a": b"", "a/b": b""})
    for size in (0, 4096, 4097, image.MAX_BYTES + 4096):
        with pytest.raises(image.ImageError, match="must be whole blocks of 4096 bytes"):
            image.build(board, FILES, fs_size=size)
    with pytest.raises(image.ImageError, match=r"raspberry-pi: has no file system of ours"):
        image.build(boards.load("raspberry-pi"), FILES)
    for damaged in (b"\xff" * len(made), bytes(len(made)), b"\xff" * 8192 + made[8192:]):
        with pytest.raises(image.ImageError, match="no littlefs, or a damaged one"):
            image.read(damaged, board)
