"""Improv Serial (https://www.improv-wifi.com/serial): a WiFi network, handed over by whoever is at
the serial line, a browser or `uxmpp wifi`. Loaded only while no network can be joined.

A packet: "IMPROV", 1, type, length, data, sum of all that, newline. Types: 1 state (2 waits, 3
tries, 4 joined), 2 error (1 malformed, 2 no such command, 3 not joined), 3 command, 4 result.
"""

import asyncio
import select
import sys

import network

from .memory import forget
from .store import save

_HEAD = b"IMPROV\1"
_STEP_S = 0.02
_WHY = {
    network.STAT_WRONG_PASSWORD: "wrong password",
    network.STAT_NO_AP_FOUND: "not found",
}


class Improv:
    """In the place of the guard's Wifi while that cannot join; what is handed over is tried first,
    and then kept in wifi.json."""

    #: The longest pause of the client before it sees that there is a network, in seconds.
    pause_s = 5
    #: A packet that stops in the middle is forgotten after so many seconds.
    gap_s = 0.5
    #: The most bytes that are looked at in one go.
    max_bytes = 256
    #: The most networks that are told of.
    max_out = 32

    def __init__(self, thing, wifi):
        self._thing = thing
        self._wifi = wifi
        self._station = network.WLAN(network.STA_IF)
        self._ssid = wifi.ssid  # what is tried now, for so many more steps
        self._left = 0
        self._given = None  # (SSID, password) where that was handed over
        self._fail()
        self._poll = select.poll()
        self.write = sys.stdout.buffer.write
        self.cycle = wifi.cycle
        client = thing.client
        self._pause_s = client.max_pause_s
        client.max_pause_s = min(self.pause_s, self._pause_s)
        thing.guard.wifi = self
        asyncio.create_task(self.run())

    async def up(self, thing):
        """As Wifi.up(), and after a failure a pause much as the client's, which ends as soon as
        there is a network."""
        client = thing.client
        wifi = self._wifi
        if wifi.ssid and not self._ssid:
            self._try(wifi.ssid, wifi.password)
        left = min(client.first_pause_s * client.failures * 4, self._pause_s)
        while not wifi.ready():
            if not self._ssid:
                left -= 0.1
                if left <= 0:
                    raise OSError(self.why)
            client.beats += 1
            await asyncio.sleep(0.1)

    async def run(self):
        """Listen until a network was joined."""
        from micropython import kbd_intr

        self._poll.register(sys.stdin, select.POLLIN)
        kbd_intr(-1)  # packets hold the byte of Ctrl-C, so only now they may come
        self._send(1, b"\2")
        data = b""
        left = 0
        try:
            while not self._over():
                left -= _STEP_S
                for _ in range(self.max_bytes):
                    # In a packet, which has 7 bytes at least here, these may be lengths
                    stop = data[-2:] == b"\r\3" and len(data) < 7
                    c = not stop and self.read()
                    if not c:
                        break
                    left = self.gap_s
                    data = self._take(data + c)
                if left <= 0 or stop:
                    # As mpremote has it, or alone, by hand
                    if data[-1:] == b"\3" and len(data) < 7:
                        raise KeyboardInterrupt
                    data = b""
                await asyncio.sleep(_STEP_S)
        finally:
            kbd_intr(3)
            self._ssid = None  # lest up() waits for what is tried
            self._thing.client.max_pause_s = self._pause_s
            self._thing.guard.wifi = self._wifi
            forget("improv")

    def read(self):
        """A byte of the console, or b"" where there is none now."""
        return sys.stdin.buffer.read(1) if self._poll.poll(0) else b""

    def _over(self):
        # Whether a network was joined; else what is tried goes on
        wifi = self._wifi
        thing = self._thing
        given = self._given
        over = wifi.ready()
        if over and given:
            wifi.ssid, wifi.password = given
            save(
                "{}wifi.json".format(thing.folder),
                dict(zip(("ssid", "password"), given)),
                thing.log,
            )
            self._send(1, b"\4")
            url = "xmpp:{}?message" + (";body=pair%20" if thing.access.guests else "")
            self._result(1, url.format(thing.client.account))
        elif self._ssid and not over:
            # It may be said too early, so not at once
            self._left -= 5 if self._station.status() in _WHY else 1
            if self._left <= 0:
                self._fail()
                if given:
                    thing.log(self.why)
                    self._send(1, b"\2")
                    self._send(2, b"\3")
        return over

    def _fail(self):
        # What is tried is given up
        station = self._station
        why = _WHY.get(station.status(), "no address" if station.isconnected() else "no answer")
        self.why = "WiFi: {}: {}".format(self._ssid, why)
        if self._ssid:
            station.disconnect()
        else:
            self.why = "WiFi: no network is known, `uxmpp wifi` tells one"
        self._ssid = self._given = None

    def _try(self, ssid, password):
        wlan = self._station
        wlan.active(True)
        try:
            wlan.disconnect()
            wlan.connect(ssid, password)
        except (OSError, ValueError):  # its status says what comes of it
            pass
        self._ssid = ssid
        self._left = self._wifi.join_s / _STEP_S

    def _take(self, data):
        # Do what a packet in `data` says; what is left of it, no more than a packet
        at = data.find(_HEAD)
        if at < 0:
            return data[-6:]
        data = data[at:]
        end = 9 + data[8] if len(data) > 8 else 999
        if len(data) <= end:
            return data
        error = 1
        if sum(data[:end]) & 255 != data[end]:
            end = 6  # another one may have begun in it
        elif data[7] != 3:
            error = 0
        else:
            try:
                if data[10] + 11 == end:
                    error = self._do(data[9], data[11:end])
            except OSError:
                error = 255
            except (ValueError, IndexError):
                pass
        if error:
            self._send(2, bytes((error,)))
        return data[end + 1 :]

    def _do(self, command, data):
        # The error, or 0
        error = 0
        if command == 1:
            size = data[0] + 1
            given = data[1:size].decode(), data[size + 1 :].decode() or None
            if size == 1 or size + 1 + data[size] != len(data):
                return 1
            self._given = given
            self._try(*given)
        if command < 3:
            self._send(1, b"\3" if self._given else b"\2")
        elif command == 3:
            from uxmpp import __version__

            self._result(3, "uxmpp", __version__, sys.platform, self._thing.config["name"])
        elif command == 4:
            told = []
            if not self._given:
                self._ssid = None  # some boards cannot do both
                self._station.active(True)
                for net in self._station.scan():
                    name = net[0]
                    if name and name not in told and len(told) < self.max_out:
                        told.append(name)
                        self._result(4, name, str(net[3]), "YES" if net[4] else "NO")
            self._result(4)
        else:
            error = 2
        return error

    def _result(self, command, *texts):
        data = b""
        for text in texts:
            text = (text.encode() if isinstance(text, str) else text)[:200]
            data += bytes((len(text),)) + text
        self._send(4, bytes((command, len(data))) + data)

    def _send(self, kind, data):
        # At the beginning of a line, as those who listen expect it
        data = _HEAD + bytes((kind, len(data))) + data
        self.write(b"\n" + data + bytes((sum(data) & 255,)) + b"\n")
