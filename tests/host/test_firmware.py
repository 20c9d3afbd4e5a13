"""The firmware for a board: what is looked at before anything is written, and where it is from."""

import hashlib
import random
import socket
import threading
from dataclasses import replace
from functools import partial, reduce
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import xor
from pathlib import Path

import pytest
from mpflash.download import from_web

from host_tools.errors import UxmppError
from host_tools.flash import boards, firmware
from host_tools.flash.firmware import FirmwareError
from host_tools.lab import standin
from host_tools.lab.ports import Ports

ESP32 = boards.load("esp32")
C3 = boards.load("esp32-c3")
PICO = boards.load("pico-w")
PICO2 = boards.load("pico2-w")
#: Where the app begins in the file.
APP = 0xF000


def micropython(version="1.25.0", machine="Generic ESP32 module with ESP32", board=ESP32):
    """A stand-in that says of itself what the real one does."""
    text = f"MicroPython v{version} on 2025-04-15\0{machine}\0".encode()
    made = standin.firmware(board).replace(b" with ", b" like ")
    if board.port == "rp2":
        at = 512 * 8 + 32
        return made[:at] + text + made[at + len(text) :]
    at = APP + 400
    return _hashed(made[:at] + text + made[at + len(text) :])


def _hashed(data, at=APP):
    """The file with checksum and hash of its app made right again."""
    before = standin.esp32(ESP32)
    for end in range(len(data) - 32, at, -16):
        if before[end : end + 32] == hashlib.sha256(before[at:end]).digest():
            changed = reduce(xor, data[at:end], 0) ^ reduce(xor, before[at:end], 0)
            data = data[: end - 1] + bytes([data[end - 1] ^ changed]) + data[end:]
            return data[:end] + hashlib.sha256(data[at:end]).digest() + data[end + 32 :]
    raise AssertionError("no hash there")


def test_what_it_says_of_itself():
    found = firmware.check(ESP32, micropython(), Path("fw.bin"))
    assert (found.version, found.title) == ("1.25.0", "MicroPython 1.25.0")
    assert found.machine == "Generic ESP32 module with ESP32"
    assert [p.name for p in found.table] == ["nvs", "phy_init", "factory", "vfs"]
    found = firmware.check(ESP32, micropython("1.27.0-preview.80.g0123abcd"), Path("fw.bin"))
    assert found.title == "MicroPython 1.27.0-preview.80.g0123abcd"
    machine = "Raspberry Pi Pico W with RP2040"
    found = firmware.check(PICO, micropython(machine=machine, board=PICO), Path("fw.uf2"))
    assert (found.title, found.machine) == ("MicroPython 1.25.0", machine)
    # A stand-in does not pretend
    assert firmware.check(ESP32, standin.esp32(ESP32), Path()).title == (
        "uxmpp stand-in no MicroPython"
    )
    assert "does not say" in firmware.check(PICO2, standin.rp2(PICO2), Path()).title


