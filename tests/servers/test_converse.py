"""The camera as its owner sees it in a web page: converse.js in Chromium, over a WebSocket."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from host_tools.lab import chromium, converse
from host_tools.lab.chromium import Chromium, set_loader
from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab

from .pictures import CAMERA, PASSWORDS, SIZE, camera, websocket


def test_camera_in_a_web_page(tmp_path):
    with Lab(PASSWORDS, modules=("websocket",)) as lab:
        seen = camera(lab, tmp_path / "camera.png")
        assert seen.picture == (640, 480)
        # The labels are bold: XEP-0393, with its signs for those who cannot show that
        assert "<b>size</b>" in seen.status and "VGA" in seen.status, seen.status
        # Whoever was not told of the authority gets no further than its certificate
        with Chromium(hosts={lab.domain: lab.server.host}) as browser:
            url = websocket(lab).replace("wss:", "https:")
            with pytest.raises(LabError, match="ERR_CERT_AUTHORITY_INVALID"):
                browser.page(url)
            with pytest.raises(LabError, match="ERR_NAME_NOT_RESOLVED"):
                browser.page("https://example.org/")
    with Image.open(tmp_path / "camera.png") as now, Image.open(CAMERA) as kept:
        assert now.size == kept.size == SIZE


def test_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("UXMPP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"^npm is missing here"):
        converse.package()
    with pytest.raises(LabError, match=r"install by hand chromium$"):
        chromium.find.__wrapped__()
    # An npm that brings another package, and one that brings none
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\necho "npm error code E404" >&2\nexit 1\n')
    npm.chmod(0o755)
    with pytest.raises(LabError, match=r"could not fetch converse.js \S+: npm error code E404$"):
        converse.package()
    archive = tmp_path / "converse.js.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(npm, "package/dist/npm")
    with pytest.raises(LabError, match=r"converse.js.tgz is not what it was: sha512-"):
        converse.unpack(archive, tmp_path / "out", converse.INTEGRITY)
    assert not (tmp_path / "out").exists()


def test_another_loader(tmp_path):
    with Path("/proc/self/maps").open() as maps:
        own = next(line.split()[-1] for line in maps if "/ld-" in line)
    loader = shutil.copy(
        own, tmp_path / "a-loader-with-a-longer-name-than-the-one-that-it-replaces"
    )
    path = Path(shutil.copy(shutil.which("true"), tmp_path / "program"))
    assert set_loader(path, loader)
    subprocess.run([path], check=True)
    changed = path.read_bytes()
    assert not set_loader(path, loader) and path.read_bytes() == changed
    loader.unlink()
    with pytest.raises(OSError):
        subprocess.run([path])
    # What is no such program
    for data in (b"", b"#!/bin/sh\n" + bytes(100), b"\x7fELF\x01\x01" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(LabError, match="is no 64-bit program$"):
            set_loader(path, tmp_path / "ld.so")
    path.write_bytes(b"\x7fELF\x02\x01" + bytes(100))
    with pytest.raises(LabError, match="needs no loader$"):
        set_loader(path, tmp_path / "ld.so")
    with pytest.raises(LabError, match="cannot set the loader of"):
        set_loader(tmp_path / "none", tmp_path / "ld.so")
