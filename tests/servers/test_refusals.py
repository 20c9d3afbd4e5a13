"""When the server cannot be trusted, or does not let the device in: one clear line a try, pauses
that grow, and nothing of the login on the wire."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from host_tools.lab.certs import Authority
from host_tools.lab.lab import Lab
from host_tools.lab.ports import Ports

from .helper import PASSWORDS, Relay, both, check_pauses, echo_of, failed_tries, online, owner_of

QUICK = {"first_pause_s": 0.2}
DAY = timedelta(days=1)
PASSWORD = PASSWORDS["dev"]
USERS = {"dev": PASSWORD}
FEATURES = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' from='lab.example' id='1' "
    "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    "<stream:features>{}</stream:features>"
)
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
MECHANISMS = (
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
    "<mechanism>SCRAM-SHA-1</mechanism></mechanisms>"
    "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism></authentication>"
)
PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


def check_plaintext(sent):
    """Whether the bytes of one connection are a stream header and <starttls/> at the most, and
    from then on nothing but TLS records."""
    sent = bytes(sent)
    header = re.match(
        rb"<\?xml version='1\.0'\?><stream:stream ([^<>]*)>"
        rb"(<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>)?",
        sent,
    )
    records = sent
    if header:
        attributes = dict(re.findall(rb"([\w:]+)='([^']*)'", header[1]))
        assert set(attributes) == {b"xmlns", b"xmlns:stream", b"to", b"version"}
        assert attributes[b"to"] == b"lab.example"
        records = sent[header.end() :]
        assert header[2] or not records
    while records:
        kind, version, size = records[0], records[1], int.from_bytes(records[3:5], "big")
        assert kind in (20, 21, 22, 23) and version == 3, records[:40]
        records = records[5 + size :]
    for word in (PASSWORD.encode(), b"dev", b"<auth", b"SCRAM", b"PLAIN", b"sasl"):
        assert word not in sent


async def check_refused(device, jid, cause, relay=None):
    """Whether three tries each say why in one line, with a pause of any part of a time that
    doubles."""
    found = await failed_tries(device, jid, 3)
    for why, _ in found:
        assert re.fullmatch(cause, why), why
    pauses = [pause for _, pause in found]
    check_pauses(found, QUICK["first_pause_s"])
    assert device.child.running
    for line in device.output().rpartition("\n")[0].splitlines():
        assert "; next try in " in line, device.output()
    if relay:
        # The next one may have begun: a pause may be none
        assert len(found) <= len(relay.sent) <= len(found) + 1
        # What it says is what it does; the figure has one place, and a clock jitters
        for i, pause in enumerate(pauses[:-1]):
            assert relay.opened[i + 1] - relay.opened[i] > pause - 0.1
        for sent in relay.sent:
            check_plaintext(sent)


def refused(lab, runtime, cause, direct=False, **changes):
    """Run a device against `lab` through a relay that listens in, and check what it does."""

    async def main():
        port = lab.server.c2s_tls_port if direct is True else lab.server.c2s_port
        async with Relay(lab.server.host, port) as relay:
            places = {"host": relay.host, "port": relay.port, "direct": bool(direct)}
            with echo_of(lab, runtime, QUICK, **places, **changes) as device:
                await check_refused(device, lab.jid("dev"), cause, relay)

    asyncio.run(main())


def certificate(kind, folder):
    """(authority that the device knows, certificate that the server has)."""
    authority = Authority(folder / "one")
    now = datetime.now(UTC)
    return authority, {
        "authority": lambda: Authority(folder / "two").issue("lab.example"),
        "name": lambda: authority.issue("other.example", names=["x.lab.example"]),
        "expired": lambda: authority.issue("lab.example", not_after=now - DAY),
        "future": lambda: authority.issue("lab.example", not_before=now + DAY),
    }[kind]()


@both
@pytest.mark.parametrize(
    ("kind", "direct", "cause"),
    [
        ("authority", False, "TLS: .*(signed|issuer|self.signed).*"),
        ("name", False, "TLS: .*([Nn]ame|[Hh]ostname).*"),
        ("expired", False, "TLS: .*expired.*"),
        ("future", False, "TLS: .*(not yet valid|future).*"),
        ("authority", True, "TLS: .*(signed|issuer|self.signed).*"),
        ("name", True, "TLS: .*([Nn]ame|[Hh]ostname).*"),
    ],
)
def test_wrong_certificate(runtime, kind, direct, cause, tmp_path):
    authority, bad = certificate(kind, tmp_path)
    with Lab(USERS, certificate=bad) as lab:
        lab.ca_der.write_bytes(authority.der.read_bytes())
        refused(lab, runtime, cause, direct)


@both
@pytest.mark.parametrize("kind", ["expired", "future", "name", "authority"])
def test_pinned_certificate_needs_no_more(runtime, kind, tmp_path):
    """Neither dates nor name nor authority."""
    _, bad = certificate(kind, tmp_path)

    async def main(device):
        await online(device)
        assert "next try" not in device.output()

    with (
        Lab(USERS, certificate=bad) as lab,
        echo_of(lab, runtime, ca=None, pin=bad.pin) as device,
    ):
        asyncio.run(main(device))


@both
@pytest.mark.parametrize("direct", [False, True], ids=["starttls", "direct"])
def test_wrong_pin(shared, runtime, direct):
    pin = shared.server.certificate.pin
    pin = pin[:-1] + ("0" if pin[-1] != "0" else "1")
    cause = "TLS: the certificate is not the pinned one"
    refused(shared, runtime, cause, direct, ca=None, pin=pin)


@both
def test_server_without_tls(runtime):
    """It offers to take the password in the clear, and is not given it."""
    with Lab(USERS, tls=False) as lab:
        lab.ca_der.write_bytes(Authority(lab.folder / "any").der.read_bytes())
        refused(lab, runtime, "the server offers no TLS", plain=True)


@both
def test_direct_tls_to_a_plaintext_port(shared, runtime):
    refused(shared, runtime, "TLS: .{4,}", "to the other port")


@both
def test_starttls_to_a_tls_port(shared, runtime):
    """It waits for the client's TLS, or cuts the line: nothing of ours is lost to it."""

    async def main():
        async with Relay(shared.server.host, shared.server.c2s_tls_port) as relay:
            tune = {**QUICK, "login_timeout_s": 1}
            with echo_of(shared, runtime, tune, host=relay.host, port=relay.port) as device:
                cause = "the connection was cut|.*(ECONNRESET|reset by peer)|the login took .*"
                await check_refused(device, shared.jid("dev"), cause, relay)

    asyncio.run(main())


