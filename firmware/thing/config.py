"""device.json: who the device is, where it connects, whom it serves."""

import json
from binascii import a2b_base64

from uxmpp import jid

# key -> the type of its value, and whether it must be there
_KEYS = {
    "jid": (str, True),
    "password": (str, False),
    "keys": (list, False),
    "owners": (list, False),
    "operators": (list, False),
    "viewers": (list, False),
    "name": (str, False),
    "ca": (str, False),
    "pin": (str, False),
    "host": (str, False),
    "port": (int, False),
    "direct": (bool, False),
    "plain": (bool, False),
    "nameserver": (str, False),
    "ntp": (str, False),
    "wifi": (dict, False),
    "watchdog": (bool, False),
    "pair": (str, False),
    "shared": (bool, False),
    "surfaces": (list, False),
    "status": (str, False),
    "timezone": (str, False),
    "rooms": (list, False),
    "groups": (list, False),
    "pubsub": (dict, False),
    "profile": (dict, False),
    "files": (dict, False),
    "sleep": (dict, False),
    "update": (dict, False),
}
#: What there is to be reached by; each is a file of `thing`.
SURFACES = (
    "chat", "files", "forms", "history", "iot", "profile", "pubsub", "rich", "rooms", "schedule",
)  # fmt: skip
_TYPES = {
    str: "a text",
    list: "a list",
    int: "a number",
    bool: "true or false",
    dict: "an object, {...}",
}


class ConfigError(ValueError):
    """The configuration cannot be used; the text says what, where, and what is expected."""


def load(path):
    """The configuration in the JSON file `path`, as a dict: JIDs in normal form, `ca` as bytes of
    DER, `name` filled in. Raises ConfigError."""
    try:
        with open(path) as f:
            config = json.load(f)
    except OSError:
        raise ConfigError(path + ": cannot be read; it holds the device's account and owners")
    except ValueError:
        raise ConfigError(path + ": is not JSON")
    if not isinstance(config, dict):
        raise ConfigError(path + ': is not an object, {"jid": ...}')
    try:
        return _check(config, path)
    except ValueError as e:
        raise ConfigError("{}: {}".format(path, e))


def _check(config, path):
    for key, value in config.items():
        if key not in _KEYS:
            raise ValueError("{}: no such setting; there are {}".format(key, _names()))
        kind = _KEYS[key][0]
        # Python's bool is an int, and nobody's port is true
        if not isinstance(value, kind) or kind is int and isinstance(value, bool):
            raise ValueError("{}: must be {}".format(key, _TYPES[kind]))
    for key, (_, needed) in _KEYS.items():
        if needed and not config.get(key):
            raise ValueError(key + ": is missing")
    if config.get("keys"):
        config["keys"] = _login_keys(config["keys"])
    elif not config.get("password"):
        raise ValueError("password or keys: one is needed, to log in by")
    wifi = config.get("wifi")
    if wifi is not None:
        for key in wifi:
            if key not in ("ssid", "password") or not isinstance(wifi[key], str):
                raise ValueError("wifi: must be the texts ssid and password")
        if wifi and not wifi.get("ssid"):
            raise ValueError("wifi: ssid is missing")
    config["jid"] = jid.prepare(config["jid"])
    local, _, resource = jid.split(config["jid"])
    if not local or resource:
        raise ValueError("jid: must be name@domain, without a resource")
    for role in ("owners", "operators", "viewers"):
        people = []
        for text in config.get(role, ()):
            person = _person(role, text)
            if person == config["jid"]:
                raise ValueError(role + ": the device itself is in it")
            if person not in people:
                people.append(person)
        config[role] = people
    if not 0 < config.get("port", 5222) < 65536:
        raise ValueError("port: must be 1 to 65535")
    address, colon, port = config.get("nameserver", "0").partition(":")
    if not address.replace(".", "").isdigit() or colon and not port.isdigit():
        raise ValueError("nameserver: must be an IPv4 address, or address:port")
    config["name"] = config.get("name") or local
    surfaces = config.setdefault("surfaces", ["chat"])
    for name in surfaces:
        if name not in SURFACES:
            raise ValueError("surfaces: must be of " + ", ".join(SURFACES))
        if surfaces.count(name) > 1:
            raise ValueError("surfaces: {} is in it twice".format(name))
    if not config["owners"] and "pair" not in config and not config.get("shared"):
        raise ValueError("owners: is missing; or pair, a code that makes the first owner")
    if not _trust(path, config):
        raise ValueError("ca or pin: one is needed, to know the server by")
    for key, value in config.get("sleep", {}).items():
        if key not in ("every", "awake", "inactive") or type(value) is not int:
            raise ValueError("sleep: must be every, awake and inactive, in whole seconds")
        if not 0 < value <= 86400:
            raise ValueError("sleep: {}: must be 1 to 86400 s".format(key))
    if "update" in config:
        update = config["update"]
        update["key"] = _digits("update: key", "a public key", update.get("key"))
        for key, value in update.items():
            if key not in ("key", "confirm_s"):
                raise ValueError("update: {}: no such setting".format(key))
            if key == "confirm_s" and (type(value) is not int or not 60 <= value <= 86400):
                raise ValueError("update: confirm_s: must be 60 to 86400 s")
        surfaces.append("update")
    if "sleep" in config:
        surfaces.append("sleep")  # the last, as it changes what the others begin with
    files = config.get("files", {})
    for key, value in files.items():
        kind = {"ca": str, "pin": str, "max_bytes": int}.get(key)
        if not kind:
            raise ValueError("files: {}: no such setting".format(key))
        if type(value) is not kind or not value or kind is int and value < 0:
            raise ValueError("files: {}: must be {}".format(key, _TYPES[kind]))
    try:
        _trust(path, files)
    except ValueError as e:
        raise ValueError("files: " + str(e))
    return config


