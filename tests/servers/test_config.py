"""A device.json that cannot work: one line that says what and where, exit code 1, no traceback."""

import json
import re

import pytest

from host_tools.lab.certs import Authority
from host_tools.lab.device import Device

from .helper import PROGRAMS, RUNTIMES

LIMIT_S = 30.0
GOOD = {
    "jid": "dev@lab.example",
    "password": "secret",
    "owners": ["owner@lab.example"],
    "ca": "ca.der",
    # Nobody listens there: what gets past the configuration says so, and tries again
    "host": "127.0.0.1",
    "port": 1,
}
PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
NO_JID = "not an address like name@domain"
FILES = {
    "text.pem": b"-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n",
    "half.pem": b"-----BEGIN CERTIFICATE-----\nMII",
    "words.pem": b"this is no certificate",
    "empty.der": b"",
    "two.der": b"\x30\x82",
    "short.der": b"\x30\x03\x02\x01\x01",
    "noise.der": b"\x30\x82\x01\x00" + bytes(range(256)),
}


class Board:
    """A place where a device starts with one device.json after another."""

    def __init__(self, folder, runtime):
        self._folder = folder
        self._runtime = runtime
        authority = Authority(folder / "authority")
        for name, data in {**FILES, "ca.der": authority.der.read_bytes()}.items():
            (folder / name).write_bytes(data)
        (folder / "folder.der").mkdir()

    def device(self, text):
        """A device with this text as its device.json, None for no such file; not started."""
        app = PROGRAMS / "bare.py"
        device = Device({}, folder=self._folder, app=app, runtime=self._runtime)
        file = self._folder / "device.json"
        if text is None:
            file.unlink()
        else:
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return device

    def run(self, text):
        """What it says until its end, and its exit code."""
        with self.device(text) as device:
            code = device.child.wait(LIMIT_S)
            return device.child.output(), code


@pytest.fixture(scope="module", params=RUNTIMES)
def board(request, tmp_path_factory):
    """A board of one of the runtimes."""
    return Board(tmp_path_factory.mktemp("device"), request.param)


def check(outcome, pattern):
    """Whether a device ended as it should, with a line that fits `pattern`."""
    said, code = outcome
    assert re.fullmatch(r"device\.json: .*\n", said), said
    assert re.search(pattern, said), said
    assert code == 1
    assert "Error" not in said


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (None, "cannot be read; it holds .*account"),
        ("", "is not JSON"),
        ("jid: dev", "is not JSON"),
        ('{"jid": "dev@lab.exam', "is not JSON"),
        (json.dumps(GOOD) + " and so on", "is not JSON"),
        (b'{"jid": "\xff\xfe"}', "is not JSON"),
        ("[]", "is not an object"),
        ("null", "is not an object"),
        ('"dev@lab.example"', "is not an object"),
        ("{}", "(jid|owners): is missing"),
    ],
    ids=[
        "missing",
        "empty",
        "words",
        "half",
        "more",
        "no-utf8",
        "list",
        "null",
        "text",
        "nothing",
    ],
)
def test_file(board, text, pattern):
    check(board.run(text), pattern)


WRONG_TYPES = {
    "jid": (1, "a text"),
    "password": (["secret"], "a text"),
    "owners": ("owner@lab.example", "a list"),
    "operators": ({"a@b.example": 1}, "a list"),
    "viewers": (True, "a list"),
    "name": (5, "a text"),
    "ca": (False, "a text"),
    "pin": (12345678, "a text"),
    "host": (["127.0.0.1"], "a text"),
    "port": ("5222", "a number"),
    "direct": (1, "true or false"),
    "plain": ("no", "true or false"),
    "nameserver": (53, "a text"),
}


@pytest.mark.parametrize("key", WRONG_TYPES)
def test_wrong_type(board, key):
    value, expected = WRONG_TYPES[key]
    check(board.run(json.dumps({**GOOD, key: value})), f" {key}: must be {expected}$")


