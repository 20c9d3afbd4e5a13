"""WiFi by Improv Serial: packets, what a stranger to the protocol may send, and what is kept."""

import asyncio
import json
import os
import random
import sys

from helper import MICROPYTHON, assert_none, raises, temporary

HEAP = "600k"
LIMIT_S = 30


class Network:
    """A board's module `network`, with the access points `around`: {SSID: password}."""

    STA_IF = 0
    STAT_WRONG_PASSWORD = 202
    STAT_NO_AP_FOUND = 201
    around = {}
    joined = tried = broken = None
    on = False

    def __init__(self):
        self.WLAN = self.wlan

    def wlan(self, interface):
        return self

    def active(self, on):
        self.on = on

    def connect(self, ssid, password):
        assert self.on
        self.tried = ssid, password

    def disconnect(self):
        self.tried = None

    def isconnected(self):
        return bool(self.tried) and self.around.get(self.tried[0], 0) == self.tried[1]

    def ifconfig(self):
        return ("192.0.2.7",)

    def status(self):
        if not self.tried or self.isconnected():
            return 0
        if self.tried[0] not in self.around:
            return self.STAT_NO_AP_FOUND
        return self.STAT_WRONG_PASSWORD

    def scan(self):
        if self.broken:
            raise OSError(5)
        return [
            (s if isinstance(s, bytes) else s.encode(), b"", 1, -50 - len(s), 3 if p else 0, False)
            for s, p in self.around.items()
        ]


class Interrupts:
    """The module `micropython`."""

    def __init__(self):
        self.said = []
        self.kbd_intr = self.said.append


network = sys.modules["network"] = Network()
interrupts = Interrupts()


class Client:
    account = "kitchen@lab.example"
    max_pause_s = 300
    first_pause_s = 0.05
    failures = beats = 0


class Named:
    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)


def device(known=None, around=None, guests=()):
    """(thing, Wifi): a board that knows the network `known`, (SSID, password)."""
    from thing.wifi import Wifi

    network.around = around or {}
    network.tried = None
    wifi = Wifi(*(known or (None,)))
    wifi.join_s = 0
    folder = temporary("improv") + "/"
    os.mkdir(folder[:-1])
    lines = []
    return Named(
        client=Client(),
        guard=Named(wifi=wifi),
        config={"name": "kitchen"},
        folder=folder,
        access=Named(guests=guests),
        log=lines.append,
        lines=lines,
    ), wifi


def kept(thing):
    """What is in wifi.json; None where there is none. It is removed."""
    try:
        with open(thing.folder + "wifi.json") as f:
            found = json.load(f)
        os.remove(thing.folder + "wifi.json")
        return found
    except OSError:
        return None
    finally:
        os.rmdir(thing.folder[:-1])


def packet(kind, data, change=0):
    """A packet, written from the specification."""
    text = b"IMPROV" + bytes((1, kind, len(data))) + data
    return text + bytes(((sum(text) + change) & 255, 10))


def command(number, data=b""):
    return packet(3, bytes((number, len(data))) + data)


def wifi_command(ssid, password):
    return command(1, bytes((len(ssid),)) + ssid + bytes((len(password),)) + password)


def packets(data):
    """[(type, data)] of what a device wrote; each must begin a line and end one."""
    found = []
    while data:
        size = data[9]
        assert data[:8] == b"\nIMPROV\1" and data[size + 11 : size + 12] == b"\n", data
        assert sum(data[1 : size + 10]) & 255 == data[size + 10], data
        found.append((data[8], data[10 : size + 10]))
        data = data[size + 12 :]
    return found


class Line:
    """The serial line of a board whose WiFi has failed just now."""

    def __init__(self, thing, wifi):
        self.thing = thing
        self.wifi = wifi
        self.sent = b""
        self.got = b""
        self.why = None
        self.looks = 0  # how often there was nothing to read

    async def __aenter__(self):
        real = sys.modules.get("micropython")
        sys.modules["micropython"] = interrupts
        interrupts.said.clear()
        try:
            await self.wifi.up(self.thing)
        except OSError as e:
            self.why = str(e)
        self.wifi.join_s = 0.2
        self.improv = self.thing.guard.wifi
        sys.modules["thing.improv"]._STEP_S = 0.002
        self.improv._poll = Named(register=lambda *_: None)
        self.improv.read = self.read
        self.improv.write = self.write
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if real:
            sys.modules["micropython"] = real
        assert packets(self.got) == [(1, b"\2")]
        self.got = b""
        return self

    async def __aexit__(self, *_):
        # One that listens on ends
        network.around = {"end": None}
        network.tried = "end", None
        await self.until(lambda: not self.listens)

    def read(self):
        c = self.sent[:1]
        self.sent = self.sent[1:]
        self.looks += not c
        return c

    def write(self, data):
        self.got += data

    @property
    def listens(self):
        return self.thing.guard.wifi is self.improv

    async def until(self, true):
        for _ in range(LIMIT_S * 500):
            if true():
                return
            await asyncio.sleep(0.002)
        raise AssertionError("it did not come: {} {}".format(self.got, self.thing.lines))

    async def ask(self, data, number=1):
        """Send bytes; the next packets."""
        self.got = b""
        self.sent += data
        await self.until(lambda: len(packets(self.got)) >= number)
        await self.quiet()
        return packets(self.got)

    async def quiet(self):
        """Wait until it has looked at all that was sent, and once more."""
        await self.until(lambda: not self.sent)
        await self.steps(2)

    async def steps(self, number):
        """Wait until it found nothing to read so often: it counts its time in steps, and a busy
        machine may leave it few of them in any time."""
        until = self.looks + number
        await self.until(lambda: self.looks >= until or not self.listens)