@both
@pytest.mark.parametrize(
    ("user", "password"), [("dev", "wrong"), ("nobody", PASSWORD)], ids=["password", "account"]
)
@pytest.mark.parametrize("server", [{}, {"sasl2": False}], ids=["sasl2", "classic"])
def test_login_refused(runtime, user, password, server):
    with Lab(USERS, **server) as lab:

        async def main():
            jid = lab.jid(user)
            with echo_of(lab, runtime, QUICK, jid=jid, password=password) as device:
                await check_refused(device, jid, "login refused: .*(not-authorized|match).*")

        asyncio.run(main())


@both
def test_login_works_once_the_password_is_right(runtime):
    """Nothing of a refused try stays behind."""

    async def main(lab, device):
        await failed_tries(device, lab.jid("dev"), 2)
        lab.server.add_account("dev", PASSWORD)
        jid = await online(device)
        async with owner_of(lab) as owner:
            assert await owner.ask(jid, "back?") == "back?"

    with Lab({"owner": PASSWORDS["owner"], "dev": "another"}) as lab:
        device = echo_of(lab, runtime, QUICK, password=PASSWORD)
        with device:
            asyncio.run(main(lab, device))


@both
def test_nobody_listens(shared, runtime):
    async def main():
        with Ports(1) as nobody:
            port = nobody.numbers[0]
            with echo_of(shared, runtime, QUICK, port=port) as device:
                cause = rf"127\.0\.0\.1:{port}: .*(ECONNREFUSED|refused|Connect call failed).*"
                await check_refused(device, shared.jid("dev"), cause)

    asyncio.run(main())


