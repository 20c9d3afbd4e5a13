"""Servers that speak with each other: a Prosody, an ejabberd, and one that neither believes."""

import asyncio
import socket
import ssl
import time
import xml.etree.ElementTree as ET

import dns.exception
import dns.resolver
import pytest

from host_tools.lab.certs import Authority
from host_tools.lab.dns_server import SRV, A, DnsServer
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.errors import LabError
from host_tools.lab.federation import Federation
from host_tools.lab.owner import Owner
from host_tools.lab.ports import accepts
from host_tools.lab.prosody import Prosody

from .helper import LIMIT_S, condition, device_of, owner_of, pinged, ready, recorded

# One worker starts the servers for all
pytestmark = pytest.mark.xdist_group("federation")

PUBSUB = "http://jabber.org/protocol/pubsub"
PING = "<ping xmlns='urn:xmpp:ping'/>"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
STREAMS = "{http://etherx.jabber.org/streams}"
STREAM_ERRORS = "{urn:ietf:params:xml:ns:xmpp-streams}"
TLS = "{urn:ietf:params:xml:ns:xmpp-tls}"
SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
DIALBACK = "{urn:xmpp:features:dialback}dialback"
REFUSED_PLAIN = ("policy-violation", "unsupported-stanza-type")
LONG = "ж" * 35_000  # 70,000 bytes
MEMBERS = {"a.example": {"owner": "open sesame"}, "b.example": {"owner": "x", "dev": "its own"}}
CREATION = {"add_permissions": {"prosody:registered": ["pubsub:create-node"]}}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("foreign"), "another CA")


@pytest.fixture(scope="module")
def world(foreign):
    stranger = foreign.issue("c.example", names=("*.c.example",))
    members = {
        "a.example": (Prosody, MEMBERS["a.example"], {"settings": CREATION}),
        "b.example": (Ejabberd, MEMBERS["b.example"]),
        "c.example": (Prosody, {"eve": "let me in"}, {"certificate": stranger}),
    }
    with Federation(members) as world:
        yield world


def run(main):
    asyncio.run(asyncio.wait_for(main(), 120))


async def done(owner, to, payload):
    """Ask for a change in a PubSub service; it must be done."""
    answer = await owner.iq(to, f"<pubsub xmlns='{PUBSUB}'>{payload}</pubsub>", "set")
    assert answer.get("type") == "result", ET.tostring(answer)


async def bounced(owner, to):
    """Say something to `to`, which cannot reach it; (type, condition, text) of the error."""
    await owner.say(to, "psst")

    def errors():
        return [m for m in owner.messages if (m.type, m.sender) == ("error", to)]

    await owner.until(errors, f"error from {to}", LIMIT_S)
    (error,) = errors()
    owner.messages.remove(error)
    return *condition(error.xml), error.xml.findtext(f".//{STANZAS}text")


def test_people_talk(world):
    a, b = world["a.example"], world["b.example"]
    assert a.authority is b.authority and a.ca_der.read_bytes() == b.ca_der.read_bytes()

    async def main():
        async with owner_of(a) as ann, owner_of(b) as ben:
            assert ann.jid == "owner@a.example" and ben.jid == "owner@b.example"
            for one, other in ((ann, ben), (ben, ann)):
                for text in ("to whom? <&>", LONG):
                    await one.say(other.jid, text)
                    assert (await other.next_message(one.jid)).body == text
            await ann.subscribe(ben.jid)
            ben.client.send_presence(pstatus="21.5 °C")
            await ann.presence(ben.jid, lambda p: p.status == "21.5 °C")

    run(main)


def test_events_of_the_other_servers_nodes(world):
    async def main():
        async with owner_of(world["a.example"]) as ann, owner_of(world["b.example"]) as ben:
            for host, guest in ((ben, ann), (ann, ben)):
                service = f"pubsub.{host.jid.partition('@')[2]}"
                await done(host, service, "<create node='home/temperature'/>")
                subscribe = f"<subscribe node='home/temperature' jid='{guest.jid}'/>"
                await done(guest, service, subscribe)
                got = recorded(guest)
                for value in ("21.5", "21.6"):
                    item = f"<item id='current'><x xmlns='urn:example:x'>{value}</x></item>"
                    await done(host, service, f"<publish node='home/temperature'>{item}</publish>")
                    path = f"./{{{PUBSUB}#event}}event//{{urn:example:x}}x"
                    await guest.until(
                        lambda got=got, path=path, value=value: any(
                            x.text == value for stanza in got for x in stanza.iterfind(path)
                        ),
                        "event",
                    )
                assert {s.get("from") for s in got if s.find(path) is not None} == {service}

    run(main)


def test_device_and_its_owner_on_another_server(world):
    """It is told of no server, only of the DNS."""
    where = {"host": None, "port": None, "nameserver": world.dns.address}
    a, b = world["a.example"], world["b.example"]

    async def main():
        async with owner_of(a) as ann:
            with device_of(b, "32", owners=[ann.jid], **where) as device:
                jid = await ready(device, ann)
                assert jid.startswith("dev@b.example/")
                assert await ann.ask(jid, "level") == "level: 20 cm"

    run(main)


def test_foreign_certificate_is_refused(world, foreign):
    """In both directions, by both servers; and the others go on."""
    a, b, c = world.labs.values()

    async def main():
        server = c.server
        eve = Owner(c.jid("eve"), "let me in", server.host, server.c2s_port, foreign.pem)
        async with owner_of(a) as ann, owner_of(b) as ben, eve:
            for one, other in ((eve, ann), (eve, ben), (ann, eve), (ben, eve)):
                *why, text = await bounced(one, other.jid)
                assert why == ["wait", "remote-server-timeout"]
                assert "certificate" in text or "authenticate" in text, text
            for owner in (ann, ben, eve):
                await pinged(owner)
                assert not [m for m in owner.messages if m.body]
            for one in (ann, ben):
                assert (await bounced(one, "x@nowhere.example"))[1] == "remote-server-not-found"
            await ann.say(ben.jid, "nobody there?")
            assert (await ben.next_message()).body == "nobody there?"

    run(main)