def run(main):
    if MICROPYTHON:
        asyncio.new_event_loop()  # of a test that was interrupted there is something left
    return asyncio.run(asyncio.wait_for(main(), LIMIT_S))


def test_packets_of_the_specification():
    async def main():
        thing, wifi = device()
        async with Line(thing, wifi) as line:
            assert line.why == "WiFi: no network is known, `uxmpp wifi` tells one"
            # By hand: 477 is the sum of "IMPROV"
            line.sent = b"IMPROV\1\3\2\2\0\xe5\n"
            await line.until(lambda: len(line.got) == 13)
            assert line.got == b"\nIMPROV\1\1\1\2\xe2\n"
            told = await line.ask(command(3))
            assert len(told) == 1
            kind, data = told[0]
            assert kind == 4 and data[0] == 3 and data[1] == len(data) - 2
            texts = []
            data = data[2:]
            while data:
                texts.append(data[1 : data[0] + 1])
                data = data[data[0] + 1 :]
            assert texts[0] == b"uxmpp" and texts[3] == b"kitchen" and len(texts) == 4
            assert texts[1].split(b".")[0].isdigit() and texts[2] == sys.platform.encode()
            assert await line.ask(command(9)) == [(2, b"\2")]
            assert interrupts.said == [-1]
        assert interrupts.said == [-1, 3] and thing.guard.wifi is wifi
        assert kept(thing) is None and thing.lines == []

    run(main)


def test_networks_around():
    async def main():
        around = {"attic": "x", "": "hidden", "caf\u00e9": None, b"\xff\xfe": "odd"}
        thing, wifi = device(around=around)
        async with Line(thing, wifi) as line:
            found = await line.ask(command(4), 4)
            assert found[3:] == [(4, b"\4\0")]
            assert sorted(found[:3]) == [
                (4, b"\4\x0b\2\xff\xfe\3-52\3YES"),
                (4, b"\4\x0d\5caf\xc3\xa9\3-54\2NO"),
                (4, b"\4\x0e\5attic\3-55\3YES"),
            ]
            # A bound, each once, and a board that cannot
            network.around = {"net{}".format(i): None for i in range(60)}
            assert len(await line.ask(command(4), 33)) == 33
            network.broken = True
            assert await line.ask(command(4)) == [(2, b"\xff")]
            network.broken = None
            assert await line.ask(command(2)) == [(1, b"\2")]
        kept(thing)

    run(main)


def test_wrong_password_then_the_right_one():
    """What is handed over is kept only when it was good."""

    async def main():
        thing, wifi = device(around={"caf\u00e9": "open sesame"}, guests=(1,))
        async with Line(thing, wifi) as line:
            for ssid, password, why in (
                (b"caf\xc3\xa9", b"hush hush", "wrong password"),
                (b"nowhere", b"hush hush", "not found"),
            ):
                assert await line.ask(wifi_command(ssid, password), 3) == [
                    (1, b"\3"), (1, b"\2"), (2, b"\3"),
                ]  # fmt: skip
                assert thing.lines.pop() == "WiFi: {}: {}".format(ssid.decode(), why)
                assert wifi.ssid is None and line.listens and not network.isconnected()
            line.got = b""
            line.sent = b"noise" + wifi_command(b"caf\xc3\xa9", b"open sesame")
            assert thing.client.max_pause_s == 5
            thing.client.failures = 5
            # The client's next try waits for it
            await line.improv.up(thing)
            await line.until(lambda: not line.listens)
            url = b"xmpp:kitchen@lab.example?message;body=pair%20"
            assert packets(line.got) == [
                (1, b"\3"), (1, b"\4"), (4, bytes((1, len(url) + 1, len(url))) + url),
            ]  # fmt: skip
            assert (wifi.ssid, wifi.password) == ("caf\u00e9", "open sesame")
            assert interrupts.said == [-1, 3] and thing.client.max_pause_s == 300
            assert wifi.ready() and not (MICROPYTHON and "thing.improv" in sys.modules)
        assert kept(thing) == {"version": 1, "ssid": "caf\u00e9", "password": "open sesame"}
        assert thing.lines == []

    run(main)


