"""The lab's stand-ins for a board, a clock server and an owner's memory."""

import asyncio
import json
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import pytest

from host_tools.lab import device as lab_device
from host_tools.lab import micropython
from host_tools.lab.device import RESET_CODE, Device
from host_tools.lab.errors import LabError, LabTimeout
from host_tools.lab.ledger import Ledger
from host_tools.lab.ntp import EPOCH, NtpServer

from .helper import both, owner_of, until

SIMULATED = Path(lab_device.__file__).parent / "simulated"
LIMIT_S = 30.0


def board_of(folder, runtime, program, board=None, **options):
    """A device of `program` (source text), not started."""
    folder.mkdir(exist_ok=True)
    app = folder / "app"
    app.mkdir()
    (app / "trial.py").write_text(program)
    return Device({}, folder=folder, app=app / "trial.py", runtime=runtime, board=board, **options)


def said(folder, runtime, program, board=None, **options):
    """(exit code, console lines) of `program`, run to its end."""
    device = board_of(folder, runtime, program, board, **options).start()
    try:
        code = device.child.wait(LIMIT_S)
        return code, device.output().splitlines()
    finally:
        device.stop()


# reset and watchdog

BLOCKED = """
import asyncio, gc, machine, time
wdt = machine.WDT(timeout=600)
async def main():
    for i in range(18):
        await asyncio.sleep(0.04)
        gc.collect()
        wdt.feed()
    print("fed")
    {}
try:
    asyncio.run(main())
finally:
    print("cleaned up")
"""


@both
@pytest.mark.parametrize(
    "block",
    ["while True: x = [1, 2, 3]", "time.sleep(20)", "await asyncio.sleep(20)"],
    ids=["busy", "asleep", "waiting"],
)
def test_watchdog_resets_what_does_not_feed_it(runtime, block, tmp_path):
    assert said(tmp_path, runtime, BLOCKED.format(block)) == (
        RESET_CODE,
        ["fed", "watchdog: reset"],
    )


@both
def test_watchdog_does_not_outlive_the_program(runtime, tmp_path):
    assert said(tmp_path, runtime, BLOCKED.format("")) == (0, ["fed", "cleaned up"])
    # Nor does it hide the exit code
    ends = "import machine, sys\nmachine.WDT()\nsys.exit(5)"
    assert said(tmp_path / "ends", runtime, ends) == (5, [])


BOOTS = """
import machine, sys
causes = {machine.PWRON_RESET: "power", machine.HARD_RESET: "reset", machine.WDT_RESET: "wdt"}
cause = causes[machine.reset_cause()]
print("boot after", cause)
try:
    if cause == "power":
        machine.reset()
    elif cause == "reset":
        machine.WDT(timeout=50)
    while cause != "wdt":
        pass
finally:
    print("end")
"""


@both
def test_device_boots_again_after_a_reset(runtime, tmp_path):
    device = board_of(tmp_path, runtime, BOOTS, restarts=True).start()
    try:
        assert device.child.wait(LIMIT_S) == 0
        assert device.output().splitlines() == [
            "boot after power", "reset", "boot after reset", "watchdog: reset", "boot after wdt",
            "end",
        ]  # fmt: skip
        assert device.boots == 3
    finally:
        device.stop()


def test_device_that_resets_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(lab_device, "MAX_RESTARTS", 3)
    device = board_of(tmp_path, "32", "import machine\nmachine.reset()", restarts=True).start()
    assert device.child.wait(LIMIT_S) == RESET_CODE
    with pytest.raises(LabError, match="the device's program ended .*: reset"):
        device.check()
    assert device.boots == 4 and device.output() == "reset\n" * 4


def test_without_restarts_a_reset_is_the_end(tmp_path):
    assert said(tmp_path, "32", "import machine\nmachine.reset()") == (RESET_CODE, ["reset"])


