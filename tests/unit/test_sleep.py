"""What survives a deep sleep, what does not, and what waits for its end. The board is only its
memory here; with servers it is in tests/servers."""

import asyncio
import json
import os
import struct
import sys
from binascii import crc32

from helper import raises, temporary
from thing import Thing
from thing.clock import Clock, parse, stamp
from thing.config import ConfigError, load
from uxmpp.reliable import ReliableClient
from uxmpp.suspend import MAX_BYTES, idle, resume, suspend
from uxmpp.xep.csi import Csi
from uxmpp.xml import Element

HEAP = "1200k"
OWNER = "owner@lab.example"
NOW = parse("2026-11-22T13:15:00Z")
SESSION = {"jid": "dev@lab.example/r", "id": "s1", "h": 7, "acked": 9, "queue": []}


class AsleepError(BaseException):
    """The board sleeps: args[0] milliseconds."""


class Board:
    """`machine`; with `memory` None that of a board without one that survives."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
    EXT0_WAKE, EXT1_WAKE, TIMER_WAKE, TOUCHPAD_WAKE, ULP_WAKE = 2, 3, 4, 5, 6

    def __init__(self, memory=b""):
        self.kept = memory
        self.cause = self.PWRON_RESET
        self.reason = 0

    def RTC(self):  # noqa: N802 - as boards call it
        return self

    def memory(self, data=None):
        if self.kept is None:
            raise AttributeError("memory")
        if data is None:
            return self.kept
        if len(data) > 2048:
            raise ValueError("buffer too long")
        self.kept = data
        return None

    def reset_cause(self):
        return self.cause

    def deepsleep(self, ms):
        self.cause = self.DEEPSLEEP_RESET
        self.reason = self.TIMER_WAKE
        raise AsleepError(ms)


class Esp32(Board):
    def wake_reason(self):
        return self.reason


def config(**more):
    return dict(jid="dev@lab.example", password="x", owners=[OWNER], pin="0" * 64, **more)


def thing_of(board, folder, sleep=None, **more):
    """A Thing that was started on a board, and its Sleep."""
    with open(folder + "/device.json", "w") as f:
        json.dump(config(sleep=sleep or {}, surfaces=["chat", "schedule"], **more), f)
    thing = Thing(folder + "/device.json")
    thing.said = []
    thing.log = thing.client.log = thing.said.append
    thing.time = NOW
    thing.clock.now = lambda: thing.time
    thing.sensor("level", every=600)(lambda: 1)
    thing.sensor("hot", high=30, every=60)(lambda: 31)
    sys.modules.pop("machine", None)
    if board:
        sys.modules["machine"] = board
    sleep = thing.surfaces["sleep"]
    sleep.begin()
    return thing, sleep


def teardown_function():
    """Leave no board to other files."""
    sys.modules.pop("machine", None)


def slept(thing, sleep, late=None):
    """Milliseconds of the deep sleep that it falls into, None without one. `late`: a function,
    called with the line's end; without one there is no line."""
    client = thing.client

    async def line():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            client.online = False
            if late:
                late()

    async def said(text):
        client.status = text

    async def main():
        from thing import nap

        thing.presence.asleep = said
        client.online = bool(late)
        sleep.line = asyncio.create_task(line())
        await asyncio.sleep(0)
        await nap.fall(sleep)

    try:
        asyncio.run(main())
    except AsleepError as e:
        return e.args[0]
    return None


def delayed(*stamps, by="lab.example"):
    message = Element("message", None, {"from": OWNER + "/r"})
    message.add("body", None, None, "lamp on")
    for at in stamps:
        text = at if isinstance(at, str) else stamp(at)
        message.add("delay", "urn:xmpp:delay", {"stamp": text, "from": by})
    return message


def folder_of():
    folder = temporary("sleep")
    os.mkdir(folder)
    return folder


def lived(board, folder):
    """A Thing with something to lose that has fallen asleep: for how many ms."""
    thing, sleep = thing_of(board, folder, {"every": 900}, timezone="CET-1CEST,M3.5.0,M10.5.0/3")
    sleep.ahead(100_000 - thing.clock.uptime_ms())
    level, hot = [thing.registry.find(name) for name in ("level", "hot")]
    for entry in (level, hot):
        asyncio.run(thing.read(entry))
        thing.reports.told[entry.name] = (95_000, entry.value)
    thing.reports.mute(thing.asker(OWNER, "chat"), 3600)
    thing.surfaces["schedule"].entries += [
        [1, OWNER, "level", "every 1h", NOW - 60, 3600, 40],
        [2, OWNER, "level", "day at 14:30", NOW, ~(7 * 1440 + 870), NOW - 5],
    ]
    thing.surfaces["schedule"].drop()
    resume(thing.client, SESSION)
    return slept(thing, sleep), thing