def test_known_network_goes_on():
    """Besides, it is tried again, and its coming back ends the listening; an open network."""

    async def main():
        thing, wifi = device(("home", "secret"), {"other": None})
        async with Line(thing, wifi) as line:
            assert line.why == "WiFi: home: not found" and line.listens
            beats = thing.client.beats
            assert str(await failed(line.improv.up(thing))) == "WiFi: home: not found"
            assert thing.client.beats > beats
            network.around["home"] = "another"
            assert str(await failed(line.improv.up(thing))) == "WiFi: home: wrong password"
            assert await line.ask(command(2)) == [(1, b"\2")]
            # While that is tried, another one comes in
            waiting = asyncio.create_task(failed(line.improv.up(thing)))
            await asyncio.sleep(0.03)
            assert (await line.ask(wifi_command(b"other", b"")))[0] == (1, b"\3")
            assert await waiting is None and not line.listens
            assert (wifi.ssid, wifi.password) == ("other", None)
        assert kept(thing)["ssid"] == "other"
        thing, wifi = device(("home", "secret"))
        async with Line(thing, wifi) as line:
            network.around["home"] = "secret"
            assert await failed(line.improv.up(thing)) is None
            await line.until(lambda: not line.listens)
            assert line.got == b"" and wifi.ssid == "home"
        assert kept(thing) is None

    run(main)


async def failed(coro):
    try:
        await coro
    except OSError as e:
        return e
    return None


MALFORMED = (
    packet(3, b"\2\0", 1),
    packet(3, b""),
    packet(3, b"\2"),
    packet(3, b"\2\1"),
    packet(3, b"\2\0\0"),
    command(1),
    command(1, b"\0"),
    command(1, b"\0\0"),  # no SSID
    command(1, b"\1a"),
    command(1, b"\1a\5b"),
    command(1, b"\1a\0b"),
    command(1, b"\xffa\0"),
    wifi_command(b"\xff\xfe", b"x"),
    wifi_command(b"a", b"\xff\xfe"),
)


def test_malformed():
    async def main():
        thing, wifi = device()
        async with Line(thing, wifi) as line:
            wrong = []
            for data in MALFORMED:
                got = await line.ask(data)
                wrong.append(None if got == [(2, b"\1")] else (data, got))
            assert_none(wrong)
            # Nobody's: other types, another version, an echo of its own
            for data in (packet(1, b"\2"), packet(4, b"\2\0"), packet(77, b""), line.got):
                assert await line.ask(data + command(2)) == [(1, b"\2")], data
            assert await line.ask(b"IMPROV\2\3\2\2\0\xe6\n" + command(2)) == [(1, b"\2")]
            # Cut in the middle: the next one begins in what would be its rest
            got = await line.ask(command(3)[:11] + command(2), 2)
            assert got == [(2, b"\1"), (1, b"\2")]
            # One that stops is forgotten
            line.improv.gap_s = 0.01
            for n in range(1, 12):
                line.sent = wifi_command(b"attic", b"x" * 200)[: n * n]
                await line.quiet()
                await line.steps(7)
                assert await line.ask(command(2)) == [(1, b"\2")], n
            # In a packet nothing is a Ctrl-C: neither where it stops, nor in lengths that read as
            # what mpremote begins with
            whole = wifi_command(b"lab", b"8 digits")
            assert whole[:12][-2:] == b"\r\3"
            for data in (whole[:8], whole[:12]):
                line.sent = data
                await line.quiet()
                await line.steps(7)
            assert await line.ask(whole, 3) == [(1, b"\3"), (1, b"\2"), (2, b"\3")]
            assert interrupts.said == [-1]
        assert kept(thing) is None

    run(main)


def test_noise():
    """Whatever comes, nothing grows, and a command after it is understood."""

    async def main():
        thing, wifi = device()
        chosen = random
        chosen.seed(6)
        async with Line(thing, wifi) as line:
            most = 0
            data = b""
            whole = b"".join(MALFORMED)
            for i in range(6000):
                n = chosen.getrandbits(8)
                if n > 200:
                    c = whole[chosen.getrandbits(16) % len(whole)]
                elif n < 2:
                    data = line.improv._take(data + b"IMPROV\1\3"[: n * 8 + 3])
                    continue
                else:
                    c = n
                data = line.improv._take(data + bytes((c,)))
                most = max(most, len(data))
            assert most < 266 and line.listens
            line.got = b""
            assert (await line.ask(command(2)))[-1] == (1, b"\2")
            assert wifi.ssid is None
        assert kept(thing) is None

    run(main)


def test_interrupts():
    """Ctrl-C ends the program, as mpremote or a person sends it; in a packet it does not."""
    if not MICROPYTHON:  # no KeyboardInterrupt comes through the loop of CPython 3.11 unharmed
        return

    def interrupted(sent):
        line = None

        async def main():
            nonlocal line
            thing, wifi = device()
            async with Line(thing, wifi) as line:
                line.improv.gap_s = 0.1
                assert await line.ask(command(2) + b"\3" + command(2), 2) == [(1, b"\2")] * 2
                line.sent = sent
                await asyncio.sleep(LIMIT_S)

        asyncio.new_event_loop()
        raises(KeyboardInterrupt, asyncio.run, main())
        assert interrupts.said == [-1, 3] and not line.listens
        kept(line.thing)
        return line.sent

    assert interrupted(b"\r\3\r\1") == b"\r\1"
    assert interrupted(b"\3") == b""
    assert interrupted(b"abc\3\3") == b""
