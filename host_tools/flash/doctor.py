"""From the port to the owner, step by step: what `uxmpp doctor` does."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from ..errors import UxmppError
from ..provision import secret
from ..provision.device_file import DeviceFile
from ..update import bundle
from . import deploy, ports, steps
from .boards import Board
from .monitor import HIDDEN, secrets
from .progress import size
from .repl import OnBoardError, Repl, ReplError

STEPS = ("port", "firmware", "files", "WiFi", "clock", "DNS", "TLS", "login", "owner")
#: Seconds that a step may be silent: the longest are joining WiFi, and a login by password.
STEP_S = 75.0
#: Seconds that joining WiFi may take, an address included.
JOIN_S = 20
#: How far a board's clock may be off, seconds; and for how many days a certificate should last.
MAX_OFF_S = 300
WARN_DAYS = 14
#: Names that a line lists before it counts.
MAX_NAMED = 3

State = Literal["ok", "FAILED", "not tried", "-"]


@dataclass(frozen=True)
class Result:
    """What became of a step; `text` says what was found, or what is wrong and what to do."""

    name: str
    state: State
    text: str = ""

    def __str__(self) -> str:
        return f"{self.state:9}  {self.name:8}  {self.text}".rstrip()


class _Failed(Exception):  # noqa: N818
    def __init__(self, why: str, todo: str) -> None:
        super().__init__(f"{why}. {todo}")


class _Skipped(Exception):  # noqa: N818
    pass


class _Body(Protocol):
    """Where the steps run."""

    def begin(self) -> None: ...
    def run(self, code: str) -> dict[str, Any]: ...


class _OnBoard:
    """The steps at a board's prompt."""

    def __init__(self, repl: Repl) -> None:
        self._repl = repl

    def begin(self) -> None:
        code = steps.BEGIN.format(path="device.json", folder="")
        try:
            self._repl.run(code)
        except OnBoardError as e:
            raise _Failed(
                f"on the board: {e.error[:200]}", "`uxmpp deploy` sends program and settings"
            ) from None

    def run(self, code: str) -> dict[str, Any]:
        text = self._repl.run(code + steps.RUN, STEP_S)
        line = text.rpartition("\n=> ")[2].partition("\n")[0]
        try:
            return dict(json.loads(line) or {})
        except (ValueError, TypeError):
            raise ReplError(f"port {self._repl.port}: the board says {line[:80]!r}") from None


class _Here:
    """The steps under CPython: the same text, the same library."""

    def __init__(self, device: DeviceFile, state: Path | None) -> None:
        self._device = device
        self._state = state
        self._names: dict[str, Any] = {}
        self._runner = asyncio.Runner()
        #: Whether there is a password, or keys.
        self.can_log_in = True

    def begin(self) -> None:
        device = self._device
        password = None
        if not device.values.get("keys"):
            password = secret.password(device.jid, device.values.get("password"))
            self.can_log_in = bool(password)
        made = device.device_json(password or "not known")
        with tempfile.TemporaryDirectory(prefix="uxmpp-doctor-") as folder:
            path = Path(folder, "device.json")
            path.touch(0o600)
            path.write_text(json.dumps(made), "utf-8")
            state = f"{self._state}{os.sep}" if self._state else f"{folder}{os.sep}"
            self._exec(steps.BEGIN.format(path=str(path), folder=state))

    def run(self, code: str) -> dict[str, Any]:
        self._exec(code)

        async def limited() -> Any:
            async with asyncio.timeout(STEP_S):
                return await self._names["step"]()

        try:
            return dict(self._runner.run(limited()) or {})
        except Exception as e:  # noqa: BLE001 - as it is told on a board
            return {"error": type(e).__name__, "text": str(e)}

    def _exec(self, code: str) -> None:
        # Our own text, which finds the library where device_file looked for it
        exec(compile(code, "<doctor>", "exec"), self._names)  # noqa: S102

    def close(self) -> None:
        self._runner.close()