@both
def test_device_killed_and_started_again(runtime, tmp_path):
    program = """
import os, time
print("left" if "left.txt" in os.listdir() else "fresh")
open("left.txt", "w").close()
print("waits")
time.sleep(60)
"""
    device = board_of(tmp_path, runtime, program, restarts=True).start()
    try:
        device.child.wait_for_line("waits", LIMIT_S)
        device.kill()
        device.start().child.wait_for_line("waits", LIMIT_S)
        assert device.output().split() == ["fresh", "waits", "left", "waits"]
        assert device.boots == 2
    finally:
        device.kill()
    with pytest.raises(LabError, match="was not started"):
        device.check()


# the clock

CLOCK = """
import asyncio, json, machine, time
print(list(time.gmtime()[:6]))
first = time.time()
before = time.time_ns()
async def nap():
    await asyncio.sleep(0.01)
asyncio.run(nap())
print(0 < time.time_ns() - before < 10**9)
machine.RTC().datetime((2026, 11, 22, 6, 10, 27, 30, 0))
print(list(time.localtime()[:5]), list(machine.RTC().datetime()[:5]))
print(int(time.time()) - 1795343250 in range(3))
print(list(time.gmtime(951782399)[:6]))
if hasattr(time, "ticks_ms"):
    print([time.gmtime(time.mktime(t + (0, 0)))[:6] == t for t in (
        (2000, 2, 29, 23, 59, 59), (2026, 3, 1, 0, 0, 0), (2028, 12, 31, 1, 2, 3),
    )])
"""


@both
@pytest.mark.parametrize(("start", "year"), [("unset", 2000), ("2021-01-01", 2021)])
def test_board_that_does_not_know_the_time(runtime, start, year, tmp_path):
    code, lines = said(tmp_path, runtime, CLOCK, {"clock": start})
    first, *rest = lines
    assert json.loads(first)[:5] == [year, 1, 1, 0, 0]
    assert rest[:5] == [
        "True", "clock: 2026-11-22 10:27:30", "[2026, 11, 22, 10, 27] [2026, 11, 22, 6, 10]",
        "True", "[2000, 2, 28, 23, 59, 59]",
    ]  # fmt: skip
    assert rest[5:] == (["[True, True, True]"] if runtime == "32" else [])
    assert code == 0


@both
def test_board_that_knows_the_time(runtime, tmp_path):
    program = """
import machine, time
machine.RTC().datetime((2001, 1, 1, 0, 0, 0, 0, 0))
print(time.gmtime()[0] > 2025, machine.RTC().datetime()[0] > 2025)
"""
    lines = ["clock: 2001-01-01 00:00:00", "True True"]
    assert said(tmp_path, runtime, program) == (0, lines)


# WiFi

WIFI = """
import network, time
w = network.WLAN(network.STA_IF)
try:
    w.connect("home", "secret")
except OSError:
    print("error")
w.active(True)
names = {getattr(network, n): n for n in dir(network) if n.startswith("STAT_")}
def state():
    s = w.status()
    return names.get(s, s), w.isconnected(), w.ifconfig()[0]
for i in range(2):
    print(*state())
    w.connect("home", "secret")
    print(*state())
    while w.status() == network.STAT_CONNECTING:
        time.sleep(0.01)
print(*state())
"""
ON = "wifi: on"
CONNECTING = ["wifi: connecting", "STAT_CONNECTING False 0.0.0.0"]
IDLE = "STAT_IDLE False 0.0.0.0"
CONNECTED = ["wifi: connected", "STAT_GOT_IP True 192.0.2.10"]


@both
@pytest.mark.parametrize(
    ("wifi", "first", "second"),
    [
        ({"ssid": "home", "password": "secret"}, CONNECTED, CONNECTED),
        ({"absent": 1}, ["STAT_NO_AP_FOUND False 0.0.0.0"], CONNECTED),
        ({"ssid": "other"},) + (["STAT_NO_AP_FOUND False 0.0.0.0"],) * 2,
        ({"password": "other"},) + (["STAT_WRONG_PASSWORD False 0.0.0.0"],) * 2,
        ({"no_address": 1}, ["2 True 0.0.0.0"], CONNECTED),
    ],
    ids=["good", "absent", "ssid", "password", "no_address"],
)
def test_wifi(runtime, wifi, first, second, tmp_path):
    code, lines = said(tmp_path, runtime, WIFI, {"wifi": {"connect_ms": 30, **wifi}})
    assert lines == ["error", ON, IDLE, *CONNECTING, *first, *CONNECTING, *second]
    assert code == 0


