"""Whom a client logs in as: from the constructor's arguments, or from device.json, as the host
tools write it. Loaded for the first connect()."""

import json
from binascii import a2b_base64

from uxmpp.jid import prepare, split

from .mapping import MQTTException

FILE = "device.json"
_MQTT_PORTS = (0, 1883, 8883)
#: What upstream takes in ssl_params and XMPP has no use for: TLS is always verified.
_IGNORED = ("cert_reqs", "server_hostname", "do_handshake", "server_side")
_OPTIONS = ("host", "direct", "nameserver", "plain")
_BAD_USER = 4
_BAD_TLS = 5


def login(user, password, port, params):
    """(arguments of a ReliableClient, as a dict; keys or None; people) for a client's arguments.
    Raises MQTTException for what is missing or wrong, OSError for a file that cannot be read."""
    keys = None
    people = ()
    if user is None:
        told = _file()
        people = [prepare(p) for p in told.get("owners", ())]
        keys = told.get("keys")
        if keys:
            # As sasl.Scram has them
            name, salt, rounds, client, server = keys
            keys = (name, a2b_base64(salt), rounds, a2b_base64(client), a2b_base64(server))
        options = {k: told[k] for k in _OPTIONS + ("ca", "pin", "port", "password") if k in told}
        options["jid"] = told.get("jid", "")
    else:
        options = {"jid": _text(user), "password": _text(password)}
        if port not in _MQTT_PORTS:
            options["port"] = port
        for key, value in params.items():
            if key == "cadata":
                key = "ca"
            if key in ("ca", "pin", "port") + _OPTIONS:
                options[key] = value
            elif key not in _IGNORED:
                raise MQTTException(_BAD_TLS, "ssl_params: {}: is not known here".format(key))
    options.setdefault("password", None)
    local, domain, _ = split(prepare(options["jid"]))
    if not local or not domain:
        text = "user must be the JID of an account, name@domain, not {}"
        raise MQTTException(_BAD_USER, text.format(options["jid"] or "empty"))
    ca = options.get("ca")
    if isinstance(ca, str):
        try:
            with open(ca, "rb") as f:
                options["ca"] = ca = f.read()
        except OSError as e:
            raise OSError(e.args[0], "ca: {}: cannot be read".format(ca))
    if ca and b"-----BEGIN CERTIFICATE-----" in ca:
        pem = ca.split(b"-----BEGIN CERTIFICATE-----")[1]
        options["ca"] = a2b_base64(pem.split(b"-----")[0])
    if not ca and not options.get("pin"):
        text = "TLS is always verified: ssl_params needs ca, a file or its bytes, or pin"
        raise MQTTException(_BAD_TLS, text)
    return options, keys, people


def _text(value):
    return value.decode() if isinstance(value, (bytes, bytearray)) else value


def _file():
    try:
        with open(FILE) as f:
            return json.load(f)
    except OSError as e:
        text = "{}: cannot be read; without user= it says which account"
        raise OSError(e.args[0], text.format(FILE))
    except ValueError:
        raise MQTTException(_BAD_USER, FILE + ": is not JSON")
