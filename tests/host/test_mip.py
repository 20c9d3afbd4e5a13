"""package.json: nothing is forgotten, and what mip installs by it can be imported."""

import functools
import http.server
import json
import threading

import pytest
from mpremote import mip as mpremote_mip

from host_tools.errors import UxmppError
from host_tools.flash import mip, mpy
from host_tools.lab import micropython

# In the heap of a board, from source
IMPORTS = {
    "uxmpp": "import uxmpp.client, uxmpp.reliable, uxmpp.xep.ping",
    "umqtt": "from umqtt.simple import MQTTClient; from umqtt import robust, topics",
    "": "from uxmpp.client import Client; import thing.setup, thing.chat; thing.Thing",
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(folder, URL) of a web server on loopback, with the firmware in it."""
    folder = tmp_path_factory.mktemp("served")
    for part in ("uxmpp", "thing", "umqtt"):
        (folder / part).mkdir()
        for path in (mpy.FIRMWARE / part).iterdir():
            (folder / part / path.name).symlink_to(path)
    (folder / "package.json").symlink_to(mpy.FIRMWARE / "package.json")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Folder:
    """What mpremote's mip asks of a board's file system, done to a folder."""

    def __init__(self, root):
        self.root = root

    def fs_exists(self, path):
        return (self.root / path).exists()

    def fs_mkdir(self, path):
        (self.root / path).mkdir()

    def fs_writefile(self, path, data, progress_callback=None):
        (self.root / path).write_bytes(data)


def installed(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def sources(*parts):
    return {
        path.relative_to(mpy.FIRMWARE).as_posix(): path.read_bytes()
        for part in parts
        for path in (mpy.FIRMWARE / part).rglob("*.py")
        if not path.match(mpy.HOST_ONLY)
    }


def test_up_to_date():
    late = [str(path) for path in mip.wrong()]
    assert not late, f"{late}: run `python -m host_tools.flash.mip`"
    for name, parts in mip.PACKAGES.items():
        made = json.loads((mpy.FIRMWARE / name / "package.json").read_text("utf-8"))
        assert {path for path, _ in made["urls"]} == set(sources(*parts))
        assert made["version"].count(".") == 2


def test_a_new_file_is_noticed(tmp_path, capsys, monkeypatch):
    for name in ("uxmpp/xep", "thing", "umqtt"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "uxmpp" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    for name in ("uxmpp/net_cpython.py", "uxmpp/xep/ping.py", "thing/__init__.py"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(mpy, "FIRMWARE", tmp_path)
    monkeypatch.setattr(mip.packages, "__defaults__", (tmp_path, ""))
    monkeypatch.setattr(mip.wrong, "__defaults__", (tmp_path,))
    assert mip.main(["--check"]) == 1
    assert capsys.readouterr().out.count("is out of date") == 3, "umqtt is empty"
    assert mip.main([]) == 0 and mip.main(["--check"]) == 0 and mip.wrong() == []
    whole = json.loads((tmp_path / "package.json").read_text())
    assert whole == {
        "version": "1.2.3",
        "urls": [[name, name] for name in ("uxmpp/__init__.py", "uxmpp/xep/ping.py")]
        + [["thing/__init__.py"] * 2],
    }
    library = json.loads((tmp_path / "uxmpp" / "package.json").read_text())
    assert library["urls"][1] == ["uxmpp/xep/ping.py", "xep/ping.py"]
    (tmp_path / "thing" / "new.py").write_text("")
    (tmp_path / "umqtt" / "simple.py").write_text("")
    capsys.readouterr()
    assert mip.main(["--check"]) == 1
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == [
        str(tmp_path / name)
        for name in ("package.json", "thing/package.json", "umqtt/package.json")
    ]
    (tmp_path / "uxmpp" / "__init__.py").write_text("")
    assert mip.main(["--check"]) == 1 and "has no __version__" in capsys.readouterr().err
    for base in ("ftp://x", "http://a b", "here"):
        with pytest.raises(UxmppError, match="must be a URL"):
            mip.packages(base=base)
    for words in (["--base", "http://x"], ["--to", "x"], ["what"]):
        with pytest.raises(SystemExit) as e:
            mip.main(words)
        assert e.value.code == 2


def test_mpremote_installs(served, tmp_path, monkeypatch):
    """By HTTP, and from the checkout."""
    monkeypatch.setenv("no_proxy", "*")
    _, url = served
    for name, package, parts in (
        ("library", f"{url}/uxmpp/", ("uxmpp",)),
        ("agent", f"{url}/thing/package.json", ("thing",)),
        ("mqtt", f"{url}/umqtt/", ("umqtt",)),
        ("all", f"{url}/package.json", ("uxmpp", "thing", "umqtt")),
        ("local", str(mpy.FIRMWARE / "package.json"), ("uxmpp", "thing", "umqtt")),
    ):
        (tmp_path / name).mkdir()
        mpremote_mip._install_package(Folder(tmp_path / name), package, "", "lib", None, True)
        assert installed(tmp_path / name / "lib") == sources(*parts), name


@pytest.mark.parametrize("names", [("uxmpp", "umqtt"), ("",)], ids=["umqtt", "agent"])
def test_a_board_installs(served, tmp_path, names):
    """MicroPython's own mip, over its own sockets; it is from before relative paths."""
    folder, url = served
    assert mip.main(["--base", f"{url}/", "--to", str(folder / "whole")]) == 0
    board = micropython.find(32)
    lib = tmp_path / "lib"
    packages = [f"{url}/whole/{name}/".replace("//", "/").replace(":/", "://") for name in names]
    install = f"import mip\nfor p in {packages!r}: mip.install(p, target={str(lib)!r})\n"
    done = board.run_code(install)
    assert done.returncode == 0 and done.stdout.endswith("Done\n"), done.stdout + done.stderr
    assert installed(lib) == sources(*(part for name in names for part in mip.PACKAGES[name]))
    imports = "\n".join(IMPORTS[name] for name in names)
    done = board.run_code(f"{imports}\nprint('here')\n", path=[lib])
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr
