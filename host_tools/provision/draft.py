"""A new device.toml, with every setting explained."""

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..flash import boards
from .checks import speaks_mqtt
from .toml_text import value

#: What an app is best reached by; others by DEFAULT.
SURFACES: Mapping[str, tuple[str, ...]] = {
    "camera": ("chat", "files"),
    "greenhouse": ("chat", "forms", "history", "schedule"),
    "sensor": ("chat", "forms", "history"),
    "switch": ("chat", "forms", "schedule"),
    "watch": ("chat",),
}
DEFAULT = ("chat", "forms")
#: The most lines of an app's own settings that are shown.
MAX_OWN = 16

# "@key example": the setting as it was given, else the example behind a #. "@@name": what text()
# puts there.
_TEMPLATE = """\
# The settings of a device: `uxmpp check` looks at them and at the server, and `uxmpp flash`
# puts the device together. What is behind a # is not used. docs/device.md has all of it.

# The board: @@boards,
# or the file of one of your own, "./mine.toml".
@board "esp32"
# The program: one of firmware/apps, or a file beside this one.
@app "sensor"
@@own
# Of the program, for updates.
@version "1.0.0"
# What stands on the device's label.
@serial "A-0001"

# --- The account, best one of the device's own.
# The password does not belong here: it is taken from $UXMPP_PASSWORD or the keyring, or is typed,
# and the device gets login keys that are made of it.
@jid "device@example.org"
# Only for a device that `uxmpp run` runs.
@password "…"
# What `uxmpp flash` and `uxmpp provision` make of the password.
@keys ["SCRAM-SHA-256", "salt", 4096, "client key", "server key"]
# What the device calls itself to others.
@name "Greenhouse"

# --- People. All others get no answer.
# They see everything, may do everything, and get the reports.
@owners ["you@example.org"]
# Who writes `pair CODE` to the device first becomes its owner; "" for a code that is made at
# each start and shown on the console.
@pair ""
# They may set controls and do commands; they may only read.
@operators ["neighbour@example.org"]
@viewers ["guest@example.org"]
# The account is a person's, too: its other contacts are left alone.
@shared false

# --- The network.
# The WiFi: its name and password, {ssid = "…", password = "…"}, or {}: then the board takes them
# over USB from `uxmpp wifi`, or from a web page that speaks Improv.
@wifi {}
# Whom to ask for addresses and for the time, if not those that are usual. Only `ca` needs time.
@nameserver "9.9.9.9"
@ntp "pool.ntp.org"
# Start the board's watchdog, which restarts a board that hangs.
@watchdog true

# --- The server. Without host and port it is where the domain's SRV records say.
@host "xmpp.example.org"
@port 5222
# With host or port: TLS from the first byte, port 5223, in place of STARTTLS.
@direct false
# The device knows its server by one of two; `uxmpp check --keep-ca` or `--keep-pin` finds them:
# the file of the CA that signed its certificate (PEM or DER) …
@ca "ca.der"
# … or the SHA-256 of that certificate, whose dates are then not looked at: it needs no clock, but
# does not know the server any more when that gets another one.
@pin "64 hex digits"
# Allow that the password itself is sent, where the server has no SCRAM.
@plain false

# --- How it is reached. What is not named here takes no memory.
#   chat      messages                         files     files and photos, there and back
#   forms     forms in chat applications       history   what was measured, as charts
#   iot       readouts (XEP-0323, XEP-0325)    profile   nickname, place, picture
#   pubsub    published values, for programs   rich      bold text
#   rooms     group chats                      schedule  commands at given times
@surfaces ["chat"]
# The status line in its presence; a name in braces becomes a value.
@status "{temperature}, {alarms}"
# Local time, for schedules and history: a POSIX rule, docs/device.md has some.
@timezone "CET-1CEST,M3.5.0,M10.5.0/3"
# Group chats to enter, and words by which it is addressed there besides its nick.
@rooms ["garden@rooms.example.org"]
@groups ["all"]

# --- Parts of their own: with the line in brackets, below all else.
# Updates over the air, docs/updates.md: the public key of `uxmpp keys`, and the seconds in which
# a new version has to log in.
# [update]
# key = "64 hex digits"
# confirm_s = 600

# Deep sleep, docs/power.md: seconds from one waking to the next, how long it stays awake, and
# until it is still.
# [sleep]
# every = 900
# awake = 10
# inactive = 60

# How upload servers are known, and how many bytes are kept.
# [files]
# ca = "web.der"
# max_bytes = 65536

# Published values: where, under which names, json, fields or mqtt (docs/thing.md), and how many
# seconds apart.
# [pubsub]
# service = "pubsub.example.org"
# prefix = "greenhouse/"
# payload = "json"
# min_s = 60

# Nickname, picture (8,192 bytes at most), place.
# [profile]
# nick = "Greenhouse"
# avatar = "me.png"
# location = { lat = 52.5, lon = 13.4 }
"""


def text(values: Mapping[str, Any], app: Path | None = None) -> str:
    """Return a device.toml with the settings `values`, and all others behind a `#`. `app`: the
    file of the app, whose own settings are shown."""
    return "\n".join(_lines(values, app)) + "\n"


def surfaces(name: str | None, app: Path | None) -> list[str]:
    """Return the surfaces that a new device has, by its app's name and file: none where it speaks
    MQTT's way, and is no Thing."""
    with suppress(OSError, ValueError, SyntaxError, RecursionError):
        if app and speaks_mqtt(ast.parse(app.read_bytes())):
            return []
    return list(SURFACES.get(name or "", DEFAULT))


def secret(values: Mapping[str, Any]) -> bool:
    """Tell whether there is something in `values` that others must not read."""
    keys = ("password", "keys", "pair")
    return any(values.get(key) for key in keys) or bool(values.get("wifi", {}).get("password"))


def _lines(values: Mapping[str, Any], app: Path | None) -> Iterator[str]:
    for line in _TEMPLATE.splitlines():
        if line == "@@own":
            yield from _own(app)
        elif line.startswith("@"):
            key, _, example = line[1:].partition(" ")
            given = values.get(key)
            yield f"# {key} = {example}" if given is None else f"{key} = {value(given)}"
        else:
            yield line.replace("@@boards", ", ".join(boards.names()))


def _own(app: Path | None) -> Iterator[str]:
    """Yield what a program has at its top for whoever wires it: names in capitals."""
    if app is None:
        return
    try:
        source = app.read_text("utf-8")
        tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError, RecursionError):
        return
    lines = source.split("\n")
    own = [
        lines[node.lineno - 1]
        for node in tree.body
        if isinstance(node, ast.Assign)
        and node.lineno == node.end_lineno
        and any(
            isinstance(name, ast.Name) and name.id.isupper()
            for target in node.targets
            for name in ast.walk(target)
        )
    ]
    if own:
        yield f"# Sensors and pins are at the top of {app.name}: for others, name a copy here."
        # A comment in TOML has no control characters
        yield from (f"#     {line}" for line in own[:MAX_OWN] if line.isprintable())
