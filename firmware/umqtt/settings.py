"""Whom a client logs in as: from the constructor's arguments, or from device.json, as the host
tools write it. Loaded for the first connect()."""

import json
from binascii import a2b_base64

from uxmpp.jid import bare, prepare, split

from .mapping import MQTTException

FILE = "device.json"
_MQTT_PORTS = (0, 1883, 8883)
#: What upstream takes in ssl_params and XMPP has no use for: TLS is always verified.
_IGNORED = ("cert_reqs", "server_hostname", "do_handshake", "server_side")
_OPTIONS = ("host", "direct", "nameserver", "plain")
_NO_SERVICE = 3
_BAD_USER = 4
_BAD_TLS = 5


def login(client):
    """(arguments of a ReliableClient, as a dict; keys or None; people; service) for a
    MQTTClient. Raises MQTTException for what is missing or wrong, OSError for a file that cannot
    be read."""
    try:
        return _login(client)
    except (ValueError, TypeError, AttributeError) as e:
        if not isinstance(e, ValueError):
            e = "a value is not of the type that it has to be: {}".format(e)
        where = FILE if client.user is None else "MQTTClient"
        raise MQTTException(_BAD_USER, "{}: {}".format(where, str(e) or "not UTF-8"))


def _login(client):
    keys = None
    people = ()
    user = client.user
    try:
        service = prepare(client.server)
    except ValueError as e:
        raise MQTTException(_NO_SERVICE, "server: {}".format(e))
    if "@" in service:
        text = "server: {} is an account; it has to be a PubSub service, or its domain"
        raise MQTTException(_NO_SERVICE, text.format(service))
    if user is None:
        told = _file()
        people = told.get("owners", ())
        if told.get("keys"):
            keys = _keys(told["keys"])
        options = {k: told[k] for k in _OPTIONS + ("ca", "pin", "port", "password") if k in told}
        user = told.get("jid", "")
    else:
        options = {"password": _text(client.pswd)}
        if client.port not in _MQTT_PORTS:
            options["port"] = client.port
        for key, value in (client.ssl_params or {}).items():
            if key == "cadata":
                key = "ca"
            if key in ("ca", "pin", "port") + _OPTIONS:
                options[key] = value
            elif key not in _IGNORED:
                raise MQTTException(_BAD_TLS, "ssl_params: {}: is not known here".format(key))
    people = [bare(prepare(p)) for p in (people if client.people is None else client.people)]
    options["jid"] = user = prepare(_text(user))
    local, domain, _ = split(user)
    if not local:
        text = "user must be the JID of an account, name@domain, not {}"
        raise MQTTException(_BAD_USER, text.format(domain))
    if not isinstance(options.setdefault("password", None), str) and not keys:
        raise MQTTException(_BAD_USER, user + ": a password is needed, as text")
    ca = options.get("ca")
    if isinstance(ca, str):
        try:
            with open(ca, "rb") as f:
                options["ca"] = ca = f.read()
        except OSError as e:
            raise OSError(e.args[0], "ca: {}: cannot be read".format(ca))
    if ca and b"-----BEGIN CERTIFICATE-----" in ca:
        pem = ca.split(b"-----BEGIN CERTIFICATE-----")[1]
        try:
            options["ca"] = a2b_base64(pem.split(b"-----")[0])
        except ValueError:
            raise MQTTException(_BAD_TLS, "ca: is no certificate")
    if not ca and not options.get("pin"):
        text = "TLS is always verified: ssl_params needs ca, a file or its bytes, or pin"
        raise MQTTException(_BAD_TLS, text)
    return options, keys, people, service


def _keys(told):
    # As sasl.Scram has them
    try:
        name, salt, rounds, client, server = told
        return name, a2b_base64(salt), rounds, a2b_base64(client), a2b_base64(server)
    except ValueError:
        raise ValueError("keys: are not those that `uxmpp provision` writes")


def _text(value):
    return value.decode() if isinstance(value, (bytes, bytearray)) else value


def _file():
    try:
        with open(FILE) as f:
            told = json.load(f)
    except OSError as e:
        text = "{}: cannot be read; without user= it says which account"
        raise OSError(e.args[0], text.format(FILE))
    except ValueError:
        raise MQTTException(_BAD_USER, FILE + ": is not JSON")
    if not isinstance(told, dict):
        raise MQTTException(_BAD_USER, FILE + ': is not an object, {"jid": ...}')
    return told
