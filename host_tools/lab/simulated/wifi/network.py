"""`network` without hardware, for either interpreter: a WiFi that board.json scripts, e.g.
{"wifi": {"ssid": "home", "password": "secret", "absent": 2}}. It prints "wifi: off", "wifi: on",
"wifi: connecting" and "wifi: connected", and nothing passes through it: the device's sockets are
the host's, and a dead link is the lab's FaultyNetwork.

- `ssid`, `password`: what the access point has; without them anything does.
- `absent`: so many connects find no network. `connect_ms`: how long one takes (100).
- `no_address`: so many connects get no address. isconnected() is True all the same.
- `link`: "down" takes an established link down, and no network is found then; the file is read
  each time, so that a test can change it. With `sticky`, isconnected() and status() do not notice.
- `aps`: what else scan() finds, [{"ssid": "other", "rssi": -80, "auth": 3}]. `rssi`: in dBm.
- `port`: "rp2" (as given) or "esp32", whose status() has other numbers.
"""

import json
import time

from outside import path, say

STA_IF = 0
AP_IF = 1


def _script():
    try:
        with open(path("board.json")) as f:
            return json.load(f).get("wifi") or {}
    except OSError:
        return {}


if _script().get("port") == "esp32":
    STAT_IDLE = 1000
    STAT_CONNECTING = 1001
    STAT_GOT_IP = 1010
    STAT_WRONG_PASSWORD = 202
    STAT_NO_AP_FOUND = 201
    STAT_CONNECT_FAIL = 203
    _NO_ADDRESS = STAT_CONNECTING
else:
    STAT_IDLE = 0
    STAT_CONNECTING = 1
    STAT_GOT_IP = 3
    STAT_WRONG_PASSWORD = -3
    STAT_NO_AP_FOUND = -2
    STAT_CONNECT_FAIL = -1
    _NO_ADDRESS = 2

_NONE = "0.0.0.0"


def _ms():
    return time.ticks_ms() if hasattr(time, "ticks_ms") else time.monotonic_ns() // 1_000_000


def _since(begin):
    return time.ticks_diff(_ms(), begin) if hasattr(time, "ticks_diff") else _ms() - begin


class WLAN:
    """As network.WLAN, for STA_IF. All objects are the one interface."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    _active = False
    _status = STAT_IDLE
    _begin = 0
    _connects = 0
    _outcome = STAT_IDLE
    _config = {"hostname": "board", "mac": b"\x02\0\0\0\0\1", "ssid": ""}

    def __init__(self, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("interface")

    def active(self, on=None):
        """Without `on` whether it is on; with it, switch it on or off."""
        if on is None:
            return WLAN._active
        if bool(on) != WLAN._active:
            WLAN._active = bool(on)
            WLAN._status = STAT_IDLE
            say("wifi: on" if on else "wifi: off")
        return None

    def connect(self, ssid=None, key=None, **_):
        """Begin to connect; status() says what becomes of it. Raises OSError while it is off."""
        if not WLAN._active:
            raise OSError(1, "wifi is off")
        script = _script()
        WLAN._connects += 1
        WLAN._begin = _ms()
        WLAN._status = STAT_CONNECTING
        WLAN._config["ssid"] = ssid or ""
        absent = script.get("absent", 0)
        found = script.get("ssid", ssid) == ssid and script.get("link") != "down"
        if WLAN._connects <= absent or not found:
            WLAN._outcome = STAT_NO_AP_FOUND
        elif script.get("password", key) != key:
            WLAN._outcome = STAT_WRONG_PASSWORD
        elif WLAN._connects - absent <= script.get("no_address", 0):
            WLAN._outcome = _NO_ADDRESS
        else:
            WLAN._outcome = STAT_GOT_IP
        say("wifi: connecting")

    def scan(self):
        """What is on the air: (name, BSSID, channel, dBm, 0 for an open one, hidden).
        Raises OSError while it is off."""
        if not WLAN._active:
            raise OSError(1, "wifi is off")
        script = _script()
        aps = script.get("aps", [])
        if "ssid" in script and script.get("link") != "down":
            auth = 3 if script.get("password") else 0
            rssi = script.get("rssi", -60)
            aps = [{"ssid": script["ssid"], "rssi": rssi, "auth": auth}] + aps
        return [
            (
                ap["ssid"].encode(),
                b"\x02\0\0\0\1" + bytes((i,)),
                1 + i % 13,
                ap.get("rssi", -70),
                ap.get("auth", 3),
                False,
            )
            for i, ap in enumerate(aps)
        ]

    def disconnect(self):
        """Give the connection up."""
        WLAN._status = STAT_IDLE

    def _now(self):
        """The true status: (number, whether there is an address)."""
        script = _script()
        if WLAN._begin is not None and WLAN._status == STAT_CONNECTING:
            if _since(WLAN._begin) >= script.get("connect_ms", 100):
                WLAN._status = WLAN._outcome
                WLAN._begin = None
                if WLAN._status == STAT_GOT_IP:
                    say("wifi: connected")
        elif WLAN._status == STAT_GOT_IP and script.get("link") == "down":
            if not script.get("sticky"):
                WLAN._status = STAT_CONNECT_FAIL
        return WLAN._status

    def status(self, param=None):
        """Without `param` one of the STAT_ numbers; with "rssi", dBm."""
        if param == "rssi":
            return _script().get("rssi", -60)
        if param is not None:
            raise ValueError("unknown status param")
        return self._now()

    def isconnected(self):
        """Whether it says that there is a link; that link may have no address, or be dead."""
        status = self._now()
        joined = status == _NO_ADDRESS and WLAN._outcome == _NO_ADDRESS and WLAN._begin is None
        return status == STAT_GOT_IP or joined

    def ifconfig(self, config=None):
        """(address, mask, gateway, DNS server); zeros without an address."""
        if config is not None:
            return None
        if self._now() != STAT_GOT_IP:
            return (_NONE, _NONE, _NONE, _NONE)
        return ("192.0.2.10", "255.255.255.0", "192.0.2.1", "192.0.2.1")

    def config(self, *names, **values):
        """One setting by name, or set some."""
        WLAN._config.update(values)
        if names:
            if names[0] not in WLAN._config:
                raise ValueError("unknown config param")
            return WLAN._config[names[0]]
        return None


def hostname(name=None):
    """As network.hostname."""
    return WLAN().config("hostname") if name is None else WLAN().config(hostname=name)


def country(code=None):
    """As network.country."""
    return "XX" if code is None else None
