"""Where a device connects: SRV records, and what stands in its configuration."""

import asyncio
import re
import struct

import pytest

from host_tools.lab.dns_server import SRV, A, DnsServer, reply
from host_tools.lab.ports import Ports

from .helper import Relay, both, check_pauses, echo_of, failed_tries, online, own_loopback

QUICK = {"first_pause_s": 0.4}
NOBODY = r"lab\.example:5222: (DNS: lab\.example: .*|\[Errno -\d\] .*)"
PATIENCE = {"TIMEOUT_S": 1, "TRIES": 1}
TLS = ("_xmpps-client._tcp.lab.example", SRV)
STARTTLS = ("_xmpp-client._tcp.lab.example", SRV)


def unled(lab, runtime, dns, patience=None, **changes):
    """A device that is told of no server, only of the DNS."""
    changes = {"host": None, "port": None, "nameserver": dns.address, **changes}
    return echo_of(lab, runtime, QUICK, patience, **changes)


def run(main):
    asyncio.run(asyncio.wait_for(main(), 60))


@both
@pytest.mark.parametrize("direct", [False, True], ids=["starttls", "direct"])
def test_srv_finds_the_port(shared, runtime, direct):
    server = shared.server
    port = server.c2s_tls_port if direct else server.c2s_port
    records = {TLS if direct else STARTTLS: [(5, 0, port, "localhost")]}

    async def main():
        with DnsServer(records) as dns, unled(shared, runtime, dns) as device:
            await online(device)
            assert set(dns.queries) == {TLS, STARTTLS}

    run(main)


def test_target_is_resolved_with_the_same_dns(shared):
    """On a board; CPython asks its system."""
    target = "xmpp.lab.example"
    records = {STARTTLS: [(5, 0, shared.server.c2s_port, target)], (target, A): ["127.0.0.1"]}

    async def main():
        with DnsServer(records) as dns, unled(shared, "32", dns) as device:
            await online(device)
            assert (target, A) in dns.queries

    run(main)


@both
def test_dead_server_is_passed_over(shared, runtime):
    """The best one first, the next one where it does not answer."""
    port = shared.server.c2s_port

    async def main():
        with Ports(1) as nobody:
            async with Relay("127.0.0.1", port) as second, Relay("127.0.0.1", port) as third:
                records = {
                    TLS: [(1, 0, nobody.numbers[0], "localhost")],
                    STARTTLS: [
                        (30, 0, third.port, "localhost"),
                        (20, 0, second.port, "localhost"),
                    ],
                }
                with DnsServer(records) as dns, unled(shared, runtime, dns) as device:
                    await online(device)
                    assert "next try" not in device.output()
                assert len(second.sent) == 1 and not third.sent

    run(main)


@both
def test_configured_place_wins(shared, runtime):
    async def main():
        records = {STARTTLS: [(5, 0, 1, "localhost")]}
        server = shared.server
        with (
            DnsServer(records) as dns,
            unled(shared, runtime, dns, host=server.host, port=server.c2s_port) as device,
        ):
            await online(device)
            assert not dns.queries

    run(main)


def test_configured_port_is_the_domains(shared):
    """No SRV then, but the address of the domain."""

    async def main():
        with (
            DnsServer({("lab.example", A): ["127.0.0.1"]}) as dns,
            unled(shared, "32", dns, port=shared.server.c2s_port) as device,
        ):
            await online(device)
            assert dns.queries == [("lab.example", A)]

    run(main)


def test_without_srv_the_domain_itself_is_the_server(shared):
    address = own_loopback()
    records = {("lab.example", A): [address]}

    async def main():
        async with Relay("127.0.0.1", shared.server.c2s_port, listen=address, at=5222) as relay:
            with DnsServer(records) as dns, unled(shared, "32", dns) as device:
                await online(device)
                assert dns.queries == [TLS, STARTTLS, ("lab.example", A)]
                assert len(relay.sent) == 1

    run(main)


@both
def test_no_srv_and_nobody_at_the_domain(shared, runtime):
    """On CPython the system's resolver looks for the address of lab.example, which nobody has."""
    records = {("lab.example", A): [own_loopback()]}

    async def main():
        with DnsServer(records) as dns, unled(shared, runtime, dns) as device:
            for why, _ in await failed_tries(device, shared.jid("dev"), 1, 40):
                assert why.startswith("lab.example:5222: ")
            assert dns.queries[:2] == [TLS, STARTTLS]

    run(main)


def test_no_address_at_all(shared):
    async def main():
        with DnsServer() as dns, unled(shared, "32", dns) as device:
            for why, _ in await failed_tries(device, shared.jid("dev"), 2):
                assert why == "lab.example:5222: DNS: lab.example has no address"

    run(main)


@both
def test_silent_dns(shared, runtime):
    """One line a try, and pauses that may grow; when the DNS is there again, so is the device."""

    async def main():
        records = {STARTTLS: [(5, 0, shared.server.c2s_port, "localhost")]}
        with (
            DnsServer(records, lambda packet: []) as dns,
            unled(shared, runtime, dns, PATIENCE) as device,
        ):
            found = await failed_tries(device, shared.jid("dev"), 3)
            # The domain itself may be a server's name, and CPython has another resolver for it
            assert all(re.fullmatch(NOBODY, why) for why, _ in found), found
            check_pauses(found, QUICK["first_pause_s"])
            assert len(device.output().splitlines()) == len(found)
            dns.answer = lambda packet: [reply(packet, dns.records)]
            await online(device)

    run(main)


@both
def test_dns_that_nobody_serves(shared, runtime):
    async def main():
        with DnsServer() as dns:
            pass
        with unled(shared, runtime, dns, PATIENCE) as device:
            found = await failed_tries(device, shared.jid("dev"), 2)
            assert all(re.fullmatch(NOBODY, why) for why, _ in found), found
            assert len(device.output().splitlines()) == len(found)

    run(main)


def malformed(packet):
    """Answers that make no sense, each with the right id."""
    head = packet[:2] + b"\x85\x80" + struct.pack("!4H", 1, 1, 0, 0) + packet[12:]
    record = struct.pack("!HHIH", SRV, 1, 60, 7)
    return [
        b"",
        packet[:1],
        packet[:2],
        packet[:2] + b"\x85\x80",
        packet[:2] + b"\x85\x80" + b"\xff" * 8,
        packet[:2] + b"\x85\x80" + b"\xff" * 500,
        head,
        head + b"\xc0",
        head + b"\xc0\x0c" + record,  # without its data
        head + b"\xc0\x0c" + record + b"\0\0\0\0\0\1",  # cut in it
        head + b"\xc0\x0c" + record + b"\0\0\0\0\0\1\xc0",  # a name that goes on after the end
        head + b"\xc0\x0c" + record + b"\0\0\0\0\0\1\xff\xff",
        head + b"\xc0" + bytes([len(head)]) + record + b"\0" * 7,  # a name that is its own rest
        head + b"\xc0\x0c" + record + b"\0\0\0\0\0\1\3\xff\xfe\xfd\0",  # not UTF-8
        head + b"\xc0\x0c" + struct.pack("!HHIH", SRV, 1, 60, 65535) + b"\0" * 7,
    ]


@both
def test_malformed_answers(shared, runtime):
    """One line each, and the device tries again."""

    async def main():
        records = {STARTTLS: [(5, 0, shared.server.c2s_port, "localhost")]}
        bad = list(range(len(malformed(bytes(40)))))

        def answer(packet):
            # To each question the next one, and in the end the right one
            return [malformed(packet)[bad.pop(0)]] if bad else [reply(packet, dns.records)]

        tune = {"first_pause_s": 0.01, "max_pause_s": 0.01}
        with DnsServer(records, answer) as dns:
            changes = {"host": None, "port": None, "nameserver": dns.address}
            with echo_of(shared, runtime, tune, PATIENCE, **changes) as device:
                await online(device, limit_s=30)
                assert not bad
                whys = {why for why, _ in await failed_tries(device, shared.jid("dev"), 1)}
                assert all(why.startswith("DNS: _xmpp") for why in whys if "5222" not in why)
                assert "Traceback" not in device.output()
                for line in device.output().splitlines()[:-1]:
                    assert "; next try in 0.0 s" in line, line

    run(main)


@both
def test_answers_to_other_questions_are_passed_over(shared, runtime):
    """A wrong id first, a question instead of an answer, then the right one."""

    async def main():
        port = shared.server.c2s_port

        def answer(packet):
            right = reply(packet, dns.records)
            lie = reply(packet, {TLS: [(0, 0, 1, "localhost")]})
            other = bytes([packet[0] ^ 1]) + lie[1:]
            return [other, packet, right]

        with (
            DnsServer({STARTTLS: [(5, 0, port, "localhost")]}, answer) as dns,
            unled(shared, runtime, dns) as device,
        ):
            await online(device)
            assert "next try" not in device.output()

    run(main)
