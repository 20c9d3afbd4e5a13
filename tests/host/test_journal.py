"""The journal of a batch: what is left of it after a power cut, and who may write it."""

import json
import multiprocessing
import os

import pytest

from host_tools.errors import UxmppError
from host_tools.provision import journal
from host_tools.provision.journal import Done, Journal, Secrets, alone, write_private


def filled(folder):
    with Journal(folder) as found:
        found.add("begun", "A-1", jid="a@example.org")
        found.add("done", "A-1", jid="a@example.org", digest="1")
        found.add("done", "A-2", jid="ü@example.org", digest="2")
        found.add("forgotten", "A-1")
    return folder / journal.NAME


def test_events(tmp_path):
    path = filled(tmp_path / "new" / "batch")
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert entries[0] == {"journal": 1} and [e["event"] for e in entries[1:]] == [
        "begun", "done", "done", "forgotten",
    ]  # fmt: skip
    before = path.read_bytes()
    with Journal(path.parent) as found:
        assert found.done == {"A-2": Done("ü@example.org", "2")}
    assert path.read_bytes() == before


def test_torn_at_each_byte(tmp_path, monkeypatch):
    """Whatever was whole counts, and what is written next is a line of its own."""
    whole = filled(tmp_path / "one").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda number: None)  # takes its time, each time
    path = tmp_path / "two" / journal.NAME
    path.parent.mkdir()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with Journal(path.parent) as found:
            lines = whole[:size].count(b"\n")
            assert ("A-1" in found.done, "A-2" in found.done) == (2 < lines < 5, lines > 3), size
            found.add("done", "A-9", jid="x@example.org", digest="9")
        with Journal(path.parent) as found:
            assert found.done["A-9"].digest == "9"
        kept = whole[:size].rpartition(b"\n")[0]
        assert path.read_bytes().startswith(kept)


def test_what_is_no_journal(tmp_path, monkeypatch):
    path = filled(tmp_path)
    good = path.read_bytes()
    for bad, pattern in (
        (b"{}\n", ":1: is no line of a journal"),
        (b'{"journal": 2}\n', "another version"),
        (good + b"\0\xff\n" + good, ":6: is no line"),
        (good + b'["done"]\n', ":6: is no line"),
    ):
        path.write_bytes(bad)
        with pytest.raises(UxmppError, match=pattern):
            Journal(tmp_path)
        assert path.read_bytes() == bad
    path.write_bytes(good)
    monkeypatch.setattr(journal, "MAX_BYTES", 100)
    with pytest.raises(UxmppError, match="longer than 100 bytes"):
        Journal(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UxmppError, match="cannot be opened"):
        Journal(tmp_path / "file")


def test_one_at_a_time(tmp_path):
    with (
        Journal(tmp_path),
        multiprocessing.get_context("fork").Pool(1) as pool,
        pytest.raises(UxmppError, match="another uxmpp provision is at it"),
    ):
        pool.apply(Journal, (tmp_path,))
    Journal(tmp_path).close()
    path = tmp_path / "device.toml"
    path.touch()
    with alone(path), pytest.raises(UxmppError, match="another uxmpp provision"), alone(path):
        pass
    with alone(path):
        pass
    with pytest.raises(UxmppError, match="cannot be read"), alone(tmp_path / "none"):
        pass


def test_full_disk(tmp_path, monkeypatch):
    with Journal(tmp_path) as found:
        monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(UxmppError, match="journal.jsonl: cannot be written: full"):
            found.add("done", "A-1", jid="a@example.org", digest="1")
        for pattern in (".secrets: cannot be made: full", "A-1.json: cannot be written: full"):
            with pytest.raises(UxmppError, match=pattern):
                Secrets(tmp_path).put("A-1", {"password": "x"})
        assert not [*(tmp_path / journal.SECRETS).iterdir()]


def test_secrets(tmp_path):
    secrets = Secrets(tmp_path)
    assert secrets.get("A-1") is None
    secrets.drop("A-1")
    secrets.put("A-1", {"password": "ü"})
    secrets.put("A-1", {"password": "other"})
    path = secrets.folder / "A-1.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert secrets.folder.stat().st_mode & 0o777 == 0o700
    assert secrets.get("A-1") == {"password": "other"}
    assert [p.name for p in secrets.folder.iterdir()] == ["A-1.json"]
    for bad in (b"", b"[]", b"{}", b'{"password": 1}', b"\xff"):
        path.write_bytes(bad)
        with pytest.raises(UxmppError, match="A-1.json: "):
            secrets.get("A-1")
    secrets.close()
    assert path.exists()
    secrets.drop("A-1")
    secrets.close()
    assert not secrets.folder.exists()


def test_file_of_ones_own(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o600
    # What somebody else has put there leads nowhere
    other = tmp_path / "other"
    other.touch(0o666)
    (tmp_path / ".x.new").symlink_to(other)
    write_private(path, b"newer")
    assert path.read_bytes() == b"newer" and not path.is_symlink() and not other.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UxmppError, match="cannot be written"):
        write_private(tmp_path / "no" / "x", b"new")