def test_wifi_of_an_esp32(tmp_path):
    program = "import network\nprint(network.STAT_IDLE, network.STAT_GOT_IP)"
    assert said(tmp_path, "32", program, {"wifi": {"port": "esp32"}}) == (0, ["1000 1010"])


LINK = """
import network, time
w = network.WLAN(network.STA_IF)
w.active(True)
w.connect("home")
while not w.isconnected():
    time.sleep(0.01)
while w.isconnected():
    time.sleep(0.01)
print("lost", w.ifconfig()[0], w.config("ssid"))
w.active(False)
"""


@both
def test_wifi_whose_link_goes_down(runtime, tmp_path):
    """At first it does not notice."""
    device = board_of(tmp_path, runtime, LINK, {"wifi": {}}).start()
    try:
        device.child.wait_for_line("connected", LIMIT_S)
        device.set_board({"wifi": {"link": "down", "sticky": True}})
        with pytest.raises(LabTimeout):
            device.child.wait_for_line("lost", 0.2)
        device.set_board({"wifi": {"link": "down"}})
        assert device.child.wait(LIMIT_S) == 0
        assert device.output().splitlines()[3:] == ["lost 0.0.0.0 home", "wifi: off"]
    finally:
        device.stop()


def test_without_being_asked_for_there_is_no_wifi(tmp_path):
    code, lines = said(tmp_path, "32", "import network")
    assert code == 1 and lines[-1] == "ImportError: no module named 'network'"


# flash

FLASH = """
import gc, sys, vfs
from block import BlockFile
stop_after, stop = int(sys.argv[2]), sys.argv[3]
dev = BlockFile(sys.argv[1], 4096, 32, stop_after or None, stop)
try:
    vfs.mount(vfs.VfsLfs2(dev), "/flash")
except OSError:
    vfs.VfsLfs2.mkfs(dev)
    vfs.mount(vfs.VfsLfs2(dev), "/flash")
import os
def read(name):
    try:
        with open("/flash/" + name) as f:
            return f.read()
    except OSError:
        return ""
a, b = read("a"), read("b")
print("read", len(a), len(b), len(set(a)), len(set(b)), read("kept"))
if not read("kept"):
    with open("/flash/kept", "w") as f:
        f.write("kept")
    dev.writes = 0
for letter in "xy":
    with open("/flash/new", "w") as f:
        f.write(letter * 6000)
    os.rename("/flash/new", "/flash/a")
    with open("/flash/b", "w") as f:
        f.write(letter * 100)
print("writes", dev.writes)
"""


def flash(tmp_path, image, stop_after=0, stop="before"):
    program = tmp_path / "flash.py"
    program.write_text(FLASH)
    return micropython.find(32).run(
        program, str(image), str(stop_after), stop, heap="160k", path=[SIMULATED]
    )


@pytest.mark.parametrize("stop", ["before", "half", "after"])
def test_files_survive_a_stop_at_every_write(stop, tmp_path):
    """In a board's heap."""
    image = tmp_path / "flash.img"
    done = flash(tmp_path, image)
    assert done.returncode == 0, done.stderr
    assert image.stat().st_size == 32 * 4096
    done = flash(tmp_path, image)
    assert done.stdout.startswith("read 6000 100 1 1 kept\n"), done.stdout + done.stderr
    writes = int(done.stdout.split()[-1])
    stopped = 0
    for n in range(1, writes + 1):
        # What stands on the flash differs from run to run, and so does where n is
        done = flash(tmp_path, image, n, stop)
        if done.returncode == 0:
            continue
        stopped += 1
        assert done.returncode == -9, done.stderr
        assert done.stdout.endswith(f"power cut: write {n}, {stop}\n")
        after = flash(tmp_path, image)
        assert after.returncode == 0, after.stderr
        a, b, kinds_a, kinds_b, kept = after.stdout.split("\n")[0].split()[1:]
        assert (a, kinds_a, kept) == ("6000", "1", "kept"), (n, after.stdout)
        assert (b, kinds_b) in (("100", "1"), ("0", "0")), (n, after.stdout)
    assert stopped > 8


