"""Whom umqtt logs in as: by the arguments of MQTTClient, or device.json; what is refused."""

import json
import os

from helper import raises, temporary
from umqtt import settings
from umqtt.robust import MQTTClient as Robust
from umqtt.simple import MQTTClient, MQTTException

HEAP = "600k"
PIN = "ab" * 32
PINNED = {"pin": PIN}
# No certificate, but what one looks like
DER = bytes(range(48))
PEM = (
    b"by hand\n-----BEGIN CERTIFICATE-----\n"
    b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\nISIjJCUmJygpKissLS4v\n"
    b"-----END CERTIFICATE-----\n"
    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
)
ACCOUNT = {"jid": "dev@example.org", "password": "its own"}
KEYS = ["SCRAM-SHA-256", "c2FsdA==", 4096, "Y2xpZW50", "c2VydmVy"]


def client(user="dev@example.org", password="its own", params=PINNED, port=0, people=None):
    made = MQTTClient("id", "Example.ORG", port, user, password, 60, False, params)
    made.people = people
    return made


def options(*args, **more):
    """What login() makes of arguments; there are no keys and no people then."""
    found, keys, people, service = settings.login(client(*args, **more))
    assert keys is None and people == [] and service == "example.org"
    return found


def with_file(content, do):
    """`do()` with `content`, text or what becomes JSON, as device.json, or None for none."""
    folder = temporary("umqtt")
    os.mkdir(folder)
    before = os.getcwd()
    os.chdir(folder)
    try:
        if content is not None:
            with open("device.json", "w") as f:
                f.write(content if isinstance(content, str) else json.dumps(content))
        return do()
    finally:
        if content is not None:
            os.remove("device.json")
        os.chdir(before)
        os.rmdir(folder)


def told(**content):
    """(options, keys, people) of a device.json."""
    content.update(ACCOUNT)
    return with_file(content, lambda: settings.login(client(None)))[:3]


def refused(code, *args, **more):
    """The text of what login() raises for arguments."""
    e = raises(MQTTException, settings.login, client(*args, **more))
    assert len(e.args) == 2 and e.args[0] == code, e.args
    return e.args[1]


def test_arguments():
    assert options() == {"jid": "dev@example.org", "password": "its own", "pin": PIN}
    assert options(user=b"Dev@Example.ORG", password=b"\xc3\xa9") == {
        "jid": "dev@example.org",
        "password": "\xe9",
        "pin": PIN,
    }
    # MQTT's own ports say nothing of XMPP's
    for port in (0, 1883, 8883):
        assert "port" not in options(port=port)
    assert options(port=5222)["port"] == 5222
    assert options(params={"pin": PIN, "port": 5223}, port=1883)["port"] == 5223
    more = {"host": "10.0.0.1", "direct": True, "nameserver": "10.0.0.2:53", "plain": True}
    found = options(params=dict(more, pin=PIN))
    assert {key: found[key] for key in more} == more
    # What is said to upstream's TLS, and has no meaning here
    more = {"cert_reqs": 0, "server_hostname": "x", "do_handshake": True, "server_side": False}
    assert options(params=dict(more, pin=PIN)) == options()


def test_certificates():
    for key in ("ca", "cadata"):
        for ca in (DER, PEM, bytearray(PEM)):
            found = options(params={key: ca})
            assert found["ca"] == DER and "pin" not in found and "cadata" not in found
    for data in (DER, PEM):
        path = temporary("ca")
        with open(path, "wb") as f:
            f.write(data)
        assert options(params={"ca": path})["ca"] == DER
        assert told(ca=path)[0]["ca"] == DER
        os.remove(path)
        e = raises(OSError, lambda: options(params={"ca": path}))
        assert e.args[0] == 2 and e.args[1] == "ca: {}: cannot be read".format(path)


def test_device_json():
    found, keys, people = told(pin=PIN)
    assert found == {"jid": "dev@example.org", "password": "its own", "pin": PIN}
    assert keys is None and people == []
    where = {"host": "10.0.0.1", "port": 5223, "direct": True, "nameserver": "10.0.0.2"}
    # What is for other parts of the agent is not for this one
    others = {"name": "Garden", "wifi": {"ssid": "x"}, "surfaces": ["chat"], "watchdog": True}
    found, keys, people = told(
        pin=PIN, owners=["Ann@a.Example", "ben@b.example"], keys=KEYS, **dict(where, **others)
    )
    assert people == ["ann@a.example", "ben@b.example"]
    assert keys == ("SCRAM-SHA-256", b"salt", 4096, b"client", b"server")
    assert found == dict(where, pin=PIN, **ACCOUNT)
    # Keys alone are enough
    only = {"jid": "dev@example.org", "keys": KEYS, "pin": PIN}
    found = with_file(only, lambda: settings.login(client(None)))
    assert found[0]["password"] is None and found[1] == keys


