"""What is wrong, or odd, in a device.toml beyond what a device itself would refuse: what does not
fit the board, the app, or itself. No server is asked for it."""

import ast
import ipaddress
import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from ..flash import boards
from ..flash.boards import Board
from . import toml_lines
from .device_file import DeviceFile, _bad, firmware

#: By IEEE 802.11, in bytes of UTF-8, and in characters.
MAX_SSID = 32
MIN_PASSPHRASE, MAX_PASSPHRASE = 8, 63
#: The fewest letters and digits of a pairing code: as firmware/thing/pairing.py has it.
MIN_CODE = 6
MAX_SERIAL = 64
MAX_HOST = 253
#: What `make bench` has measured, in KB of heap: an app with `chat`, and one with all surfaces
#: but `files`; and these figures where there is no record of it.
RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results.json"
MEASURED = {"least.sensor": 111.0, "least.greenhouse": 146.0}
#: KB that TLS takes of the same heap on an RP2; elsewhere it is the system's.
TLS_KB = 33.0
#: How the surfaces share the difference of the two, and `files` beside them.
SHARES = {
    "forms": 5, "history": 5, "iot": 5, "profile": 3, "pubsub": 5, "rich": 3, "rooms": 6,
    "schedule": 6,
}  # fmt: skip
FILES_SHARE = 9