@pytest.mark.parametrize("domain", MEMBERS)
def test_nothing_without_tls_and_a_certificate(world, foreign, domain):
    """Without TLS there is nothing but TLS; after it a foreign certificate is no way in, and
    dialback (XEP-0220) is none at all."""
    server = world[domain].server
    header = (
        f"<?xml version='1.0'?><stream:stream from='c.example' to='{domain}' version='1.0' "
        "xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
        "xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    dialback = f"<db:result from='c.example' to='{domain}'>some key</db:result>"
    foreign_one = foreign.issue("c.example")
    context = ssl.create_default_context(cafile=world.authority.pem)
    context.load_cert_chain(foreign_one.cert_pem, foreign_one.key_pem)

    def connected():
        return socket.create_connection((server.host, server.s2s_port), timeout=LIMIT_S)

    with connected() as s:
        s.sendall(header.encode())
        (features,) = heard(s, f"{STREAMS}features")
        assert features.find(f"{TLS}starttls/{TLS}required") is not None
        assert not {e.tag for e in features} & {f"{SASL}mechanisms", DIALBACK}
        s.sendall(dialback.encode())
        (error,) = heard(s, f"{STREAMS}error", header)
        assert error[0].tag[len(STREAM_ERRORS) :] in REFUSED_PLAIN
    with connected() as s:
        s.sendall(header.encode())
        heard(s, f"{STREAMS}features")
        s.sendall(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        heard(s, f"{TLS}proceed", header)
        # The server's own certificate is for its services, too
        with context.wrap_socket(s, server_hostname=f"pubsub.{domain}") as secure:
            secure.sendall((header + dialback).encode())
            *before, error = heard(secure, f"{STREAMS}error")
            assert {e.tag for e in before} <= {f"{STREAMS}features"}
            assert DIALBACK not in {e.tag for features in before for e in features}
            assert error[0].tag == f"{STREAM_ERRORS}not-authorized"


def heard(s, last, header=""):
    """What a server says in a stream (that `header` has opened) up to the element `last`."""
    parser = ET.XMLPullParser(["start", "end"])
    parser.feed(header)
    found, depth = [], 0
    while True:
        for event, element in parser.read_events():
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 1:
                found.append(element)
                if element.tag == last:
                    return found
        got = s.recv(4096)
        assert got, f"the stream ended before {last}: {[ET.tostring(e) for e in found]}"
        parser.feed(got)


def test_server_that_was_away_is_found_again(world):
    a, b = world["a.example"], world["b.example"]

    async def main():
        async with owner_of(b) as ben:
            assert (await ben.iq(a.domain, PING)).get("type") == "result"
            await asyncio.to_thread(a.server.stop)
            answer = await ben.iq(a.domain, PING)
            assert condition(answer)[1].startswith("remote-server-")
            await asyncio.to_thread(a.server.start)
            end = time.monotonic() + LIMIT_S
            while (await ben.iq(a.domain, PING)).get("type") != "result":
                assert time.monotonic() < end
                await asyncio.sleep(0.1)

    run(main)


def test_failed_start_names_the_server_and_leaves_nothing(foreign):
    bad = {"settings": {"not a name": 1}}
    world = Federation({"a.example": (Prosody, {}), "b.example": (Prosody, {}, bad)})
    with pytest.raises(LabError, match=r"Prosody of b\.example ended with .*prosody\.cfg\.lua"):
        world.start()
    for lab in world.labs.values():
        assert not lab.folder.exists() and not accepts(lab.server.c2s_port)
    assert not world.folder.exists()
    with pytest.raises(LabError, match="needs TLS and an authority"):
        Federation({"a.example": (Prosody, {}, {"tls": False})})
    certificate = foreign.issue("a.example")
    with DnsServer() as own:
        with pytest.raises(LabError, match="password_hash is one of"):
            Federation({"a.example": (Ejabberd, {}, {"password_hash": "MD5"})})
        for server in (Prosody, Ejabberd):
            with pytest.raises(LabError, match="needs .*an authority"):
                server(dns=own, certificate=certificate)


def test_dns_as_an_independent_resolver_sees_it():
    records = {
        ("a.example", A): ["127.0.0.1"],
        ("_xmpp-server._tcp.a.example", SRV): [(5, 0, 4711, "localhost"), (9, 1, 4712, "b.c")],
    }
    with DnsServer(records) as own:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = [own.host], own.port
        resolver.lifetime = LIMIT_S
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for rubbish in (b"", b"\0" * 12, b"\1" * 40, b"\0" * 12 + b"\2\xff\xff\0" + b"\0" * 4):
                s.sendto(rubbish, (own.host, own.port))
        found = resolver.resolve("_XMPP-server._tcp.A.example", "SRV")
        assert sorted(map(str, found)) == ["5 0 4711 localhost.", "9 1 4712 b.c."]
        assert [str(r) for r in resolver.resolve("a.example", "A")] == ["127.0.0.1"]
        # A name without such records, one that only others lie below, and one that is none
        for name in ("a.example", "example"):
            with pytest.raises(dns.resolver.NoAnswer):
                resolver.resolve(name, "AAAA")
        with pytest.raises(dns.resolver.NXDOMAIN):
            resolver.resolve("c.example", "A")
        assert ("a.example", A) in own.queries
    with pytest.raises(dns.exception.Timeout):
        resolver.resolve("a.example", "A", lifetime=0.2)