def test_people_are_the_owners():
    def people(those):
        return settings.login(client(None, people=those))[2]

    content = dict(ACCOUNT, pin=PIN, owners=["Ann@A.Example"])
    for those, found in (
        (None, ["ann@a.example"]),
        ((), []),
        (("ben@B.example/phone", "ann@a.example"), ["ben@b.example", "ann@a.example"]),
    ):
        assert with_file(content, lambda: people(those)) == found
    assert settings.login(client(people=["BEN@b.example"]))[2] == ["ben@b.example"]
    text = refused(4, people=("a b@c",))
    assert text == "MQTTClient: 'a b@c': not an address like name@domain"


def test_arguments_that_are_refused():
    for user, what in (
        ("mqttuser", "user must be the JID of an account, name@domain, not mqttuser"),
        ("example.org/x", "user must be the JID of an account, name@domain, not example.org"),
        ("", "MQTTClient: '': not an address like name@domain"),
        ("a b@example.org", "MQTTClient: 'a b@example.org': not an address like name@domain"),
        ("@example.org", "MQTTClient: '@example.org': not an address like name@domain"),
    ):
        assert refused(4, user) == what
    assert refused(4, b"\xff@example.org").startswith("MQTTClient: ")
    assert "type" in refused(4, 5)
    assert "type" in refused(4, params={"ca": 5})
    assert refused(4, "a@b", None) == "a@b: a password is needed, as text"
    for params in ({}, None, {"ca": b""}, {"pin": ""}, {"cert_reqs": 0}, {"host": "x"}):
        text = refused(5, params=params)
        assert text == "TLS is always verified: ssl_params needs ca, a file or its bytes, or pin"
    # What would say who the device is, or whom it believes, is not passed over
    for key in ("key", "cert", "keyfile", "ca_certs", "Pin"):
        text = refused(5, params={"pin": PIN, key: b"x"})
        assert text == "ssl_params: {}: is not known here".format(key)
    bad = b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----"
    assert refused(5, params={"ca": bad}) == "ca: is no certificate"


def test_services_that_are_refused():
    for server, what in (
        ("", "server: '': not an address like name@domain"),
        ("Dev@Example.org", "server: dev@example.org is an account; it has to be a PubSub "),
    ):
        made = client()
        made.server = server
        e = raises(MQTTException, settings.login, made)
        assert e.args[0] == 3 and e.args[1].startswith(what), e.args


def test_device_json_that_is_refused():
    def login():
        e = raises(MQTTException, settings.login, client(None))
        assert e.args[0] == 4, e.args
        return e.args[1]

    for content, what in (
        ("", "is not JSON"),
        ("{x}", "is not JSON"),
        ("[]", 'is not an object, {"jid": ...}'),
        ("null", 'is not an object, {"jid": ...}'),
        ("{}", "'': not an address like name@domain"),
        (dict(ACCOUNT, pin=PIN, owners=["a b@c"]), "'a b@c': not an address like name@domain"),
        (dict(ACCOUNT, pin=PIN, keys=[1, 2]), "keys: are not those that `uxmpp provision` writes"),
        (dict(ACCOUNT, pin=PIN, keys=KEYS[:4] + ["x"]), "keys: are not those that"),
        (dict(ACCOUNT, pin=PIN, owners=5), "a value is not of the type that it has to be: "),
        (dict(ACCOUNT, pin=PIN, jid=5), "a value is not of the type that it has to be: "),
    ):
        text = with_file(content, login)
        assert text.startswith("device.json: " + what), text
    for content in ({"jid": "a@b", "pin": PIN}, {"jid": "a@b", "pin": PIN, "password": 5}):
        assert with_file(content, login) == "a@b: a password is needed, as text"
    e = with_file(None, lambda: raises(OSError, settings.login, client(None)))
    text = "device.json: cannot be read; without user= it says which account"
    assert e.args == (2, text), e.args


def test_client_raises_the_same():
    # At connect(), before anything is sent; robust does not try such a thing for ever
    for kind in (MQTTClient, Robust):
        made = kind("id", "pubsub.example.org", user="mqttuser", password="x")
        e = raises(MQTTException, made.connect)
        assert e.args[0] == 4
        made = kind("id", "x", 0, "a@b", "x", 60, True, {"ca": b"no certificate"})
        e = raises(MQTTException, made.connect)
        assert e.args[0] == 5 and e.args[1].startswith("ca: is no certificate"), e.args
        made = kind("id", "Ann@a.example", 0, "a@b", "x", 60, True, {"pin": PIN})
        e = raises(MQTTException, made.connect)
        assert e.args[0] == 3 and e.args[1].startswith("server: ann@a.example is an account")
    made = client()
    for call in (
        lambda: made.publish("a", "b"),
        lambda: made.share("a", "ann@a.example"),
        made.check_msg,
        made.wait_msg,
        made.ping,
        made.disconnect,
    ):
        e = raises(OSError, call)
        assert e.args == (107, "not connected"), e.args
    raises(AssertionError, made.subscribe, "a")