class Doctor:
    """Examines the device of a device.toml, on a board at `port` (else where it is found), or
    without a `board` on this computer; `state` is then the folder of its files, if there is one.
    `say` is told what is found on the way."""

    def __init__(
        self,
        device: DeviceFile,
        board: Board | None,
        port: str | None = None,
        *,
        state: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._device = device
        self._board = board
        self._port = port or ""
        self._state = state
        self._say = say
        self._stack = ExitStack()
        self._repl: Repl | None = None
        self._about: deploy.About | None = None
        self._body: _Body | None = None
        self._hidden = secrets(device.values)

    def examine(self) -> Iterator[Result]:
        """Yield the result of each step as it comes; after one that failed the others are not
        tried. At the end a board's program is started again."""
        failed = False
        with self._stack:
            for name in STEPS:
                if failed:
                    yield Result(name, "not tried")
                    continue
                state, text = self._step(name)
                failed = state == "FAILED"
                for hidden in self._hidden:
                    text = text.replace(hidden, HIDDEN)
                yield Result(name, state, text)

    def _step(self, name: str) -> tuple[State, str]:
        step: Callable[[], str] = getattr(self, f"_see_{name.lower()}")
        try:
            if self._board is None and name in STEPS[:4]:
                return "-", "no board: the device runs on this computer"
            return "ok", step()
        except _Skipped as e:
            return "-", str(e)
        except (_Failed, UxmppError) as e:
            return "FAILED", str(e)

    def _see_port(self) -> str:
        self._port = ports.choose(self._board, self._port or None, self._say)
        ports.open_port(self._port).close()
        return self._port

    def _see_firmware(self) -> str:
        assert self._board
        self._repl = self._stack.enter_context(Repl(self._port))
        self._about = about = deploy.ask(self._repl)
        wrong = deploy.unfit(self._board, about)
        if wrong:
            raise _Failed(wrong[0], f"To do: {wrong[1]}")
        return (
            f"MicroPython {about.release} on {about.machine[:60]}; free: {size(about.heap)} of "
            f"heap, {size(about.free)} of flash"
        )

    def _see_files(self) -> str:
        assert self._board and self._repl and self._about
        held = deploy.look(self._repl, self._about)
        if not held.layout:
            raise _Failed(
                "there is no program of uxmpp on the board", "`uxmpp deploy` sends it all"
            )
        told = self._manifest(held)
        jid = held.settings.get("jid")
        if not jid:
            raise _Failed("device.json is missing, or damaged", "`uxmpp deploy` sends it")
        if jid != self._device.jid:
            raise _Failed(
                f"the board is {str(jid)[:80]}, not {self._device.jid}",
                "Take the other board, or give `uxmpp deploy --replace`",
            )
        todo = deploy.plan(self._board, self._device, held)
        if todo.settings:
            differs = [n for n in todo.notes if n.startswith("device.json changes: ")]
            what = [n.partition(": ")[2] for n in differs] or list(todo.settings)
            raise _Failed(
                f"the settings there are not those of {self._device.path}: {', '.join(what)}",
                "`uxmpp deploy` sends them",
            )
        others = len(todo.program) + len(todo.loader) + len(todo.removed)
        more = f"; {others} are not as here, `uxmpp deploy` sends them" if others else ""
        return (
            f"{told.app} {told.version} in slot {held.slot}, {len(told.files)} files, all as its "
            f"manifest says{more}"
        )

    def _manifest(self, held: deploy.Held) -> bundle.Manifest:
        """Return the manifest of the slot, whose files are as it says."""
        assert self._repl
        data = self._repl.read(f"{held.slot}/manifest")
        if data is None:
            raise _Failed(
                f"slot {held.slot} is not whole: a deployment or an update was cut off",
                "`uxmpp deploy` sends what is missing",
            )
        try:
            told = bundle.parse(data)
        except bundle.BundleError as e:
            raise _Failed(f"slot {held.slot}: {e}", "`uxmpp deploy` writes it anew") from None
        bad = [f.path for f in told.files if held.slot_files.get(f.path) != (f.size, f.sha256)]
        if bad:
            raise _Failed(
                f"damaged or missing in slot {held.slot}: {_some(bad)}",
                "`uxmpp deploy` sends them again",
            )
        return told

    def _see_wifi(self) -> str:
        found = self._run(steps.WIFI.replace("JOIN_S", str(JOIN_S)))
        if found.get("none"):
            raise _Skipped("device.json names no WiFi: the app sees to the network")
        if found.get("unknown"):
            raise _Failed("no network is known", "`uxmpp wifi` tells the board one")
        name, why = str(found.get("ssid"))[:40], found.get("why")
        if not why:
            rssi = f", {found['rssi']} dBm" if "rssi" in found else ""
            return f"joined {name}{rssi}; address {found.get('address')}"
        seen = [str(n)[:40] for n in found.get("seen", ())]
        todo = {
            "wrong password": "Write the right one into device.toml and `uxmpp deploy`, or "
            "`uxmpp wifi`",
            "not found": f"It sees {_some(seen) if seen else 'no network'}: look at the name, at "
            "the distance, and whether it has 2.4 GHz, as the board needs",
            "no address": "Joined, but the router gives no address (DHCP): restart it, look at "
            "its list of devices",
        }.get(why, "Is the access point near, and does it take new devices?")
        raise _Failed(f"{name}: {why}", todo)

    def _see_clock(self) -> str:
        if self._board is None:
            return f"this computer's: {_date(time.time())}"
        found = self._run(steps.CLOCK.replace("HOST_NOW", str(int(time.time()))))
        if found["pin"]:
            return "not needed: the server is known by its pin"
        now = found.get("now") or (None if found.get("why") else found["was"])
        if now is None:
            raise _Failed(
                f"not set, and {found['why']}",
                'Without the time no certificate can be checked: write ntp = "…" with a server '
                "that answers there, or use a pin: `uxmpp check --keep-pin`",
            )
        off = int(now - time.time())
        if abs(off) > MAX_OFF_S:
            whose = f"{found['server']} says" if "now" in found else "the board has"
            raise _Failed(
                f"{whose} {_date(now)}, {abs(off)} s {'after' if off > 0 else 'before'} this "
                "computer",
                'Which one is right? Write another server, ntp = "…", or set this computer\'s',
            )
        how = f"asked {found['server']}" if "now" in found else "set"
        return f"{how}: {_date(now)}"

    def _see_dns(self) -> str:
        found = self._run(
            steps.DNS,
            "Is the domain right, and does the network's name server answer? `nameserver = "
            '"9.9.9.9"` in device.toml asks another one',
        )
        place = f"{found['host']}:{found['port']} is {found['address']}"
        if found["srv"]:
            return f"SRV: {len(found['srv'])}; {place}"
        if found["srv"] is None and "why" not in found:
            return f"as device.toml says, {place}"
        return f"no SRV record ({found.get('why', 'there is none')}), so {place}"

    def _see_tls(self) -> str:
        found = self._run(steps.TLS)
        why = found.get("why")
        dates = _dates(found.get("der"))
        if why and found.get("at") == "connect":
            raise _Failed(str(why), "Is the server up, and the port open? `uxmpp check` asks it")
        if why:
            if dates and dates[1] < datetime.now(UTC):
                raise _Failed(
                    f"the certificate has expired, {dates[1]:%Y-%m-%d}",
                    "The server needs a new one",
                )
            raise _Failed(
                str(why),
                "`uxmpp check` shows the chain and what to keep: --keep-ca or --keep-pin; then "
                "`uxmpp deploy`",
            )
        by = "the pinned certificate" if found.get("pin") else "signed by the CA of device.toml"
        if not dates:
            return by
        days = (dates[1] - datetime.now(UTC)).days
        soon = f", in {days} days: see to a new one" if days < WARN_DAYS else ""
        soon = (
            f", expired {dates[1]:%Y-%m-%d}" if days < 0 else f", until {dates[1]:%Y-%m-%d}{soon}"
        )
        return by + soon

    def _see_login(self) -> str:
        if isinstance(self._body, _Here) and not self._body.can_log_in:
            raise _Failed(f"no password of {self._device.jid} is known", f"Set {secret.VARIABLE}")
        by_keys = self._board is not None or bool(self._device.values.get("keys"))
        again = "`uxmpp deploy --login` derives the keys anew" if by_keys else "`uxmpp check` asks"
        found = self._run(
            steps.LOGIN, f"The password was changed, or the account is gone: {again}"
        )
        by = "login keys" if found["keys"] else "password"
        return f"{found['jid']}, by {by} ({found['mechanism']})"

    def _see_owner(self) -> str:
        found = self._run(steps.OWNER)
        self._run(steps.END)
        if found["shared"]:
            return f"the account is a person's own, who is the owner: {self._device.jid}"
        owners = [str(o)[:80] for o in found["owners"]]
        if not owners:
            name = self._device.path.name
            code = f"the code of {name}" if found["code"] else "the code that it shows"
            todo = (
                f"Write `pair CODE` to {self._device.jid}, with {code} (`uxmpp monitor`)"
                if found["pair"]
                else 'Name one in device.toml, owners = ["…"], and `uxmpp deploy`'
            )
            raise _Failed("nobody is the owner yet", todo)
        told = [
            f"{o} ({_contact(found.get('roster'), found.get('online', ()), o)})"
            for o in owners[:MAX_NAMED]
        ]
        more = len(owners) - len(told)
        others = f"; {found['others']} with lesser roles" if found["others"] else ""
        return ", ".join(told) + (f" and {more} more" if more else "") + others

    def _run(
        self, code: str, todo: str = "`uxmpp monitor` shows what its program says of it"
    ) -> dict[str, Any]:
        """Run a step where the steps run; `todo`: what to do where it raises an exception."""
        if self._body is None:
            if self._repl is not None:
                self._body = _OnBoard(self._repl)
            else:
                here = _Here(self._device, self._state)
                self._stack.callback(here.close)
                self._body = here
            self._body.begin()
        found = self._body.run(code)
        if found.get("error") == "MemoryError":
            raise _Failed(
                "the board has too little memory for this step",
                "A device that has more to do will not run: fewer surfaces",
            )
        if "error" in found:
            raise _Failed(str(found.get("text")) or str(found["error"]), todo)
        return found


def _contact(roster: Mapping[str, str] | None, online: Sequence[str], owner: str) -> str:
    if roster is None:
        return "the server does not tell whether they are contacts"
    subscription = roster.get(owner)
    if owner in online:
        return "online"
    if subscription == "both":
        return "not online"
    if subscription in ("to", "from"):
        return f"half a contact, subscription {subscription!r}: accept the device's request"
    return "no contact yet: add the device, or accept its request"


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _date(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _dates(der: str | None) -> tuple[datetime, datetime] | None:
    """Return from when and until when a certificate is good, given as hex of DER."""
    from cryptography import x509

    try:
        found = x509.load_der_x509_certificate(bytes.fromhex(der or ""))
    except ValueError:
        return None
    return found.not_valid_before_utc, found.not_valid_after_utc
