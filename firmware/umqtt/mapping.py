"""Topics and messages of MQTT 3.1.1 as nodes and payloads of PubSub (docs/umqtt.md). Pure."""

from binascii import a2b_base64, b2a_base64

from uxmpp.xml import Element, escape

XMLNS = "urn:uxmpp:mqtt:0"
#: The most bytes of a topic, as MQTT has it (section 1.5.3).
MAX_TOPIC = 65535
_JSON = "urn:xmpp:json:0"

# Reason codes of MQTT 5 (section 2.4); upstream knows but 0x80
REFUSED = 0x80
NOT_AUTHORIZED = 0x87
BAD_FILTER = 0x8F
BAD_TOPIC = 0x90
TOO_LARGE = 0x95
QUOTA = 0x97
BAD_QOS = 0x9B


class MQTTException(Exception):  # noqa: N818 (upstream's name)
    """What was refused: a code, as CONNACK (section 3.2.2.3) or MQTT 5 have it, and why."""


class MappingError(MQTTException):
    """What PubSub cannot be asked for, or XMPP cannot carry."""


def topic_name(topic):
    """A topic to publish to, bytes or str, as str. Raises MappingError (section 4.7)."""
    topic = _text(topic, BAD_TOPIC)
    if "+" in topic or "#" in topic:
        raise MappingError(BAD_TOPIC, "a topic to publish to has no wildcards: " + topic)
    return topic


def topic_filter(topic):
    """A topic filter, bytes or str, as str. Raises MappingError (section 4.7.1)."""
    topic = _text(topic, BAD_FILTER)
    levels = topic.split("/")
    for level in levels[:-1]:
        if "#" in level:
            raise MappingError(BAD_FILTER, "# is the last level, alone: " + topic)
    for level in levels:
        if len(level) > 1 and ("#" in level or "+" in level):
            raise MappingError(BAD_FILTER, "a wildcard is a level of its own: " + topic)
    return topic


def _text(topic, code):
    data = topic
    text = None
    # Its length first: there may be no room for a copy
    if len(data) <= MAX_TOPIC:
        try:
            data = topic.encode() if isinstance(topic, str) else bytes(topic)
            text = data.decode()
        except UnicodeError:
            pass
    if len(data) > MAX_TOPIC:
        raise MappingError(code, "a topic has {} bytes at the most".format(MAX_TOPIC))
    if text is None or not _carried(data, text):
        raise MappingError(code, "a topic must be UTF-8")
    if not data:
        raise MappingError(code, "a topic has at least one character")
    if 0 in data:
        raise MappingError(code, "a topic must not contain NUL")
    return text


def _carried(data, text):
    # MicroPython decodes more than UTF-8; for what XML does not have escape() puts "?"
    return escape(text).count(b"?") == data.count(b"?")


def node(topic):
    """The node of a topic: the same text, but for what an attribute in XML does not carry, and
    for "%", which stand as %XX."""
    data = topic.encode()
    if min(data) > 31 and b"%" not in data and b"\x7f" not in data:
        return topic
    out = bytearray()
    for c in data:
        if c < 32 or c in b"\x7f%":
            out.extend(b"%%%02X" % c)
        else:
            out.append(c)
    return bytes(out).decode()


def topic(node):
    """The topic of a node, or None for a node that is none's."""
    if not node or "+" in node or "#" in node:
        return None
    found = node
    if "%" in node:
        first, *rest = node.encode().split(b"%")
        out = bytearray(first)
        try:
            for part in rest:
                out.append(int(part[:2], 16))
                out.extend(part[2:])
            found = bytes(out).decode()
        except ValueError:  # UnicodeError is one
            return None
    # It is one only if it stands for that topic; b"\0" cannot be one
    return found if "\0" not in found and _node(found) == node else None


_node = node


def matches(wanted, topic):
    """Whether a filter matches a topic (sections 4.7.1, 4.7.2)."""
    if topic[:1] == "$" and wanted[:1] in ("+", "#"):
        return False
    wanted = wanted.split("/")
    levels = topic.split("/")
    if wanted[-1] == "#":
        # It stands for the level above, too
        wanted.pop()
        levels = levels[: len(wanted)]
    if len(wanted) != len(levels):
        return False
    for level in wanted:
        if level not in ("+", levels.pop(0)):
            return False
    return True


def payload(msg, attrs):
    """A message, str or a buffer, as the Element of an item; `attrs`: further attributes. Where
    XML does not carry its bytes as they are, they are in base64."""
    data = msg.encode() if isinstance(msg, str) else msg
    if not isinstance(data, bytes):
        data = bytes(data)
    text = None
    if data:
        # Blanks at the ends, and lines that end in CR, are what programs on the way might change
        plain = data.replace(b"\n", b" ").replace(b"\t", b" ")
        try:
            if data.strip() == data and min(plain) > 31:
                text = data.decode()
                if not _carried(data, text):
                    text = None
        except UnicodeError:
            pass
        if text is None:
            text = b2a_base64(data).decode().strip()
            attrs["enc"] = "base64"
    return Element("message", XMLNS, attrs, [text] if text else None)


def message(el):
    """The bytes of a message, from the Element in an item. What other programs publish is the
    text of JSON (XEP-0335), or XML."""
    if el.xmlns == XMLNS:
        if el.get("enc") == "base64":
            return a2b_base64(el.text)
        return el.text.encode()
    if el.xmlns == _JSON:
        return el.text.encode()
    return el.to_bytes()
