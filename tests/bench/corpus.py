"""What a device and its server send one another, made up the same way every time."""

import random
import re

SEED = 20260101
SIZE = 96 * 1024  # bytes, at least
HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' id='5f0c1d2e' from='lab.example' "
    "to='greenhouse@lab.example' version='1.0' xml:lang='en'>"
)

_SAYINGS = (
    "temperature",
    "relay on",
    "status",
    "Is the greenhouse too warm? It says 31 °C & rising, which is < 35 but > 30.",
    "temperature: 23.4 °C (2 min ago)",
    "Grüße aus dem Gewächshaus: 21,5 °C, Luftfeuchte 61 %, Fenster geöffnet",
    "温室の温度は 24.1 °C です",
    "blink 3",
    "relay is on since 07:12, switched by owner@lab.example",
    "Thanks! 👍 I'll look at it again tonight, when the sun has gone down behind the hill.",
)
_STATUSES = ("23.4 °C", "relay on, 61 %", "ok", "low battery: 3.4 V")


def stanzas(size: int = SIZE) -> list[str]:
    """Return stanzas of `size` bytes or a little more, the same ones in every run."""
    made: list[str] = []
    total = 0
    rng = random.Random(SEED)
    while total < size:
        stanza = rng.choices(_KINDS, _WEIGHTS)[0](rng)
        made.append(stanza)
        total += len(stanza.encode())
    return made


def stream(size: int = SIZE) -> bytes:
    """Return a stream's header and `stanzas(size)`; it is not closed."""
    return (HEADER + "".join(stanzas(size))).encode()


def description() -> str:
    """Say what the stanzas are."""
    made = stanzas()
    total = sum(len(s.encode()) for s in made)
    counts = {
        name: sum(bool(re.match(f"<{name}[ />]", s)) for s in made)
        for name in ("message", "presence", "iq", "r", "a")
    }
    listed = ", ".join(f"{n} <{name}>" for name, n in counts.items())
    return f"{len(made)} stanzas of {total / len(made):.0f} B on average ({listed})"


def _id(rng: random.Random) -> str:
    return f"{rng.getrandbits(64):016x}"


def _uuid(rng: random.Random) -> str:
    h = f"{rng.getrandbits(128):032x}"
    return "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))


def _phone(rng: random.Random) -> str:
    return rng.choice(("owner@lab.example/Conversations.aB3x", "owner@lab.example/gajim.7QK2PZ"))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _message(rng: random.Random) -> str:
    id = _uuid(rng)
    own = rng.random() < 0.4
    ends = ("to", "from") if own else ("from", "to")
    return (
        f"<message {ends[0]}='{_phone(rng)}' {ends[1]}='greenhouse@lab.example/uxmpp' "
        f"type='chat' id='{id}' xml:lang='en'>"
        f"<body>{_escaped(rng.choice(_SAYINGS))}</body>"
        "<active xmlns='http://jabber.org/protocol/chatstates'/>"
        "<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>"
        f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>"
        f"<stanza-id xmlns='urn:xmpp:sid:0' by='greenhouse@lab.example' id='{_uuid(rng)}'/>"
        "</message>"
    )


def _state(rng: random.Random) -> str:
    state = rng.choice(("composing", "paused", "active"))
    return (
        f"<message type='chat' from='{_phone(rng)}' to='greenhouse@lab.example/uxmpp' "
        f"id='{_uuid(rng)}'><{state} xmlns='http://jabber.org/protocol/chatstates'/>"
        "<no-store xmlns='urn:xmpp:hints'/></message>"
    )


def _receipt(rng: random.Random) -> str:
    return (
        f"<message from='{_phone(rng)}' to='greenhouse@lab.example/uxmpp' id='{_uuid(rng)}' "
        f"type='chat'><received xmlns='urn:xmpp:receipts' id='{_uuid(rng)}'/>"
        "<store xmlns='urn:xmpp:hints'/></message>"
    )


def _presence(rng: random.Random) -> str:
    return (
        f"<presence from='{_phone(rng)}' to='greenhouse@lab.example'>"
        f"<show>{rng.choice(('away', 'chat', 'dnd'))}</show>"
        f"<status>{_escaped(rng.choice(_STATUSES))}</status><priority>0</priority>"
        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' "
        "node='http://conversations.im' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>"
        "<x xmlns='vcard-temp:x:update'><photo/></x></presence>"
    )


def _ping(rng: random.Random) -> str:
    return (
        f"<iq type='get' from='lab.example' to='greenhouse@lab.example/uxmpp' id='{_id(rng)}'>"
        "<ping xmlns='urn:xmpp:ping'/></iq>"
    )


def _disco(rng: random.Random) -> str:
    features = (
        "http://jabber.org/protocol/disco#info",
        "urn:xmpp:ping",
        "urn:xmpp:receipts",
        "http://jabber.org/protocol/commands",
        "urn:xmpp:time",
        "jabber:iq:version",
    )
    listed = "".join(f"<feature var='{f}'/>" for f in features)
    return (
        f'<iq type="result" from="{_phone(rng)}" to="greenhouse@lab.example/uxmpp" '
        f'id="{_id(rng)}"><query xmlns="http://jabber.org/protocol/disco#info" '
        'node="http://conversations.im#QgayPKawpkPSDYmwT/WM94uAlu0=">'
        f'<identity category="client" type="phone" name="Conversations"/>{listed}</query></iq>'
    )


def _version(rng: random.Random) -> str:
    return (
        f"<iq type='result' to='greenhouse@lab.example/uxmpp' from='{_phone(rng)}' "
        f"id='{_id(rng)}'><query xmlns='jabber:iq:version'><name>Conversations</name>"
        "<version>2.16.4</version><os>Android 15</os></query></iq>"
    )


def _request(rng: random.Random) -> str:
    return "<r xmlns='urn:xmpp:sm:3'/>"


def _answer(rng: random.Random) -> str:
    return f"<a xmlns='urn:xmpp:sm:3' h='{rng.randrange(1000)}'/>"


_KINDS = (
    _message,
    _state,
    _receipt,
    _presence,
    _ping,
    _disco,
    _version,
    _request,
    _answer,
)
_WEIGHTS = (44, 6, 10, 13, 6, 6, 3, 6, 6)