@pytest.mark.parametrize(("stop", "left"), [("before", 0), ("half", 4), ("after", 8)])
@pytest.mark.parametrize("interpreter", ["32", "cpython"])
def test_block_device_stops_in_the_middle(interpreter, stop, left, tmp_path):
    code = (
        "from block import BlockFile\n"
        f"d = BlockFile({str(tmp_path / 'i')!r}, 16, 2, 3, {stop!r})\n"
        "d.ioctl(6, 0)\nd.writeblocks(0, b'12345678', 8)\n"
        "print(d.writes, d.ioctl(4, 0), d.ioctl(5, 0))\n"
        "d.writeblocks(1, b'abcdefgh', 0)\nprint('not reached')\n"
    )
    if interpreter == "32":
        done = micropython.find(32).run_code(code, path=[SIMULATED])
    else:
        done = subprocess.run(
            [sys.executable, "-u", "-c", code],
            env={"PYTHONPATH": str(SIMULATED)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == -9
    assert done.stdout == f"2 2 16\npower cut: write 3, {stop}\n"
    blank = b"\xff" * 8
    assert (tmp_path / "i").read_bytes() == (
        blank + b"12345678" + b"abcdefgh"[:left] + blank[left:] + blank
    )


# NTP


async def ntp_asked(server, limit_s=LIMIT_S):
    """What an NTP client gets: the packet, or None in time."""
    loop = asyncio.get_running_loop()
    got = loop.create_future()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            if not got.done():
                got.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(
        Client, remote_addr=(server.host, server.port)
    )
    try:
        transport.sendto(b"\x23" + bytes(39) + b"my stamp")
        async with asyncio.timeout(limit_s):
            return await got
    except TimeoutError:
        return None
    finally:
        transport.close()


def test_ntp():
    moment = datetime(2026, 11, 22, 10, 27, 0, 500_000, tzinfo=UTC)

    async def main():
        async with NtpServer(moment) as server:
            packet = await ntp_asked(server)
            assert len(packet) == 48 and packet[0] == 0x24 and packet[1] == 2
            assert packet[24:32] == b"my stamp"
            whole, part = struct.unpack("!II", packet[40:])
            assert (whole - EPOCH, part) == (int(moment.timestamp()), 1 << 31)
            server.now = 1.0
            assert struct.unpack("!I", (await ntp_asked(server))[40:44]) == (EPOCH + 1,)
            server.now = 2**32 - EPOCH + 5  # in 2036 the seconds begin again
            assert struct.unpack("!I", (await ntp_asked(server))[40:44]) == (5,)
            server.mode = "kiss"
            packet = await ntp_asked(server)
            assert packet[0] >> 6 == 3 and packet[1] == 0 and packet[12:16] == b"DENY"
            assert packet[24:32] == b"my stamp" and packet[40:] == bytes(8)
            server.mode = "rubbish"
            packets = [await ntp_asked(server) for _ in range(6)]
            assert len(set(packets)) == 6
            server.mode = "silent"
            assert await ntp_asked(server, 0.1) is None
            assert server.requests == 11

    asyncio.run(main())


def test_ntp_address_that_is_not_ours():
    async def main():
        with pytest.raises(LabError, match="cannot listen on 192.0.2.1:0"):
            async with NtpServer(listen="192.0.2.1"):
                pass

    asyncio.run(main())


# the owner's ledger


def message(body, number=None, *stamps):
    xml = ET.Element("{jabber:client}message", {"id": number} if number else {})
    for who, stamp in stamps:
        ET.SubElement(xml, "{urn:xmpp:delay}delay", {"from": who, "stamp": stamp})
    return "dev@lab.example/1", body, xml


def test_ledger():
    ledger = Ledger()
    assert ledger.add(*message("one", "1"))
    assert ledger.add(*message("two", "2", ("x", "2026-11-22T10:00:00Z"), ("y", "nonsense")))
    assert not ledger.add(*message("one", "1"))
    assert not ledger.add(*message("not one", "1"))
    assert ledger.add(*message("same"))
    assert ledger.add(*message("same"))
    two = (("a", "2026-11-22T12:00:00.5+01:00"), ("b", "2026-11-22T11:00:00"))
    assert ledger.add(*message("late", "3", *two))
    assert ledger.bodies == ["one", "two", "same", "same", "late"]
    assert ledger.duplicates == ["1", "1"] and ledger.conflicts == ["1"]
    stamps = [entry.stamp for entry in ledger]
    assert stamps[:4] == [None, datetime(2026, 11, 22, 10, tzinfo=UTC), None, None]
    assert stamps[4] == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert [who for who, _ in ledger.entries[4].stamps] == ["a", "b"]
    assert len(ledger) == 5 and ledger.entries[0].id == "1" and ledger.entries[2].id is None


def test_owner_keeps_its_ledger_over_restarts(world):
    """Offline messages are in it, with the server's stamp; receipts are given when asked for."""

    def send(sender, body, number):
        stanza = sender.client.make_message(mto=world.jid("owner"), mbody=body, mtype="chat")
        stanza["id"] = number
        ET.SubElement(stanza.xml, "{urn:xmpp:receipts}request")
        stanza.send()

    def receipts(sender):
        found = [m.xml.find("{urn:xmpp:receipts}received") for m in sender.messages]
        return [el.get("id") for el in found if el is not None]

    async def main():
        owner = owner_of(world, receipts=True)
        ledger = owner.ledger(world.jid("dev") + "/any")
        async with owner:
            async with owner_of(world, "dev") as dev:
                send(dev, "one", "1")
                send(dev, "one", "1")
                send(dev, "two", "2")
                await owner.until(lambda: len(ledger) == 2, "two messages")
                await until(lambda: receipts(dev) == ["1", "1", "2"], "receipts")
            await asyncio.to_thread(world.server.kill)
            await until(lambda: not owner.connected, "end of the connection")
            await asyncio.to_thread(world.server.start)
            async with owner_of(world, "dev") as dev:
                send(dev, "two", "2")
                send(dev, "three", "3")
                await dev.iq(None, "<ping xmlns='urn:xmpp:ping'/>")
                await owner.connect()
                await owner.until(lambda: len(ledger) == 3, "message from before")
                await until(lambda: receipts(dev) == ["2", "3"], "receipts")
        assert ledger.bodies == ["one", "two", "three"]
        assert ledger.duplicates == ["1", "2"] and ledger.conflicts == []
        assert [e.stamp is not None for e in ledger] == [False, False, True]
        assert abs((ledger.entries[2].stamp - datetime.now(UTC)).total_seconds()) < 60
        assert len(owner.ledger(world.jid("stranger"))) == 0

    asyncio.run(main())


def test_owner_without_receipts_gives_none(world):
    async def main():
        async with owner_of(world) as owner, owner_of(world, "dev") as dev:
            stanza = dev.client.make_message(mto=world.jid("owner"), mbody="one", mtype="chat")
            ET.SubElement(stanza.xml, "{urn:xmpp:receipts}request")
            stanza.send()
            assert (await owner.next_message()).body == "one"
            await owner.iq(None, "<ping xmlns='urn:xmpp:ping'/>")
            await dev.iq(None, "<ping xmlns='urn:xmpp:ping'/>")
            assert not dev.messages

    asyncio.run(main())