def test_refused(tmp_path):
    good = standin.esp32(ESP32)
    ota = bytearray(good)
    # Another place for the file system, and so another MD5
    table = bytearray(good[0x7000:0x7C00])
    table[3 * 32 + 4 : 3 * 32 + 12] = (0x310000).to_bytes(4, "little") + (0xF0000).to_bytes(
        4, "little"
    )
    table[4 * 32 + 16 : 5 * 32] = hashlib.md5(table[: 4 * 32]).digest()
    ota[0x7000:0x7C00] = table

    def twice(at):
        """What the checksum does not see."""
        return good[:at] + bytes(b ^ 1 for b in good[at : at + 2]) + good[at + 2 :]

    path = tmp_path / "fw.bin"
    for board, data, why in (
        (ESP32, b"", "is no firmware for an ESP32: it begins not with e9, but with nothing"),
        (ESP32, b"<!DOCTYPE html>", "it begins not with e9, but with 3c 21 44 4f"),
        (ESP32, b"PK\3\4 a zip", "but with 50 4b 03 04"),
        (ESP32, standin.rp2(PICO), "is a UF2 file: the .* takes a .bin"),
        (ESP32, standin.esp32(C3), "is for esp32c3, and the .* has esp32"),
        (C3, good, "is for esp32, and the .* has esp32c3"),
        (ESP32, good[:12] + b"\x63\0" + good[14:], "is for the chip with id 99"),
        (ESP32, good[:20], "is cut short in the bootloader"),
        (ESP32, good[:1000], "is cut short in the bootloader"),
        (ESP32, good[:0x6000], "there is no partition table at 0x8000: is it an .app-bin"),
        (ESP32, good[APP:], "there is no partition table at 0x8000"),
        (ESP32, good[:APP], "is cut short: it ends at 0x10000, before its app"),
        (ESP32, good[:-4096], "is cut short in the app"),
        (ESP32, good[: APP + 50], "is cut short in the app"),
        (ESP32, good[:APP] + b"\xff" * 4096, "is damaged: the app does not begin as an image"),
        (ESP32, good[:200] + b"!" + good[201:], "is damaged: the checksum of the bootloader"),
        (ESP32, good[: APP + 900] + b"!" + good[APP + 901 :], "the checksum of the app differs"),
        (ESP32, twice(APP + 900), "the SHA-256 of the app differs"),
        (ESP32, bytes(ota), "file system at 0x310000, 0xf0000 bytes, and esp32.toml says 0x200"),
        (ESP32, good + b"\xff" * (2 << 20), "into the file system at 0x200000"),
        (ESP32, micropython("1.23.0"), "is MicroPython 1.23.0: uxmpp needs 1.24 or newer"),
        (ESP32, b"\xe9" * (1 << 16), "is damaged: the bootloader does not begin"),
        (
            boards.load("esp32-s3"),
            standin.esp32(boards.load("t-watch-s3")),
            "for a board with more flash",
        ),
        (PICO, good, "is no UF2 file, but an ESP32's image"),
        (PICO, b"hello", "is no UF2 file, but none"),
        (PICO, standin.rp2(PICO2), "is for RP2350 .Arm., not for RP2040"),
        (PICO2, standin.rp2(PICO), "is for RP2040, not for RP2350"),
        (PICO, standin.rp2(PICO)[:-700], "is cut short"),
        (PICO, standin.rp2(PICO)[:-512], "is not whole"),
        (PICO, standin.uf2(bytes(0x130000), PICO.uf2_family), "reaches to 0x130000"),
        (PICO, standin.uf2(bytes(4096), PICO.uf2_family, 0x1000), "does not begin where the fl"),
        (PICO, micropython("1.20", board=PICO), "is MicroPython 1.20: uxmpp needs"),
    ):
        path.write_bytes(data)
        with pytest.raises(FirmwareError, match=why) as caught:
            firmware.from_file(board, path)
        said = str(caught.value)
        assert said.startswith(f"firmware {path}: ") and "\n" not in said
    for wrong, why in (
        (tmp_path / "none.bin", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(FirmwareError, match=why):
            firmware.from_file(ESP32, wrong)
    # The table leaves all behind the app to the file system: right for a board like this
    assert firmware.check(ESP32, standin.esp32(ESP32, vfs=False), path).table


def test_no_bytes_do_harm():
    rng = random.Random(6)
    for board in (ESP32, PICO):
        good = standin.firmware(board, size=0x10000 if board is ESP32 else 4096)
        taken = 0
        for _ in range(150):
            data = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                start = rng.choice((0, 0x7000, APP) if board is ESP32 else (0, 512, 1024))
                data[start + rng.randrange(96)] = rng.randrange(256)
            try:
                firmware.check(board, bytes(data[: rng.choice((None, None, 0xF010))]), Path())
                taken += 1
            except UxmppError as e:
                assert "\n" not in str(e) and len(str(e)) < 300
        assert 0 < taken < 150


@pytest.fixture
def site(monkeypatch, tmp_path):
    """A download site like micropython.org on loopback: its pages and files by path; the cache
    is empty."""
    pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            path = self.path.partition("?")[0]
            asked.append(f"{self.command} {path}")
            data = pages.get(path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data or b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serve = threading.Thread(target=partial(server.serve_forever, 0.01))
    serve.start()
    root = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(firmware, "_SITE", f"{root}download/")
    monkeypatch.setattr(from_web, "MICROPYTHON_ORG_URL", root)
    monkeypatch.setenv("UXMPP_CACHE", str(tmp_path / "cache"))
    pages["/download/"] = b'<a class="board-card" href="ESP32_GENERIC">ESP32</a>'
    pages["/asked"] = asked
    yield pages
    server.shutdown()
    server.server_close()
    serve.join()


def test_fetched_once_and_kept(site, tmp_path):
    names = (
        "ESP32_GENERIC-20241129-v1.24.1.bin",
        "ESP32_GENERIC-20250415-v1.25.0.bin",
        "ESP32_GENERIC-20250415-v1.25.0.app-bin",
        "ESP32_GENERIC-20250516-v1.26.0-preview.99.g12345678.bin",
        "ESP32_GENERIC-SPIRAM-20250809-v1.26.0.bin",
        "ESP32_GENERIC-OTA-20250809-v1.26.0.bin",
    )
    site["/download/ESP32_GENERIC"] = "".join(
        f'<a href="/resources/firmware/{name}">{name}</a>' for name in names
    ).encode()
    said = []
    # The page has no such version; nothing is fetched
    with pytest.raises(FirmwareError, match=r"has the versions 1.25.0, 1.24.1, and not that one"):
        firmware.get(ESP32, "1.25.9", said.append)
    # What the site sends is no firmware: it is not kept
    site[f"/resources/firmware/{names[1]}"] = b"<html>busy"
    with pytest.raises(FirmwareError, match=r"v1.25.0.bin: is no firmware .* and not kept"):
        firmware.get(ESP32, None, said.append)
    assert firmware.kept(ESP32) == []
    site[f"/resources/firmware/{names[1]}"] = micropython("1.25.0")
    site[f"/resources/firmware/{names[0]}"] = micropython("1.24.1")
    said.clear()
    found = firmware.get(ESP32, None, said.append)
    assert found.title == "MicroPython 1.25.0"
    assert found.path == tmp_path / "cache" / "firmware" / "esp32" / "ESP32_GENERIC-v1.25.0.bin"
    assert said[0].startswith("Looking for ESP32_GENERIC at http")
    assert said[1].startswith("Fetching http") and said[1].endswith(names[1]) and len(said) == 2
    # From now on without the site, unless another version is asked for
    del site["/asked"][:], said[:]
    assert firmware.get(ESP32, None, said.append) == found == firmware.get(ESP32, "1.25", print)
    assert site["/asked"] == [] and said == []
    assert firmware.get(ESP32, "v1.24.1", said.append).version == "1.24.1"
    assert firmware.get(ESP32, None, said.append).version == "1.25.0"
    assert firmware.get(ESP32, "newest", said.append).version == "1.25.0"
    # One that was cut off on its way is said to be that, and not taken
    whole = firmware.kept(ESP32)[-1].read_bytes()
    firmware.kept(ESP32)[-1].write_bytes(whole[:50_000])
    with pytest.raises(FirmwareError, match=r"is cut short.* \(as fetched before: delete it"):
        firmware.get(ESP32, None, said.append)
    firmware.kept(ESP32)[-1].write_bytes(whole)
    assert [p.name for p in firmware.kept(ESP32)] == [
        "ESP32_GENERIC-v1.24.1.bin",
        "ESP32_GENERIC-v1.25.0.bin",
    ]
    # The variant for PSRAM is on the same page, and another firmware
    site[f"/resources/firmware/{names[4]}"] = micropython("1.26.0")
    assert firmware.get(boards.load("esp32-cam"), None, said.append).version == "1.26.0"
    assert firmware.get(ESP32, None, said.append).version == "1.25.0"


def test_not_fetched(site, monkeypatch, tmp_path):
    def refused(board=ESP32, version=None):
        with pytest.raises(FirmwareError) as caught:
            firmware.get(board, version, lambda text: None)
        text = str(caught.value)
        assert "\n" not in text and len(text) < 400, text
        return text

    # No page, an empty page, no list at all, no file: always what to do instead
    for n in range(4):
        site["/download/ESP32_GENERIC"] = [
            None,
            b"",
            b'<a href="/resources/firmware/ESP32_GENERIC-20250415-v1.25.0.app-bin">',
            b'<a href="/resources/firmware/ESP32_GENERIC-20250415-v1.25.0.bin">',
        ][n]
        from_web.get_page.cache_clear()
        text = refused()
        if n < 3:
            assert "micropython.org lists none" in text
            assert "/download/ESP32_GENERIC/, and give it by --firmware FILE" in text
        else:
            assert "but with nothing (as just fetched, and not kept)" in text
            assert "--firmware FILE" in text
    assert "is no name of an official build; give it by" in refused(
        replace(ESP32, firmware="/../*")
    )
    for version in ("1", "x", "1.25.0.0", "../../etc", "-1.2"):
        assert "must be a version, 1.25.0, or newest" in refused(version=version)
    site["/download/"] = None
    assert "answers 404; fetch its .bin elsewhere" in refused()
    with Ports(1) as free:  # else another program may get it
        monkeypatch.setattr(firmware, "_SITE", f"http://127.0.0.1:{free.numbers[0]}/")
        text = refused()
    assert "cannot be reached" in text and "refused" in text and "--firmware FILE" in text
    # It listens, and never answers
    monkeypatch.setattr(firmware, "ANSWER_LIMIT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(firmware, "_SITE", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        text = refused()
    assert "cannot be reached" in text and "timed out" in text.lower()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UXMPP_CACHE", str(tmp_path / "file"))
    assert "cannot be written: Not a directory" in refused()
