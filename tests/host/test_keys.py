"""Keys for updates: their files, what is refused, and how one follows another."""

import re

import pytest

from host_tools.cli import main
from host_tools.update import keys

HEX = re.compile(r"[0-9a-f]{64}")
SECRET = "correct horse"


@pytest.fixture(autouse=True)
def nobody_types(monkeypatch):
    monkeypatch.delenv(keys.VARIABLE, raising=False)


def test_a_key_and_its_file(tmp_path):
    path = tmp_path / "fleet.pem"
    made = keys.new(path)
    assert HEX.fullmatch(made.public) and path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    again = keys.read(path)
    assert (again.public, again.next) == (made.public, None)
    signature = again.sign(b"it")
    assert len(signature) == 64
    assert keys.verify(made.public, signature, b"it")
    assert not keys.verify(made.public, signature, b"this")
    assert not keys.verify(made.public, signature[:-1], b"it")
    assert not keys.verify("00", signature, b"it")
    # Two are never the same, and none is written over another
    before = path.read_bytes()
    with pytest.raises(keys.KeyFileError, match="is there already"):
        keys.new(path)
    assert path.read_bytes() == before
    assert keys.new(tmp_path / "other.pem").public != made.public
    # As a public key: by its digits, or by its file
    assert keys.public(made.public.upper()) == made.public == keys.public(str(path))
    assert keys.line(made.public) == f'[update]\nkey = "{made.public}"'


def test_passphrase(tmp_path, monkeypatch):
    path = tmp_path / "fleet.pem"
    made = keys.new(path, SECRET)
    assert b"ENCRYPTED" in path.read_bytes()
    asked = []

    def ask(prompt, answer=SECRET):
        asked.append(prompt)
        return answer

    assert keys.read(path, ask).public == made.public
    assert asked == [f"Passphrase of {path}: "]
    with pytest.raises(keys.KeyFileError, match="the passphrase is wrong") as e:
        keys.read(path, lambda _: "wrong " + SECRET)
    assert SECRET not in str(e.value)
    with pytest.raises(keys.KeyFileError, match=f"is encrypted.*{keys.VARIABLE}"):
        keys.read(path, lambda _: None)
    monkeypatch.setenv(keys.VARIABLE, SECRET)
    assert keys.read(path).public == made.public


def test_what_is_no_key(tmp_path):
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec

    path = tmp_path / "k.pem"
    keys.new(path)
    good = path.read_bytes()
    path.chmod(0o640)
    with pytest.raises(keys.KeyFileError, match="others can read this key: chmod 600"):
        keys.read(path)
    path.chmod(0o600)
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
    )
    for data, why in (
        (b"", "is no private key"),
        (good[:60], "is no private key"),
        (good.replace(b"PRIVATE", b"PUBLIC"), "is no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is no private key"),
        (bytes(20_000) + good, "is no private key"),
        (other, "of another kind"),
    ):
        path.write_bytes(data)
        with pytest.raises(keys.KeyFileError, match=why) as e:
            keys.read(path)
        assert "\n" not in str(e.value)
    for where, why in (
        (tmp_path / "none.pem", "No such file"),
        (tmp_path, "directory|no file"),
        (tmp_path / "none" / "k.pem", "No such file"),
    ):
        with pytest.raises(keys.KeyFileError, match=why):
            keys.read(where)
    with pytest.raises(keys.KeyFileError, match="cannot be written"):
        keys.new(tmp_path / "none" / "k.pem")
    with pytest.raises(keys.KeyFileError, match="neither a public key"):
        keys.public("12ab")


def test_rotate_by_a_link(tmp_path):
    there = tmp_path / "safe"
    there.mkdir()
    old = keys.new(there / "old.pem")
    link = tmp_path / "link.pem"
    link.symlink_to(old.path)
    made = keys.rotate(keys.read(link), tmp_path / "new.pem")
    assert link.is_symlink() and keys.read(old.path).next == made.public


@pytest.mark.parametrize("secret", (None, SECRET))
def test_rotate(tmp_path, secret):
    old = keys.new(tmp_path / "old.pem", secret)
    made = keys.rotate(old, tmp_path / "new.pem", secret)
    again = keys.read(old.path, lambda _: secret)
    assert (again.public, again.next) == (old.public, made.public)
    assert old.path.stat().st_mode & 0o777 == 0o600
    assert keys.read(made.path, lambda _: secret).next is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.pem", "old.pem"]
    with pytest.raises(keys.KeyFileError, match=f"already, {made.public[:16]}…"):
        keys.rotate(again, tmp_path / "third.pem")
    with pytest.raises(keys.KeyFileError, match="is there already"):
        keys.rotate(old, made.path)
    assert not (tmp_path / "third.pem").exists()
    # Where it cannot be noted, there is none
    old.path.unlink()
    with pytest.raises(keys.KeyFileError, match="cannot be read"):
        keys.rotate(old, tmp_path / "third.pem")
    assert not (tmp_path / "third.pem").exists()


def test_commands(tmp_path, monkeypatch, capsys):
    """As they are typed, without a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def uxmpp(*words, secret=""):
        monkeypatch.setenv(keys.VARIABLE, secret)
        monkeypatch.setattr("sys.argv", ["uxmpp", "keys", *words])
        with pytest.raises(SystemExit) as e:
            main()
        said = capsys.readouterr()
        assert not (secret and secret in said.out + said.err)
        return e.value.code, said.out, said.err

    code, out, _ = uxmpp("new", "fleet.pem", secret=SECRET)
    assert code == 0
    public = keys.read(tmp_path / "fleet.pem", lambda _: SECRET).public
    assert out == f'[update]\nkey = "{public}"\n'
    assert uxmpp("show", "fleet.pem", secret=SECRET)[:2] == (0, out)
    code, out, error = uxmpp("show", "fleet.pem")
    assert (code, out) == (1, "") and error.count("\n") == 1 and "is encrypted" in error
    assert uxmpp("new", "fleet.pem") == (
        1,
        "",
        "uxmpp: fleet.pem: is there already: a key that is overwritten is lost; "
        "take another name\n",
    )
    code, out, _ = uxmpp("rotate", "fleet.pem", "next.pem", secret=SECRET)
    follows = keys.read(tmp_path / "next.pem", lambda _: SECRET).public
    assert code == 0 and out == keys.line(follows) + "\n"
    code, out, _ = uxmpp("show", "fleet.pem", secret=SECRET)
    assert (code, out) == (0, f"{keys.line(public)}\n# after it comes {follows}\n")
