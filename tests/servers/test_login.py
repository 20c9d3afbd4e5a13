"""The ways in: TLS, SASL and SASL2, mechanisms, the server's certificate."""

import asyncio
import re

import pytest

from host_tools.lab.lab import Lab
from host_tools.lab.prosody_config import ALL_BUT_PLAIN, PLUS

from .helper import PASSWORDS, both, device_of, echo_of, failed_tries, online, owner_of

USERS = {user: PASSWORDS[user] for user in ("owner", "dev")}
SHA_1 = {"password_hash": "SHA-1", "disabled_mechanisms": PLUS}
PLAIN = {"disabled_mechanisms": ALL_BUT_PLAIN}
CLASSIC = {"sasl2": False}
# As Prosody has it where nobody changed it
USUAL = {"iterations": 10_000}
NO_BIND2 = {"settings": {"modules_disabled": ["s2s", "sasl2_bind2"]}}


def port_of(lab, direct):
    """What stands in device.json for direct TLS, or for STARTTLS."""
    return {"direct": True, "port": lab.server.c2s_tls_port} if direct else {}


async def answers(lab, device, user="dev"):
    """Wait for its session, exchange a word with it, and return its full JID."""
    jid = await online(device)
    async with owner_of(lab) as owner:
        assert await owner.ask(jid, "täst <&> '\"") == "täst <&> '\""
        assert jid.startswith(lab.jid(user) + "/")
    return jid


# Each value of each column with each of the others at least once
@pytest.mark.parametrize(
    ("runtime", "direct", "server", "pinned"),
    [
        ("32", False, USUAL, False),
        ("32", True, CLASSIC, True),
        ("32", True, SHA_1, False),
        ("32", False, {**CLASSIC, **SHA_1}, True),
        ("32", False, {**CLASSIC, **PLAIN}, False),
        ("32", True, PLAIN, True),
        ("32", False, NO_BIND2, True),
        ("cpython", True, USUAL, True),
        ("cpython", False, CLASSIC, False),
        ("cpython", False, SHA_1, True),
        ("cpython", True, {**CLASSIC, **SHA_1}, False),
        ("cpython", True, {**CLASSIC, **PLAIN}, True),
        ("cpython", False, PLAIN, False),
        ("cpython", True, NO_BIND2, False),
    ],
)
def test_login(runtime, direct, server, pinned):
    with Lab(USERS, **server) as lab:
        changes = {"ca": None, "pin": lab.server.certificate.pin} if pinned else {}
        if "disabled_mechanisms" in server and server["disabled_mechanisms"] is ALL_BUT_PLAIN:
            changes["plain"] = True
        with echo_of(lab, runtime, **port_of(lab, direct), **changes) as device:
            jid = asyncio.run(answers(lab, device))
            # Only Bind 2 makes a resource out of the client's tag
            bind2 = "sasl2" not in server and server is not NO_BIND2
            assert jid.partition("/")[2].startswith("uxmpp~") == bind2
            assert device.output() == jid + ": online\n"


@pytest.mark.parametrize(
    ("runtime", "server"), [("32", PLAIN), ("cpython", PLAIN), ("32", {**CLASSIC, **PLAIN})]
)
def test_plain_is_refused_unless_it_is_allowed(runtime, server):
    async def main(device, jid):
        for why, _ in await failed_tries(device, jid, 2):
            assert re.fullmatch("the server only offers .*PLAIN", why), why
        assert "online" not in device.output()

    with (
        Lab(USERS, **server) as lab,
        echo_of(lab, runtime, {"first_pause_s": 0.2}) as device,
    ):
        asyncio.run(main(device, lab.jid("dev")))


@both
@pytest.mark.parametrize("server", [{}, SHA_1, {**CLASSIC, **PLAIN}], ids=["256", "1", "plain"])
def test_account_with_all_sorts_of_characters(runtime, server):
    user = "a=b,c"
    password = "=2C, é=日本 &<'\"> " + "x" * 80
    with (
        Lab({**USERS, user: password}, **server) as lab,
        echo_of(lab, runtime, user=user, plain=True) as device,
    ):
        asyncio.run(answers(lab, device, user))


@both
@pytest.mark.parametrize("form", ["PEM", "pin with colons"])
def test_certificate_as_people_have_it(shared, runtime, form):
    pin = shared.server.certificate.pin.upper()
    colons = ":".join(re.findall("..", pin))
    changes = {"ca": shared.ca_pem.name} if form == "PEM" else {"ca": None, "pin": colons}

    async def main(device):
        jid = await online(device)
        async with owner_of(shared) as owner:
            assert (await owner.next_message(jid)).body.startswith("level: 20 cm")

    with device_of(shared, runtime, **changes) as device:
        asyncio.run(main(device))


@both
def test_pin_wins_over_a_ca(shared, runtime):
    """The pin is the narrower of the two."""

    async def main(device, jid):
        for why, _ in await failed_tries(device, jid, 1):
            assert why == "TLS: the certificate is not the pinned one"

    with echo_of(shared, runtime, pin="0" * 64) as device:
        asyncio.run(main(device, shared.jid("dev")))
