"""Bundles of updates: what is built, and that whatever is not just so is refused."""

import hashlib
import struct
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host_tools.cli import main
from host_tools.update import bundle, keys
from tests.conftest import CI

PUBLIC_PATHS = st.from_regex(r"[a-z]{1,4}(?:/[a-z]{1,4}\.mpy){0,2}", fullmatch=True)
EASY = settings(
    deadline=None,
    print_blob=True,
    derandomize=CI,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
FILES = {"app.mpy": b"M\x06\x00\x1fapp", "empty": b"", "thing/clock.mpy": bytes(range(64))}


def manifest_of(files, app="sensor", version="1.2.0", board="esp32"):
    """As part of the flashing makes it: without a key."""
    lines = ["uxmpp 1", f"app {app}", f"version {version}", f"board {board}", "mpy 6"]
    for path, data in sorted(files.items()):
        lines.append(f"file {len(data)} {hashlib.sha256(data).hexdigest()} {path}")
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return keys.new(tmp_path_factory.mktemp("keys") / "fleet.pem")


def test_there_and_back(key, tmp_path):
    made = bundle.build(manifest_of(FILES), FILES, key)
    found = bundle.read(made, key.public)
    assert dict(found.files) == FILES and found.signed is True
    told = found.manifest
    assert (told.app, told.version, told.board, told.mpy) == ("sensor", "1.2.0", "esp32", 6)
    assert [(e.path, e.size) for e in told.files] == [(p, len(d)) for p, d in FILES.items()]
    # What the device is to find, byte by byte
    head = told.data()
    assert head.split(b"\n")[5] == b"key " + key.public.encode()
    assert made[:12] == b"UXMPPUP1" + struct.pack(">I", len(head))
    assert made[12 : 12 + len(head)] == head
    signature = made[12 + len(head) :][:64]
    assert made[12 + len(head) + 64 :] == b"".join(FILES.values())
    signed = b"uxmpp update 1\n" + hashlib.sha256(head).digest()
    assert keys.verify(key.public, signature, signed)
    # Without a key all else is checked
    assert bundle.read(made).signed is None
    # The one that comes next travels with it, signed by the one there is
    heir = keys.rotate(key, tmp_path / "next.pem")
    moved = bundle.build(manifest_of(FILES), FILES, keys.read(key.path))
    assert bundle.read(moved, key.public).manifest.key == heir.public
    with pytest.raises(bundle.BundleError, match="its signature is not of the key"):
        bundle.read(moved, heir.public)
    # From a file
    path = tmp_path / "a.uxb"
    path.write_bytes(made)
    assert bundle.load(path, key.public)[0] == made
    path.write_bytes(made[:-1])
    with pytest.raises(bundle.BundleError, match=r"a\.uxb: it ends too early, in thing/clock"):
        bundle.load(path, key.public)
    with pytest.raises(bundle.BundleError, match="cannot be read"):
        bundle.load(tmp_path / "none.uxb")


def test_every_bit(key):
    """Each bit of a bundle, one after another, each shorter one, and a longer one."""
    made = bundle.build(manifest_of(FILES), FILES, key)
    for at in range(len(made)):
        for bit in range(8):
            changed = bytearray(made)
            changed[at] ^= 1 << bit
            with pytest.raises(bundle.BundleError):
                bundle.read(bytes(changed), key.public)
        with pytest.raises(bundle.BundleError):
            bundle.read(made[:at], key.public)
    with pytest.raises(bundle.BundleError, match="more after its last file"):
        bundle.read(made + b"\0", key.public)
    other = bytes(32).hex()
    with pytest.raises(bundle.BundleError, match="not of the key 0000000000000000…: signed by"):
        bundle.read(made, other)


@EASY
@given(st.binary(max_size=400))
def test_anything(data):
    """Whatever bytes there are: a bundle, or an error of one line."""
    for read in (bundle.read, lambda d: bundle.read(d, "ab" * 32), bundle.parse):
        for text in (data, bundle.MAGIC + data, b"uxmpp 1\napp a\nversion 1\n" + data):
            with pytest.raises(bundle.BundleError) as e:
                read(text)
            assert "\n" not in str(e.value) and str(e.value).isprintable()


@EASY
@given(
    st.dictionaries(PUBLIC_PATHS, st.binary(max_size=50), min_size=1, max_size=8),
    st.lists(st.integers(0, 65535), min_size=1, max_size=4),
    st.data(),
)
def test_any_content(key, files, numbers, data):
    """Whatever there is to be sent: built and read, and never read when a piece of it changed."""
    version = ".".join(map(str, numbers))
    clash = any(f"{a}/" == b[: len(a) + 1] for a in files for b in files)
    text = manifest_of(files, version=version)
    if clash:
        with pytest.raises(bundle.BundleError):
            bundle.build(text, files, key)
        return
    made = bundle.build(text, files, key)
    found = bundle.read(made, key.public)
    assert dict(found.files) == files and found.manifest.version == version
    assert bundle.parse(found.manifest.data()) == found.manifest
    at = data.draw(st.integers(0, len(made)))
    end = data.draw(st.integers(at, len(made)))
    piece = data.draw(st.binary(max_size=20))
    changed = made[:at] + piece + made[end:]
    if changed != made:
        with pytest.raises(bundle.BundleError):
            bundle.read(changed, key.public)


def test_versions():
    in_order = ["0", "0.0.1", "0.9", "0.10", "1", "1.0.0.1", "1.2", "1.10.3", "65535.65535"]
    found = [bundle.version(text) for text in in_order]
    assert found == sorted(found) and len(set(found)) == len(found)
    assert bundle.version("1.2") == bundle.version("1.2.0.0")
    for text in (
        *("", "1.", ".1", "1..2", "1.2.3.4.5", "65536", "1.65536", "01", "1.00", "-1", "+1"),
        *("1.2a", "v1", "1 ", "1\n", "1,2", "١", "1e3", "9" * 5000),
    ):
        with pytest.raises(bundle.BundleError, match="must be 1 to 4 numbers below 65536") as e:
            bundle.version(text)
        assert len(str(e.value)) < 200 and "\n" not in str(e.value)


def test_what_is_no_manifest(key):
    good = manifest_of(FILES).decode()
    file = good.split("\n")[5]
    hash_of = file.split()[2]
    bundle.parse(good.encode())

    def path(text):
        return good.replace("app.mpy", text, 1)

    for text, why in (
        ("", "line 1: must be 'uxmpp 1'"),
        ("\n", "line 1: must be"),
        (good.replace("uxmpp 1", "uxmpp 2"), "line 1: must be"),
        (good.replace("\n", "\r\n"), "line 1: must be"),
        (good[:-1], "last line does not end"),
        (good + "\n", "line 9: must be 'file'"),
        (good.replace("app sensor\n", ""), "line 2: must begin with 'app'"),
        (good.replace("app sensor", "app a b"), "line 2: app must be"),
        (good.replace("app sensor", "app ../x"), "line 2: app must be"),
        (good.replace("app sensor", "app " + "a" * 33), "line 2: app must be"),
        (good.replace("version 1.2.0", "version 1.2.0 "), "line 3: version '1.2.0 '"),
        (good.replace("board esp32", "board "), "line 4: board must be"),
        (good.replace("mpy 6", "mpy 06"), "line 5: mpy must be"),
        (good.replace("mpy 6", "mpy 600"), "line 5: mpy must be"),
        (good.replace("mpy 6\n", "mpy 6\nkey 12\n"), "line 6: key must be"),
        (good.replace("mpy 6\n", f"mpy 6\nkey {'AB' * 32}\n"), "line 6: key must be"),
        (good.replace("mpy 6\n", f"mpy 6\n{f'key {hash_of}' + chr(10)}" * 2), "line 7: must be"),
        (good + f"key {hash_of}\n", "line 9: must be 'file'"),
        ("".join(f"{x}\n" for x in good.split("\n")[:5]), "has no file"),
        ("uxmpp 1\napp a\n", "does not say its version"),
        (good.replace("file 7", "file 07"), "line 6: must be 'file'"),
        (good.replace("file 7", "file -7"), "line 6: must be 'file'"),
        (good.replace("file 7", "file  7"), "line 6: must be 'file'"),
        (good.replace("file 7", "file 1048577"), "line 6: a file of more than"),
        (good.replace(hash_of, hash_of[:-1]), "line 6: must be 'file'"),
        (good.replace(hash_of, hash_of.upper()), "line 6: must be 'file'"),
        (path("/app.mpy"), "line 6: a path is"),
        (path("../app.mpy"), "line 6: a path is"),
        (path(".app.mpy"), "line 6: a path is"),
        (path("a/../app.mpy"), "line 6: a path is"),
        (path("a//app.mpy"), "line 6: a path is"),
        (path("a/./app.mpy"), "line 6: a path is"),
        (path("a/"), "line 6: a path is"),
        (path("a\\b"), "line 6: a path is"),
        (path("a b"), "line 6: must be 'file'"),
        (path("a" * 65), "line 6: a path is"),
        (path("manifest"), "line 6: 'manifest' is a name"),
        (path("slots.mpy"), "line 6: 'slots.mpy' is a name of the loader"),
        (path("f"), "line 7: the files must be sorted"),
        (good + f"{file}\n", "line 9: the files must be sorted"),
        (path("empty"), "line 7: the files must be sorted"),
        (path("empty/x").replace(" empty\n", " zzz\n"), "line 8: the files must be sorted"),
        (good + f"file 0 {hash_of} thing/clock.mpy/x\n", "line 9: a file and a folder"),
        ("é" + good, "is not ASCII"),
        (
            good[: good.index("file")]
            + "".join(f"file 0 {hash_of[:64]} f{i:04}\n" for i in range(150)),
            None,
        ),
        (
            good[: good.index("file")] + "".join(f"file 0 {hash_of} {i:03}\n" for i in range(220)),
            "the manifest has 16",
        ),
    ):
        if why is None:
            assert len(bundle.parse(text.encode()).files) == 150
            continue
        with pytest.raises(bundle.BundleError) as e:
            bundle.parse(text.encode())
        assert why in str(e.value), (text, str(e.value))
    # What was never a text
    told = bundle.parse(good.encode())
    with pytest.raises(bundle.BundleError):
        replace(told, app="a\nboard b").data()


def test_what_cannot_be_built(key):
    manifest = manifest_of(FILES)
    big = {"app.mpy": bytes(1 << 20)}
    for files, said, why in (
        ({**FILES, "more": b""}, manifest, "files that the manifest does not know"),
        ({"app.mpy": FILES["app.mpy"]}, manifest, "empty: is in the manifest, but not among"),
        ({**FILES, "app.mpy": b"another"}, manifest, "app.mpy: its hash is wrong"),
        (big, manifest_of(big), "more than 1048576 bytes"),
        (FILES, manifest[:-1], "last line does not end"),
    ):
        with pytest.raises(bundle.BundleError, match=why):
            bundle.build(said, files, key)


def test_commands(key, tmp_path, monkeypatch, capsys):
    """`update build`, `update show`, and what `update send` says before it goes anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("UXMPP_PASSWORD", "")

    def uxmpp(words, code=0):
        monkeypatch.setattr("sys.argv", ["uxmpp", "update", *words.split()])
        with pytest.raises(SystemExit) as e:
            main()
        said = capsys.readouterr()
        assert e.value.code == code, said
        if code == 1:
            assert said.err.startswith("uxmpp: ") and said.err.count("\n") == 1, said
        return said.out + said.err

    said = uxmpp(f"build --app switch --board pico-w --version 1.2 --key {key.path}")
    name = "switch-1.2-pico-w.uxb"
    assert said.startswith(f"{name}: switch 1.2 for pico-w, ") and key.public[:16] in said
    said = uxmpp(f"show {name} --key {key.public}")
    assert "switch 1.2 for pico-w, bytecode 6, " in said and "the signature is right\n" in said
    assert " app.mpy\n" in said and " thing/update.mpy\n" in said and ".py\n" not in said
    assert "the signature was not checked" in uxmpp(f"show {name}")
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    send = f"send {name} --as anna@example.org"
    for words, why in (
        (f"show {name}", "its hash is wrong"),
        (f"show {name} --key {'0' * 64}", "its signature is not of the key 0000000000000000…"),
        (f"show {name} --key 12", "neither a public key"),
        (f"show {tmp_path}", "cannot be read: Is a directory"),
        ("build --app switch --board pico-w --version 1.2", "--key is missing"),
        (f"build --version 1 --key {key.path}", "which app?"),
        (f"build --app switch --version 1 --key {key.path}", "which board?"),
        (f"build --app switch --board pico-w --key {key.path}", "which version?"),
        (f"build --app switch --board pico-w --version 1.x --key {key.path}", "must be 1 to 4"),
        (f"build --app switch --board pico-x --version 1 --key {key.path}", "board 'pico-x'"),
        (f"build --app none --board pico-w --version 1 --key {key.path}", "no such app"),
        (f"build none.toml --version 1 --key {key.path}", "none.toml: cannot be read"),
        (f"build --app switch --board pico-w --version 1 --key {name}", "chmod 600"),
        (f"build --app switch --board pico-w --version 1 --key {key.path} -o a/b", "a/b: cannot"),
        (f"{send} --to dev@example.org", "its hash is wrong"),
    ):
        assert why in uxmpp(words, 1), words
    path.write_bytes(bundle.build(manifest_of(FILES), FILES, key))
    (tmp_path / "some.txt").write_text("# some\n\na@example.org # x\nb\n")
    (tmp_path / "none.txt").write_text("# none\n")
    (tmp_path / "odd.txt").write_bytes(b"\xff\n")
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----")
    for words, why in (
        ("", "no device is named"),
        ("--to dev", "--to: 'dev': must be name@domain"),
        ("--to a@b@c", "--to: 'a@b@c': not an address"),
        ("--to a@example.org/x", "without a resource"),
        ("--list some.txt", "some.txt:4: 'b': must be name@domain"),
        ("--list none.txt", "no device is named"),
        ("--list odd.txt", "odd.txt: is not UTF-8"),
        ("--list away.txt", "away.txt: cannot be read: No such file"),
        ("--to a@example.org --url https://x/ --in-band", "one of the two"),
        ("--to a@example.org --url http://x/", "--url: not an https URL"),
        ("--to a@example.org --pin 12", "--pin: must be the SHA-256"),
        ("--to a@example.org --ca away.pem", "away.pem: cannot be read"),
        ("--to a@example.org --ca ca.pem", "ca.pem: no certificate of an authority"),
        (f"--to a@example.org --key {'0' * 64}", "its signature is not of the key"),
        (f"--to a@example.org --pin {'0' * 64}", "no password of anna@example.org"),
        ("--to a@example.org --as anna", "'anna': must be name@domain"),
    ):
        assert why in uxmpp(f"{send} {words}", 1), words
    assert "No such option" in uxmpp(f"{send} --password x", 2)