def check_goes_on(board, folder, ms):
    """Wake up after all of the sleep: everything is as it was."""
    thing, sleep = thing_of(board, folder, {"every": 900})
    assert 0 <= thing.clock.uptime_s() - 100 - ms // 1000 < 60
    assert thing.said == ["woke: timer"]
    level, hot = [thing.registry.find(name) for name in ("level", "hot")]
    # What falls due within a quarter of its period, or of the sleep, is due now
    assert thing.reports.told["level"] == (95_000 - 150_000, 1)
    assert thing.reports.told["hot"] == (95_000 - 15_000, 31)
    assert (hot.alarmed, hot.value, level.value) == ("above 30", 31, 1)
    assert len(thing.reports.waiting) == 1 and thing.reports.waiting[0][1].startswith("hot: 31")
    assert thing.reports.mutes(OWNER)
    assert [e[6] for e in thing.surfaces["schedule"].entries] == [40, NOW - 5]
    sm = thing.client.sm
    assert (sm.id, sm.h, sm.acked, thing.client.jid) == ("s1", 7, 9, "dev@lab.example/r")
    assert sleep.event.state() == "timer"
    # Nothing was told since, so that is as it was
    ms = slept(thing, sleep)
    thing, sleep = thing_of(board, folder, {"every": 900})
    assert thing.reports.told["level"] == (95_000 - min(150_000, ms // 4), 1)
    # Only once
    thing, sleep = thing_of(board, folder)
    assert thing.client.sm.id is None and not thing.reports.told
    assert sleep.kept is False


def test_sleep_and_what_survives_it():
    for board in (Esp32(), Esp32(None)):
        folder = folder_of()
        ms, thing = lived(board, folder)
        # The next wake, in 800 s: all schedules are later
        assert abs(ms - 800_000) < 2000, ms
        assert thing.said[1] == "asleep for 13 min", thing.said
        assert ("asleep" in os.listdir(folder)) is (board.kept is None)
        check_goes_on(board, folder, ms)
        assert "asleep" not in os.listdir(folder)


def test_what_is_too_large_for_the_memory_is_in_flash():
    board = Esp32()
    folder = folder_of()
    thing, sleep = thing_of(board, folder, {"every": 900})
    for _ in range(8):
        thing.alert("x" * 250)
    assert slept(thing, sleep) and board.kept == b""
    thing, _ = thing_of(board, folder)
    assert len(thing.reports.waiting) == 8


def test_sleep_ends_for_schedules_and_early():
    board = Esp32()
    folder = folder_of()
    thing, sleep = thing_of(board, folder, {"every": 900})
    entry = [1, OWNER, "level", "at 13:20", NOW + 300, 0, None]
    thing.surfaces["schedule"].entries.append(entry)
    assert slept(thing, sleep) == 300_000
    # Who is woken early knows by the clock how long it slept
    board.reason = board.TOUCHPAD_WAKE
    thing, sleep = thing_of(board, folder, {"every": 900})
    assert thing.said == ["woke: touch"] and thing.clock.uptime_s() < 60
    # Too soon to sleep: it waits for that
    entry[4] = NOW + 2
    thing.surfaces["schedule"].entries.append(entry)
    assert slept(thing, sleep) is None
    # What the program wants
    entry[4] = NOW + 4000
    assert thing.sleep(3600) == "asleep until 14:15 UTC"
    assert slept(thing, sleep) == 3_600_000


def holding(data):
    """Memory that holds the JSON `data`."""
    data = data.encode() if isinstance(data, str) else data
    return b"nap\x01" + struct.pack("<I", crc32(data)) + data


def test_damage_and_others_memory():
    folder = folder_of()
    board = Esp32()
    lived(board, folder)
    good = board.kept
    board.kept = b""
    thing, sleep = thing_of(board, folder)
    other = holding(good[8:].replace(b"dev@lab", b"dex@lab"))

    def good_but(**values):
        kept = json.loads(good[8:])
        kept.update(values)
        return holding(json.dumps(kept))

    for data, why in (
        (good[:-1] + b"?", "it is damaged"),
        (good[:9], "it is damaged"),
        (b"an app's own", "it is damaged"),
        (b"nap\x02" + good[4:], "it is damaged"),
        (other, "of another account"),
        # Another firmware's, or whoever's
        (holding("7"), ""),
        (holding('{"session": {"jid": 3}}'), ""),
        (good_but(sensors=5), ""),
        (good_but(up="x"), ""),
        (good_but(waiting=[[1]]), ""),
    ):
        board.kept = data
        thing.said.clear()
        sleep.begin()
        line = thing.said.pop(0)
        assert line.startswith("what was kept asleep is not used: " + why), line
        assert line.endswith(": a new session") and thing.said == ["woke: timer"], thing.said
        assert thing.client.sm.id is None and not thing.client.sm.queue
        assert not sleep.kept and not sleep.slept and board.kept == b""


def test_what_stays_in_flash_is_not_used_twice():
    board = Esp32(None)
    folder = folder_of()
    lived(board, folder)
    remove = os.remove
    if sys.implementation.name == "micropython":
        return  # its modules cannot be changed

    def refuse(path):
        raise OSError(30)

    os.remove = refuse
    try:
        thing, sleep = thing_of(board, folder)
        assert thing.client.sm.id is None and not sleep.kept
    finally:
        os.remove = remove


def test_what_comes_at_the_last_moment():
    """Nothing: late commands are covered. A command: it is done before it sleeps, and as the
    server may send it again, none are covered. And where nobody could be told, none."""
    done = []

    def last():
        thing.client.sm.handled()
        sleep.settle_s = 0
        sleep.busy += 1
        done.append(asyncio.create_task(work()))

    async def work():
        await asyncio.sleep(0.3)
        sleep.busy -= 1
        done.append(True)

    for late, covered in ((lambda: None, True), (last, False), (None, False)):
        board = Esp32()
        folder = folder_of()
        thing, sleep = thing_of(board, folder, {"every": 900})
        assert slept(thing, sleep, late)
        assert (done[-1:] == [True]) is (late is last), done
        told = getattr(thing.client, "status", "")
        assert told.startswith("asleep until 13:") if late else not told, told
        done.clear()
        thing, sleep = thing_of(board, folder, {"every": 900})
        thing.time = NOW + 905
        assert sleep.covers(delayed(NOW + 100)) is covered, late


def test_causes():
    board = Esp32()
    thing, sleep = thing_of(board, folder_of())
    for cause, reason, text in (
        (1, 0, "power on"), (2, 0, "reset"), (3, 0, "watchdog"), (5, 0, "reset by program"),
        (4, 4, "timer"), (4, 2, "pin"), (4, 3, "pin"), (4, 5, "touch"), (4, 6, "coprocessor"),
    ):  # fmt: skip
        board.cause, board.reason = cause, reason
        thing.said.clear()
        sleep.begin()
        assert thing.said == ["woke: " + text]


def test_rp2():
    """No cause of its own, a clock that stands still, a watchdog that must not run."""
    board = Board(None)
    folder = folder_of()
    thing, sleep = thing_of(board, folder, {"every": 7200})
    assert thing.config["watchdog"] is False
    assert "up to 3600 s" in str(raises(ValueError, thing.sleep, 3601))
    assert slept(thing, sleep) == 3_600_000
    board.cause = board.WDT_RESET
    set_to = []
    Clock.set, keep = (lambda self, now: set_to.append(now)), Clock.set
    try:
        thing, sleep = thing_of(board, folder, {"every": 7200})
    finally:
        Clock.set = keep
    assert thing.said == ["woke: timer"] and set_to == [NOW + 3600]
    # It goes on to what is left, and the time will be asked for
    assert sleep.drift > sleep.clock_s and 3_590_000 < slept(thing, sleep) <= 3_600_000


def test_what_cannot_sleep_says_so():
    folder = folder_of()
    thing, sleep = thing_of(None, folder, {"every": 900})
    assert thing.said == ["sleep: this is no board that can: it stays awake"]
    assert sleep.every is None
    assert "no board" in str(raises(OSError, thing.sleep, 60))
    for seconds in (0, -1, 0.0009, float("nan"), 86401):
        assert "up to 86400 s" in str(raises(ValueError, thing.sleep, seconds))
    del thing.surfaces["sleep"]
    assert "device.json" in str(raises(ValueError, thing.sleep, 60))


def test_configuration():
    folder = folder_of()
    for sleep, why in (
        ({"evry": 1}, "every, awake and inactive"),
        ({"every": "900"}, "whole seconds"),
        ({"awake": True}, "whole seconds"),
        ({"every": 0}, "every: must be 1 to 86400 s"),
        ({"inactive": 86401}, "inactive: must be 1 to 86400 s"),
        (900, "must be an object"),
    ):
        with open(folder + "/device.json", "w") as f:
            json.dump(config(sleep=sleep), f)
        assert why in str(raises(ConfigError, load, folder + "/device.json")), sleep


def test_late_commands():
    """Only those that came while it slept, as it had said."""
    thing, sleep = thing_of(Esp32(), folder_of())
    assert not sleep.covers(delayed(NOW))
    thing.time = NOW + 905
    sleep.slept = (NOW, 900)
    sleep.since = NOW + 903
    assert sleep.covers(delayed(NOW + 1)) and sleep.covers(delayed(NOW + 902, NOW + 903))
    assert sleep.covers(delayed(NOW - 50))  # clocks differ
    assert sleep.covers(delayed(NOW + 1, by="dev@lab.example/r"))
    # Anybody can write such an element
    for by in (None, OWNER, "example", "lab.example.mallory.example"):
        assert not sleep.covers(delayed(NOW + 1, by=by)), by
    message = delayed(NOW + 1)
    message.add("delay", "urn:xmpp:delay", {"stamp": stamp(NOW - 3600), "from": "room.example"})
    assert not sleep.covers(message)
    for wrong in (NOW - 100, NOW + 1000, "", "yesterday", "2026-11-22T13:16:00+01:00"):
        assert not sleep.covers(delayed(wrong)), wrong
        assert not sleep.covers(delayed(NOW + 1, wrong)), wrong
    # The server kept it for longer than that sleep
    thing.time = NOW + 965
    assert not sleep.covers(delayed(NOW + 1))
    assert sleep.covers(delayed(NOW + 10))
    # After another cut it is an outage like any other
    assert not sleep.covers(delayed(NOW + 964))
    # Nor when the clock was set back meanwhile
    sleep.ahead(sleep.margin_s * 1000 + 1000)
    assert not sleep.covers(delayed(NOW + 10))
    thing, sleep = thing_of(Esp32(), folder_of())
    sleep.slept = (NOW, 900)
    thing.time = None
    assert not sleep.covers(delayed(NOW + 10))


def client_of():
    client = ReliableClient("dev@lab.example", "x", pin="0" * 64)
    client.sm.told(Element("enabled", client.sm.xmlns, {"id": "s2", "resume": "true"}))
    client.jid = client.account + "/r"
    return client


def sends(client, text, acked=None):
    message = Element("message", None, {"to": OWNER}, [text])
    if acked:
        message.acked = acked
    client.queue.append(message)


def test_session_is_kept_whole_or_not_at_all():
    client = client_of()
    assert idle(client)
    sends(client, "one")
    assert not idle(client)
    client.sm.take(client.queue)
    sends(client, "two °")
    kept = json.loads(json.dumps(suspend(client)))
    assert [m for _, m in kept["queue"]] == [True, True]
    other = client_of()
    resume(other, kept)
    # The server knows the first
    assert other.sm.told(Element("resumed", other.sm.xmlns, {"h": "1"})) is True
    out = other.sm.take([])
    assert b"two \xc2\xb0" in out[0] and len([o for o in out if o.startswith(b"<message")]) == 1
    # Somebody else keeps it, and sends it again
    sends(client, "kept elsewhere", print)
    assert suspend(client) is None
    client = client_of()
    sends(client, "x" * MAX_BYTES)
    assert suspend(client) is None
    client = client_of()
    for _ in range(client.sm.max_unacked + 1):
        sends(client, "x")
    assert suspend(client) is None
    client = client_of()
    client.sm.end()
    assert suspend(client) is None


def test_client_state():
    client = client_of()
    csi = Csi(client)
    client.online = True

    def told(active):
        client.rest = []
        assert csi.tell(active) is (client.rest != [])
        return b"".join(client.rest)

    assert told(False) == b""  # the server cannot
    features = Element("features", None, None, [Element("csi", "urn:xmpp:csi:0")])
    client.fast.features(features)
    assert told(True) == b""  # as streams begin
    assert told(False) == b"<inactive xmlns='urn:xmpp:csi:0'/>" and told(False) == b""
    assert told(True) == b"<active xmlns='urn:xmpp:csi:0'/>" and told(True) == b""
    assert told(False) and client._take() and client.sm.queue == []
    # A server that can no longer would end the stream
    client.fast.features(Element("features"))
    client.cuts += 1
    assert told(False) == b""
    client.fast.features(features)
    client.cuts += 1  # the next line begins active
    assert told(True) == b"" and told(False)
    client.online = False
    assert told(True) == b""