@pytest.mark.parametrize(("key", "value"), [("port", True), ("port", 5222.5), ("jid", None)])
def test_nearly_right_type(board, key, value):
    check(board.run(json.dumps({**GOOD, key: value})), f" {key}: must be a (number|text)$")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        (
            {"pasword": "x"},
            "pasword: no such setting; there are ca, direct, .*, viewers, watchdog, wifi$",
        ),
        ({"jid": None}, "jid: is missing"),
        ({"password": None}, "password or keys: one is needed, to log in by"),
        ({"password": ""}, "password or keys: one is needed, to log in by"),
        ({"owners": []}, "owners: is missing"),
        # The device's own address
        ({"jid": "lab.example"}, "jid: must be name@domain, without a resource"),
        ({"jid": "dev@lab.example/x"}, "jid: must be name@domain, without a resource"),
        ({"jid": "dev@"}, NO_JID),
        ({"jid": "dev@lab@example"}, NO_JID),
        ({"jid": "my dev@lab.example"}, NO_JID),
        ({"jid": "dev@" + "x" * 1100}, NO_JID),
        ({"jid": "<dev>@lab.example"}, NO_JID),
        ({"jid": "dev\n@lab.example"}, NO_JID),
        # Those of people
        ({"owners": ["owner@lab.example/phone"]}, "owners: must be JIDs, name@domain"),
        ({"owners": [5]}, "owners: must be JIDs, name@domain"),
        ({"owners": [["owner@lab.example"]]}, "owners: must be JIDs, name@domain"),
        ({"owners": ["owner"]}, "owners: must be JIDs, name@domain"),
        ({"owners": [""]}, NO_JID),
        ({"owners": ["owner@"]}, NO_JID),
        ({"owners": ["the owner@lab.example"]}, NO_JID),
        ({"operators": ["@lab.example"]}, NO_JID),
        ({"viewers": ["a@b.example", "b@c@d"]}, NO_JID),
        ({"owners": ["owner@lab.example", "dev@lab.example"]}, "owners: the device itself"),
        ({"owners": [" DEV@Lab.Example. "]}, "owners: the device itself"),
        ({"operators": ["dev@lab.example"]}, "operators: the device itself"),
        # How the server is known
        ({"ca": None}, "ca or pin: one is needed"),
        ({"ca": None, "pin": ""}, "ca or pin: one is needed"),
        ({"pin": "0" * 63}, "pin: must be the SHA-256 .*64 hex digits"),
        ({"pin": "0" * 63 + "g"}, "pin: must be"),
        ({"pin": "SHA256:" + "0" * 57}, "pin: must be"),
        ({"ca": "none.der"}, "ca: none.der cannot be read"),
        ({"ca": "/nowhere/none.der"}, "ca: /nowhere/none.der cannot be read"),
        ({"ca": "folder.der"}, "ca: folder.der cannot be read"),
        ({"ca": "words.pem"}, "ca: words.pem is neither DER nor PEM of a certificate"),
        ({"ca": "empty.der"}, "ca: empty.der is neither"),
        ({"ca": "two.der"}, "ca: two.der is neither"),
        ({"ca": "text.pem"}, "ca: text.pem is neither"),
        ({"ca": "half.pem"}, "ca: half.pem is neither"),
        ({"ca": "short.der"}, "ca: short.der is neither"),
        ({"ca": "noise.der"}, "ca: noise.der is neither"),
        # Where the server is
        ({"port": 0}, "port: must be 1 to 65535"),
        ({"port": 65536}, "port: must be 1 to 65535"),
        ({"port": 10**30}, "port: must be 1 to 65535"),
    ],
    ids=lambda x: json.dumps(x)[:40] if isinstance(x, dict) else "",
)
def test_setting(board, changes, pattern):
    """None leaves the key out."""
    config = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    check(board.run(json.dumps(config)), pattern)


@pytest.mark.parametrize("changes", [{}, {"ca": None, "pin": "AB:" * 31 + "ab"}, {"name": ""}])
def test_what_is_right(board, changes):
    """What the tests above find comes from what they change: this device tries to connect."""
    config = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    with board.device(json.dumps(config)) as device:
        device.child.wait_for_line(r"^dev@lab\.example: 127\.0\.0\.1:1: .*; next try in", LIMIT_S)