@both
@pytest.mark.parametrize("direct", [False, True], ids=["starttls", "direct"])
def test_server_that_closes_at_once(shared, runtime, direct):
    async def main():
        async with Relay(shared.server.host, None) as relay:
            places = {"host": relay.host, "port": relay.port, "direct": direct}
            with echo_of(shared, runtime, QUICK, **places) as device:
                cause = ".*(cut|ECONNRESET|reset|closed|EOF|[Bb]roken pipe|EPIPE).*"
                await check_refused(device, shared.jid("dev"), cause, relay)

    asyncio.run(main())


class Liar:
    """A server of `steps`: what it says to the client's first bytes, to the next, and so on."""

    def __init__(self, *steps):
        self._steps = steps
        self.sent = []
        self.opened = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host, self.port = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        sent = bytearray()
        self.sent.append(sent)
        self.opened.append(asyncio.get_running_loop().time())
        try:
            for step in self._steps:
                sent += await reader.read(65536)
                writer.write(step.encode())
            while data := await reader.read(65536):
                sent += data
        except OSError:
            pass
        finally:
            writer.close()


ERROR = "<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>{}</stream:error>"


@both
@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        # Somebody between, who takes <starttls/> out
        ([FEATURES.format(MECHANISMS)], "the server offers no TLS"),
        # ... or says that it is on, and goes on in the clear
        (
            [FEATURES.format(STARTTLS), PROCEED, FEATURES.format(MECHANISMS)],
            "TLS: .{4,}",
        ),
        # ... or adds to what the server will say
        (
            [
                FEATURES.format(STARTTLS),
                PROCEED + f"<stream:features>{MECHANISMS}</stream:features>",
            ],
            "plaintext after <proceed/>",
        ),
        ([FEATURES.format(STARTTLS), PROCEED + "<a"], "plaintext after <proceed/>"),
        (
            [FEATURES.format(STARTTLS), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"],
            "<failure> instead of <proceed>",
        ),
        (
            [FEATURES.format(STARTTLS), ERROR.format("host-unknown", "")],
            "stream error: host-unknown",
        ),
        (["HTTP/1.1 400 Bad Request\r\n\r\n"], ".*(text|outside).*"),
        (["<!DOCTYPE x [<!ENTITY y 'z'>]>"], ".*(document type|restricted).*"),
        (["<stream:stream xmlns:stream='x'" + " " * 400000], "header too long"),
        (["\x16\x03\x01\x02\x00\x01" * 9], "..+"),
        (["\xfe\xff\0"], "..+"),
    ],
    ids=[
        "stripped",
        "pretended",
        "injected",
        "injected-half",
        "failure",
        "error",
        "http",
        "dtd",
        "endless",
        "binary",
        "not-utf-8",
    ],
)
def test_server_that_lies(shared, runtime, steps, cause):
    async def main():
        async with Liar(*steps) as liar:
            places = {"host": liar.host, "port": liar.port}
            with echo_of(shared, runtime, QUICK, plain=True, **places) as device:
                await check_refused(device, shared.jid("dev"), cause, liar)

    asyncio.run(main())


@both
def test_server_that_says_nothing(shared, runtime):
    async def main():
        async with Liar() as liar:
            tune = {**QUICK, "login_timeout_s": 1}
            with echo_of(shared, runtime, tune, host=liar.host, port=liar.port) as device:
                cause = "the login took too long"
                await check_refused(device, shared.jid("dev"), cause, liar)

    asyncio.run(main())
