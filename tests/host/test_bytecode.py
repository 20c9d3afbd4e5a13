"""Compiled trees are made once, and no more of them are kept than MAX_TREES."""

import pytest

from host_tools.flash import bytecode, mpy


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of kept trees."""
    monkeypatch.setenv("UXMPP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bytecode"


def source_of(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "one.py").write_text(text)
    (folder / "main.py").write_text("pass\n")
    return folder


def test_made_once_and_anew_when_it_changes(tmp_path, kept, monkeypatch):
    source = source_of(tmp_path / "app", "a = 1\n")
    bytecode.tree(source, tmp_path / "first", skip=("main.py",))
    monkeypatch.setattr(bytecode, "MAX_TREES", 2)
    real, made = mpy.compile_tree, []
    monkeypatch.setattr(mpy, "compile_tree", lambda *a, **k: made.append(a) or real(*a, **k))
    bytecode.tree(source, tmp_path / "second", skip=("main.py",))
    assert not made
    one, two = (tmp_path / name / "one.mpy" for name in ("first", "second"))
    assert one.read_bytes() == two.read_bytes()
    assert [p.name for p in (tmp_path / "second").iterdir()] == ["one.mpy"]
    # Another source, another way: another tree. Those used last stay
    bytecode.tree(source_of(source, "a = 2\n"), tmp_path / "third", skip=("main.py",))
    assert (tmp_path / "third" / "one.mpy").read_bytes() != one.read_bytes()
    bytecode.tree(source, tmp_path / "fourth", opt=3)
    assert sorted(p.name for p in (tmp_path / "fourth").iterdir()) == ["main.mpy", "one.mpy"]
    assert len(made) == 2 and len(list(kept.iterdir())) == 2


def test_what_cannot_be_compiled_leaves_nothing(tmp_path, kept):
    with pytest.raises(mpy.MpyError, match=r"one\.py is not compiled: .*SyntaxError"):
        bytecode.tree(source_of(tmp_path / "app", "a =\n"), tmp_path / "target")
    assert list(kept.iterdir()) == [] and not (tmp_path / "target").exists()
