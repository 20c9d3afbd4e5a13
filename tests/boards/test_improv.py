"""A board without a network takes one by Improv Serial, from `uxmpp wifi` and from the client that
browsers have, and is online then: virtual boards and Prosody."""

import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from host_tools.flash import boards, content, image, ports
from host_tools.lab.lab import Lab
from host_tools.lab.virtual_board import VirtualBoard
from host_tools.provision import device_file

from . import improv_sdk

PASSWORD = "open sesame"
WRONG = "let me in, please"
# It gives up sooner than others, lest the tests wait
APP = """
from thing import Thing

thing = Thing()
thing.client.first_pause_s = 0.2
thing.guard.wifi.join_s = 4
thing.sensor("temperature")(lambda: 21)
thing.run()
"""
LIMIT_S = 120
COMMAND = "from host_tools.cli import main; main()"


@pytest.fixture(scope="module")
def lab():
    with Lab({"dev": "device's own", "owner": "x"}) as lab:
        yield lab


class Board(VirtualBoard):
    """A board that was flashed, with `wifi` in its device.toml; `kind` is that of its line."""

    def __init__(self, lab, name, kind, wifi="{}"):
        folder = lab.folder / f"{name}-{kind}"
        folder.mkdir()
        (folder / "app.py").write_text(APP)
        toml = folder / "device.toml"
        toml.write_text(
            f'jid = "{lab.jid("dev")}"\npair = "ABCD-EFGH"\nwifi = {wifi}\n'
            f'host = "{lab.server.host}"\nport = {lab.server.c2s_port}\n'
            f'pin = "{lab.server.certificate.pin}"\n'
        )
        toml.chmod(0o600)
        board = boards.load(name)
        device = device_file.read(toml)
        files = content.device_files(device, board, "device's own", app=folder / "app.py")
        super().__init__(
            board,
            folder / "board",
            kind=kind,
            wifi={
                "ssid": "attic",
                "password": PASSWORD,
                "aps": [{"ssid": "garage", "rssi": -80, "auth": 0}],
            },
        )
        self.install(files)

    def files(self):
        """What is in its flash."""
        region = self.flash.read(self.board.fs_offset, self.board.fs_size)
        return image.read(region, self.board)


def wifi(port, *args, password=None, status=0):
    """What `uxmpp wifi` prints, of which nothing is a password."""
    env = {k: v for k, v in os.environ.items() if k != "UXMPP_WIFI_PASSWORD"}
    if password is not None:
        env["UXMPP_WIFI_PASSWORD"] = password
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "wifi", "--port", port, *args],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    said = done.stdout + done.stderr
    assert done.returncode == status and "Traceback" not in said, said
    assert PASSWORD not in said and WRONG not in said
    return said


def test_by_the_command(lab):
    with Board(lab, "esp32", "pty") as board:
        board.wait_for_line("WiFi: no network is known, `uxmpp wifi` tells one")
        # It says so when it listens; mpremote, or a person, stops it as ever
        board.wait_for_line("IMPROV")
        with ports.open_port(board.port) as port:
            port.write(b"\r\x03")
            board.wait_for_line("^>>> ")
            mark = board.mark()
            port.write(b"\x04")
            board.wait_for_line("IMPROV", since=mark)
        found = wifi(board.port, "--scan")
        assert "attic" in found and "(open) garage" in found, found
        said = wifi(board.port, "--ssid", "attic", password=WRONG, status=1)
        assert said.splitlines()[-1] == (
            "uxmpp: not joined: attic: wrong password; nothing was changed on the board"
        )
        assert "wifi.json" not in board.files()
        said = wifi(board.port, "--ssid", "attic", password=PASSWORD)
        assert said.splitlines()[-2:] == [
            "dev has joined attic, and keeps it",
            f"to chat with it: xmpp:{lab.jid('dev')}?message;body=pair%20",
        ]
        board.wait_for_line(r"dev@lab\.example/\S+: online$")
        kept = json.loads(board.files()["wifi.json"])
        assert kept == {"version": 1, "ssid": "attic", "password": PASSWORD}
        assert PASSWORD not in board.console() and WRONG not in board.console()
        # From then on it joins by itself, and listens to nobody
        boots = board.boots
        board.press_reset()
        board.wait_for_line(r"dev@lab\.example/\S+: online$")
        assert board.boots == boots + 1
        said = wifi(board.port, "--ssid", "x", "--limit", "60", password="x", status=1)
        assert "the board is on a network and online; its program was restarted" in said
        assert board.boots == boots + 2


def test_by_a_browser(lab):
    """On a board that knows a network which is not there, and goes on trying it."""
    known = '{ssid = "gone", password = "old"}'
    with Board(lab, "pico-w", "socket", known) as board:
        port = urlsplit(board.port)
        board.wait_for_line("WiFi: gone: not found")
        told = improv_sdk.run(port.hostname, port.port, "attic", WRONG)
        assert told["info"]["firmware"] == "uxmpp" and told["info"]["name"] == "dev"
        assert told["info"]["chipFamily"] == "rp2" and told["state"] == 2
        assert [(n["name"], n["secured"]) for n in told["networks"]] == [
            ("attic", True), ("garage", False),
        ]  # fmt: skip
        assert (told["error"], told["after"]) == ("UNABLE_TO_CONNECT", 2)
        told = improv_sdk.run(port.hostname, port.port, "attic", PASSWORD)
        assert "error" not in told and told["after"] == 4
        assert told["url"] == f"xmpp:{lab.jid('dev')}?message;body=pair%20"
        board.wait_for_line(r"dev@lab\.example/\S+: online$")
        assert json.loads(board.files()["wifi.json"])["ssid"] == "attic"
        assert PASSWORD not in board.console() and WRONG not in board.console()
