"""docs/quickstart-*.md: from a bare board to "online", each of their commands, by real tools."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host_tools.flash import boards
from host_tools.lab import standin
from host_tools.lab.lab import Lab
from host_tools.lab.owner import Owner
from host_tools.lab.virtual_board import VirtualBoard

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 180.0
PASSWORDS = {"you": "open sesame"}
DEVICE = "greenhouse"
DEVICE_PASSWORD = "a long enough password"
WIFI = {"ssid": "Attic", "password": "not hunter2"}
MAIN = "from host_tools.cli import main; main()"


def steps(name):
    """[("sh" or "chat", line)] of a document, in order."""
    text = (ROOT / "docs" / f"quickstart-{name}.md").read_text("utf-8")
    found = re.findall(r"^```(sh|chat)\n(.*?)^```$", text, re.M | re.S)
    return [(kind, line) for kind, block in found for line in block.splitlines()]


class Desk:
    """A person with a board, a terminal and a chat application."""

    def __init__(self, lab, board, folder):
        self.lab = lab
        self.board = board
        self.folder = folder
        self.firmware = folder / "micropython"
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "UXMPP_CACHE": os.environ.get("UXMPP_CACHE", ""),
            "UXMPP_WIFI_PASSWORD": WIFI["password"],
            "XDG_STATE_HOME": str(folder / "state"),
            "COLUMNS": "200",
        }
        if not self.env["UXMPP_CACHE"]:
            del self.env["UXMPP_CACHE"]
        self.code = None
        self.sent = 0

    def words(self, line):
        """The words of a command, with what only a laboratory needs."""
        words = shlex.split(line)[1:]
        server = self.lab.server
        port = ["--port", self.board.port]
        reach = ["--host", server.host, "--port", str(server.c2s_port)]
        more = {
            ("new",): reach,
            ("flash",): [
                *(("--drive", str(self.board.drive)) if self.rp2 else port),
                "--firmware",
                str(self.firmware),
                "--yes",
            ],
            ("wifi",): port,
            ("deploy",): port,
            ("doctor",): port,
            ("monitor",): port,
            ("update", "send"): [*reach, "--ca", str(self.lab.ca_pem)],
        }
        return words + next((m for k, m in more.items() if tuple(words[: len(k)]) == k), [])

    @property
    def rp2(self):
        return self.board.board.port == "rp2"

    def password(self, words):
        # An update is sent by an owner; all else is the device's
        if words[0] == "update":
            return {"UXMPP_PASSWORD": PASSWORDS["you"]}
        known = DEVICE in self.lab.accounts
        return {"UXMPP_PASSWORD": DEVICE_PASSWORD} if known else {}

    def start(self, line):
        """The process of a command."""
        line, _, to = line.partition(" >> ")
        words = self.words(line)
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, *words],
            cwd=self.folder,
            env={**self.env, **self.password(words)},
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / to).open("ab") if to else subprocess.PIPE,
            stderr=subprocess.STDOUT if not to else subprocess.PIPE,
            text=True,
        )

    async def run(self, line, code=0):
        """Run a command to its end; what it said."""
        process = self.start(line)
        said, wrong = await asyncio.to_thread(process.communicate, None, LIMIT_S)
        said = (said or "") + (wrong or "")
        assert process.returncode == code, f"{line}: {process.returncode}: {said}"
        assert "Traceback" not in said, said
        for secret in (DEVICE_PASSWORD, *PASSWORDS.values(), WIFI["password"]):
            assert secret not in said, line
        return said

    async def monitor(self, line):
        """Run the monitor, reset the board, wait until it is online, and press Ctrl-C; the exit
        code."""
        process = self.start(line)
        said = b""
        out = process.stdout.buffer
        os.set_blocking(out.fileno(), False)
        for awaited in (b"; Ctrl-C ends", b": online"):
            end = time.monotonic() + LIMIT_S
            while awaited not in said:
                said += out.read() or b""
                assert process.poll() is None and time.monotonic() < end, f"{line}: {said}"
                await asyncio.sleep(0.02)
            if awaited == b"; Ctrl-C ends":
                self.board.press_reset()
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait, LIMIT_S)
        return process.returncode

    async def do(self, line, owner):
        """Do a step of the document, and what it says besides; check what came of it."""
        words = line.split()
        if words[0] == "make":
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        elif words[0] == ".":
            check = f"{line} && command -v uxmpp"
            done = subprocess.run(["sh", "-c", check], cwd=ROOT, capture_output=True, text=True)
            assert done.stdout.strip() == str(ROOT / ".venv" / "bin" / "uxmpp"), done.stderr
        elif words[1] == "new":
            self.code = (re.search(r"pair (\S+)$", await self.run(line), re.M) or [None, None])[1]
        elif words[1] == "provision":
            assert "the account is made" in await self.run(line)
        elif words[1] == "check":
            said = await self.run(line)
            assert "TLSv1." in said and "can log in" in said, said
        elif words[1] == "flash":
            self.board.hold_boot()
            said = await self.run(line)
            assert "verified" in said or self.rp2, said
            if not self.rp2:
                self.board.press_reset()
            await self.console(r"WiFi: no network is known")
        elif words[1] == "wifi":
            await self.run(line)
            await self.console(rf"{DEVICE}@example\.org/\S+: online")
        elif words[1] == "monitor":
            assert await self.monitor(line) == 0
        elif words[1] == "doctor":
            mark = self.board.mark()
            said = await self.run(line)
            assert "FAILED" not in said and "not tried" not in said, said
            await self.online(mark)
        elif words[1] == "deploy":
            mark = self.board.mark()
            await self.run(line)
            await self.online(mark)
        elif words[1:3] == ["update", "send"]:
            said = await self.run(line)
            assert "1.1.0" in said, said
        elif words[1] == "sim":
            return  # test_sim.py
        else:
            await self.run(line)

    async def console(self, pattern, since=0):
        await asyncio.to_thread(self.board.wait_for_line, pattern, LIMIT_S, since=since)

    async def online(self, since):
        # The tools leave the board running
        await self.console(rf"{DEVICE}@example\.org/\S+: (?:online|resumed)", since)


async def ask(owner, line):
    """What the device answers, but for reports."""
    while owner.messages:
        owner.messages.popleft()
    end = time.monotonic() + LIMIT_S
    await owner.say(f"{DEVICE}@example.org", line)
    while True:
        text = (await owner.next_message(timeout=end - time.monotonic())).body
        text = text.replace("*", "")
        if not re.fullmatch(r"temperature: .*\nhumidity: .*|(update|running) [^\0]*", text):
            return text


@pytest.mark.parametrize("name", ["esp32", "pico-w"])
def test_quickstart(name, tmp_path):
    """The whole way, by the document: a bare board, flashed by the real esptool (or a UF2), boots
    from that littlefs, gets its WiFi by Improv, logs in to Prosody, has an owner, answers, and is
    updated over the air."""
    with_account = name == "pico-w"
    accounts = {**PASSWORDS, **({DEVICE: DEVICE_PASSWORD} if with_account else {})}
    lab = Lab(accounts, domain="example.org", registration=not with_account)
    board = boards.load(name)
    with lab, VirtualBoard(board, tmp_path / "board", wifi=WIFI) as virtual:
        desk = Desk(lab, virtual, tmp_path)
        desk.firmware.write_bytes(standin.firmware(board))

        async def main():
            server = lab.server
            async with Owner(
                lab.jid("you"), PASSWORDS["you"], server.host, server.c2s_port, lab.ca_pem
            ) as owner:
                for kind, line in steps(name):
                    if kind == "sh":
                        await desk.do(line, owner)
                    elif line == "pair CODE":
                        assert "owner now" in await ask(owner, f"pair {desk.code}")
                    elif line == "temperature":
                        assert re.match(r"temperature: -?[\d.]+ °C", await ask(owner, line))
                    else:
                        answer = await ask(owner, line)
                        assert "version 0.1.0" in answer, answer
                # Over the air, and seen in the chat
                answer = await ask(owner, "status")
                assert "version 1.1.0" in answer, answer
                assert re.match(r"temperature: -?[\d.]+ °C", await ask(owner, "temperature"))

        try:
            asyncio.run(main())
        except BaseException:
            print(virtual.console()[-3000:])
            raise