def _trust(path, options):
    # `pin`, else `ca`, as net.Context takes it; whether there is one
    if options.get("pin"):
        pin = options["pin"].replace(":", "")
        options["pin"] = _digits("pin", "the SHA-256 of the certificate", pin)
        return True
    if options.get("ca"):
        options["ca"] = _certificate(path, options["ca"])
        return True
    return False


def _digits(name, what, text):
    # In small letters
    text = text.lower() if isinstance(text, str) else ""
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise ValueError("{}: must be {}, 64 hex digits".format(name, what))
    return text


def _login_keys(keys):
    # As sasl.Scram has them
    try:
        name, salt, rounds, client, server = keys
        size = {"SCRAM-SHA-1": 20, "SCRAM-SHA-256": 32}.get(name)
        salt, client, server = [a2b_base64(v) for v in (salt, client, server)]
        if salt and len(client) == len(server) == size and isinstance(rounds, int):
            return name, salt, rounds, client, server
    except (ValueError, TypeError, AttributeError):
        pass
    raise ValueError("keys: must be [mechanism, salt, iterations, client key, server key]")


def _person(role, text):
    if not isinstance(text, str) or "/" in text:
        raise ValueError(role + ": must be JIDs, name@domain")
    person = jid.prepare(text)
    if "@" not in person:
        raise ValueError(role + ": must be JIDs, name@domain")
    return person


def _certificate(path, name):
    # The DER in a file beside the configuration, be it DER or PEM
    folder = path[: path.rfind("/") + 1]
    name = name if name.startswith("/") else folder + name
    try:
        with open(name, "rb") as f:
            data = f.read()
    except OSError:
        raise ValueError("ca: " + name + " cannot be read")
    pem = data.split(b"-----BEGIN CERTIFICATE-----")
    if len(pem) > 1:
        try:
            data = a2b_base64(pem[1].split(b"-----")[0])
        except ValueError:
            pass
    # A sequence of that length, that begins with a sequence
    if (
        len(data) < 5
        or data[:2] != b"\x30\x82"
        or len(data) != 4 + (data[2] << 8 | data[3])
        or data[4] != 0x30
    ):
        raise ValueError("ca: " + name + " is neither DER nor PEM of a certificate")
    return data


def _names():
    names = list(_KEYS)
    names.sort()
    return ", ".join(names)