# A setting, and the surface without which nobody looks at it
_OF_SURFACE = {"rooms": "rooms", "groups": "rooms", "pubsub": "pubsub", "profile": "profile"}
# The pins of an MCU that a program may use, those that only read, and what the others are for
_PINS: dict[str, tuple[frozenset[int], frozenset[int], str]] = {
    "esp32": (
        frozenset({*range(0, 6), *range(12, 20), *range(21, 24), *range(25, 28), *range(32, 40)}),
        frozenset(range(34, 40)),
        "0 to 5, 12 to 19, 21 to 23, 25 to 27, 32 to 39 (from 34 on for input only)",
    ),
    "esp32s3": (
        frozenset({*range(0, 22), *range(33, 49)}), frozenset(), "0 to 21, 33 to 48",
    ),
    "esp32c3": (
        frozenset({*range(0, 11), *range(18, 22)}), frozenset(), "0 to 10, 18 to 21",
    ),
    "rp2040": (frozenset({*range(0, 23), *range(26, 29)}), frozenset(), "0 to 22, 26 to 28"),
    "rp2350": (frozenset({*range(0, 23), *range(26, 29)}), frozenset(), "0 to 22, 26 to 28"),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Something about a device.toml, one line with its place. `wrong`: it will not work; else it
    is odd, and may be meant so."""

    text: str
    wrong: bool
    line: int = 0


def findings(device: DeviceFile) -> list[Finding]:
    """Return what is found, by line."""
    found: list[Finding] = []
    board = app = None
    checker = _Checker(device)
    try:
        board = checker.board()
        app = checker.app()
    except _Found as e:
        found.append(e.finding)
    for part in checker.parts(board, app):
        found.extend(part)
    return sorted(found, key=lambda f: (not f.wrong, f.line))


def memory_kb(surfaces: Iterable[str]) -> float:
    """Return about how many KB of heap an app with these surfaces needs, by what was measured."""
    measured = dict(MEASURED)
    with suppress(OSError, ValueError, KeyError, TypeError):
        rows = json.loads(RESULTS.read_text("utf-8"))["rows"]
        measured |= {row["id"]: float(row["ours"]) for row in rows if row["id"] in MEASURED}
    few, many = measured.values()
    share = (many - few) / sum(SHARES.values())
    return few + share * sum({**SHARES, "files": FILES_SHARE}.get(s, 0) for s in surfaces)


def speaks_mqtt(tree: ast.Module) -> bool:
    """Tell whether a program is one for umqtt, and no Thing."""
    modules = set(_imports(tree))
    return "umqtt" in modules and "thing" not in modules


class _Found(Exception):  # noqa: N818
    def __init__(self, finding: Finding) -> None:
        self.finding = finding


class _Checker:
    def __init__(self, device: DeviceFile) -> None:
        self._device = device
        self._values: Mapping[str, Any] = device.values

    def board(self) -> Board | None:
        name = self._values.get("board")
        if name is None:
            return None
        try:
            return boards.load(name, self._device.path.parent)
        except UxmppError as e:
            text = str(e).removeprefix(f"board {name[:40]!r}: ")
            raise _Found(self._wrong(("board",), text)) from None

    def app(self) -> Path | None:
        from ..flash import content

        if not self._device.app:
            return None
        try:
            return content.find_app(self._device)
        except UxmppError as e:
            raise _Found(self._wrong(("app",), str(e))) from None

    def parts(self, board: Board | None, app: Path | None) -> Iterator[Iterator[Finding]]:
        yield self._host(board)
        yield self._wifi(board)
        yield self._server()
        yield self._trust()
        yield self._people()
        yield self._surfaces(board)
        yield self._profile()
        if board and app:
            yield self._app(board, app)

    def _wrong(self, where: toml_lines.Path, what: str, wrong: bool = True) -> Finding:
        known = where
        while known and known not in self._device.lines:
            known = known[:-1]
        line = self._device.lines.get(known, 0)
        return Finding(str(_bad(self._device, where, what)), wrong, line)

    def _odd(self, where: toml_lines.Path, what: str) -> Finding:
        return self._wrong(where, what, False)

    def _host(self, board: Board | None) -> Iterator[Finding]:
        from ..update import bundle

        values = self._values
        if "board" not in values:
            yield self._odd(("board",), "is not named; `uxmpp flash` needs it: uxmpp boards")
        if "app" not in values:
            yield self._odd(("app",), "is not named; `uxmpp flash` needs it")
        if "version" in values:
            try:
                bundle.version(values["version"])
            except UxmppError as e:
                text = str(e).partition(": ")[2] or str(e)
                yield self._wrong(("version",), text)
        serial = values.get("serial", "x")
        if not 0 < len(serial) <= MAX_SERIAL or not serial.isprintable():
            yield self._wrong(("serial",), f"must be 1 to {MAX_SERIAL} printable characters")
        if values.get("keys") and values.get("password"):
            yield self._odd(("password",), "is not needed beside `keys`: take it out")
        sleep = values.get("sleep", {})
        if sleep.get("awake", 0) >= sleep.get("every", 86401):
            yield self._odd(("sleep", "awake"), "is as long as `every`: it never sleeps")
        if board and board.port == "linux" and "sleep" in values:
            yield self._odd(("sleep",), "has no effect under Linux")

    def _wifi(self, board: Board | None) -> Iterator[Finding]:
        wifi = self._values.get("wifi")
        if board and board.port == "linux":
            if wifi is not None:
                yield self._odd(("wifi",), "is left to the system under Linux")
        elif wifi is None:
            if board:
                yield self._odd(
                    ("wifi",),
                    "is missing: so the app has to join a network; with wifi = {} `uxmpp wifi` "
                    "hands one over",
                )
        else:
            size = len(wifi.get("ssid", "").encode())
            if size > MAX_SSID:
                yield self._wrong(
                    ("wifi", "ssid"), f"has {size} bytes; a network's name has {MAX_SSID} at most"
                )
            password = wifi.get("password")
            key = password and re.fullmatch("[0-9A-Fa-f]{64}", password)
            if password and not key and not MIN_PASSPHRASE <= len(password) <= MAX_PASSPHRASE:
                yield self._wrong(
                    ("wifi", "password"),
                    f"has {len(password)} characters; a WiFi password has {MIN_PASSPHRASE} to "
                    f"{MAX_PASSPHRASE}, an open network none",
                )
            if wifi and "password" not in wifi:
                yield self._odd(("wifi",), "has no password: the network has to be an open one")

    def _server(self) -> Iterator[Finding]:
        values = self._values
        domain = self._device.jid.partition("@")[2]
        if ":" in domain and not domain.startswith("["):
            yield self._wrong(("jid",), "holds a port: that goes into `port`")
        if values.get("direct") and not (values.get("host") or values.get("port")):
            yield self._odd(("direct",), "has an effect only with `host` or `port`")
        for key in ("host", "ntp"):
            if key in values:
                why = _host_wrong(values[key], ports=key == "ntp")
                if why:
                    yield self._wrong((key,), why)
        if "nameserver" in values:
            address, colon, port = values["nameserver"].partition(":")
            if not _is_ipv4(address):
                yield self._wrong(("nameserver",), "must be an IPv4 address, four numbers to 255")
            elif colon and not 0 < int(port) < 65536:
                yield self._wrong(("nameserver",), "its port must be 1 to 65535")
        if values.get("plain"):
            yield self._odd(
                ("plain",), "sends the password itself to the server: only where it has no SCRAM"
            )

    def _trust(self) -> Iterator[Finding]:
        from .server import Certificate

        values = self._values
        if values.get("ca") and values.get("pin"):
            yield self._odd(("ca",), "is not looked at beside `pin`, which is stronger")
        for where in (("ca",), ("files", "ca")):
            part = values if len(where) == 1 else values.get("files", {})
            if not part.get("ca"):
                continue
            path = self._device.path.parent / part["ca"]
            der = firmware("thing.config")._certificate("", str(path.absolute()))
            try:
                certificate = Certificate(der)
                ends, begins = certificate.ends, certificate.begins
            except UxmppError:
                yield self._wrong(where, f"{path}: is no certificate that can be read")
                continue
            now = datetime.now(UTC)
            if now > ends:
                yield self._wrong(where, f"{path}: expired on {ends:%Y-%m-%d}: get the new one")
            elif now < begins:
                yield self._wrong(where, f"{path}: is not valid before {begins:%Y-%m-%d}")
            if not certificate.authority:
                yield self._odd(
                    where, f"{path}: is not a CA's: a server's own certificate is known by `pin`"
                )

    def _people(self) -> Iterator[Finding]:
        values = self._values
        prepare = firmware("uxmpp.jid").prepare
        seen: dict[str, str] = {}
        for role in ("owners", "operators", "viewers"):
            for i, person in enumerate(values.get(role, ())):
                jid = str(prepare(person))
                if jid in seen:
                    yield self._odd((role, i), f"is in `{seen[jid]}` already, which counts")
                seen.setdefault(jid, role)
        code = values.get("pair")
        if code and len(re.sub("[^A-Za-z0-9]", "", code)) < MIN_CODE:
            yield self._wrong(("pair",), f"must have {MIN_CODE} letters and digits at least")

    def _surfaces(self, board: Board | None) -> Iterator[Finding]:
        values = self._values
        on = values.get("surfaces", ["chat"])
        for key, surface in _OF_SURFACE.items():
            if key in values and surface not in on:
                yield self._odd((key,), f"has no effect: `{surface}` is not in `surfaces`")
        if "files" in values and "files" not in on:
            yield self._odd(("files",), "has no effect: `files` is not in `surfaces`")
        if "rooms" in on and not values.get("rooms"):
            yield self._odd(("surfaces",), "has `rooms`, but no `rooms` say which to enter")
        if not on:
            yield self._odd(("surfaces",), "is empty: nobody reaches the device")
        if board and board.port != "linux":
            needed = memory_kb(on) + (TLS_KB if board.port == "rp2" else 0)
            if needed * 1024 > board.heap:
                yield self._odd(
                    ("surfaces",),
                    f"take about {needed:.0f} KB of memory with agent and app, the board has "
                    f"{board.heap // 1024} KB: leave some out",
                )
            kept = values.get("files", {}).get("max_bytes", 0)
            if kept > board.fs_size // 2:
                yield self._odd(
                    ("files", "max_bytes"),
                    f"is more than half of the board's {board.fs_size // 1024} KB for files",
                )
        status = values.get("status")
        if status is not None:
            try:
                fields = [name for _, name, _, _ in string.Formatter().parse(status)]
            except ValueError as e:
                yield self._wrong(("status",), f"its braces do not fit: {str(e).lower()}")
            else:
                if "" in fields:
                    yield self._wrong(("status",), "{} has no name in it: {temperature}")

    def _profile(self) -> Iterator[Finding]:
        profile = self._values.get("profile", {})
        if profile.get("avatar"):
            most = firmware("thing.card").MAX_AVATAR
            path = self._device.path.parent / profile["avatar"]
            try:
                with path.open("rb") as f:
                    data = f.read(most + 1)
            except OSError as e:
                yield self._wrong(("profile", "avatar"), f"{path}: cannot be read: {e.strerror}")
            else:
                if len(data) > most:
                    yield self._wrong(("profile", "avatar"), f"{path}: is over {most} bytes")
                elif not data.startswith((b"\x89PNG", b"\xff\xd8", b"GIF8")):
                    yield self._wrong(
                        ("profile", "avatar"), f"{path}: is neither PNG, JPEG nor GIF"
                    )
        for key, limit in (("lat", 90), ("lon", 180)):
            value = profile.get("location", {}).get(key, 0)
            if isinstance(value, int | float) and not -limit <= value <= limit:
                yield self._wrong(
                    ("profile", "location", key), f"must be -{limit} to {limit} degrees"
                )

    def _app(self, board: Board, app: Path) -> Iterator[Finding]:
        try:
            tree = ast.parse(app.read_bytes())
        except (OSError, SyntaxError, ValueError) as e:
            at = f":{e.lineno}" if isinstance(e, SyntaxError) and e.lineno else ""
            what = e.msg if isinstance(e, SyntaxError) else "cannot be read"
            yield self._wrong(("app",), f"{app}{at}: {what}")
            return
        modules = set(_imports(tree))
        if speaks_mqtt(tree) and not self._values.get("owners"):
            yield self._odd(
                ("owners",), "are not named: only the device itself reads and writes its topics"
            )
        if "hal" in modules and not board.hal:
            hals = ", ".join(b.name for b in boards.every() if b.hal)
            yield self._wrong(("app",), f"needs a watch, with hal.py: {hals}, not {board.name}")
        if "camera" in modules and not board.psram and board.port != "linux":
            yield self._wrong(
                ("app",), f"needs a camera and PSRAM, which {board.name} has not: esp32-cam"
            )
        pins = _PINS.get(board.mcu)
        if pins:
            good, inputs, said = pins
            for name, pin, line in _constants(tree):
                if pin not in good:
                    yield self._wrong(
                        ("app",), f"{app}:{line}: {name} is {pin}; {board.name} has {said}"
                    )
                elif pin in inputs and name.startswith(("RELAY", "LAMP", "FLASH")):
                    yield self._wrong(
                        ("app",), f"{app}:{line}: {name} is {pin}, which only reads there"
                    )


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _constants(tree: ast.Module) -> Iterator[tuple[str, int, int]]:
    """Yield the pins that an app names at its top, as RELAY_PIN = 5 or PINS = (4,): name, number,
    line; and those of `Pin(4` there."""
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for name, value in pairs:
                if not isinstance(name, ast.Name):
                    continue
                if name.id.endswith(("PIN", "PINS")):
                    yield from (
                        (name.id, n.value, node.lineno)
                        for n in ast.walk(value)
                        if isinstance(n, ast.Constant) and type(n.value) is int
                    )
                else:
                    yield from (
                        (name.id, call.args[0].value, node.lineno)
                        for call in ast.walk(value)
                        if isinstance(call, ast.Call)
                        and isinstance(call.func, ast.Name)
                        and call.func.id == "Pin"
                        and call.args
                        and isinstance(call.args[0], ast.Constant)
                        and type(call.args[0].value) is int
                    )


def _host_wrong(text: str, *, ports: bool) -> str | None:
    """Return what is wrong with the name or address of a host; `ports`: it may have one."""
    name, colon, port = text.partition(":")
    if "/" in text or "@" in text:
        return "must be a name or an IPv4 address alone"
    if colon and not ports:
        return "must be without a port, which goes into `port`"
    if colon and not (port.isdecimal() and 0 < int(port) < 65536):
        return "its port must be 1 to 65535"
    if name.replace(".", "").isdigit():
        return None if _is_ipv4(name) else "must be a name, or an IPv4 address"
    labels = name.split(".")
    if len(name) > MAX_HOST or not all(re.fullmatch(r"[\w-]{1,63}", label) for label in labels):
        return "must be a host's name, like xmpp.example.org"
    return None


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
