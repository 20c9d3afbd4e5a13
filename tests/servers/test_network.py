"""The lab's faulty network does what it is told to, and nothing else."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import pytest

from host_tools.lab import network as lab_network
from host_tools.lab.errors import LabError, LabTimeout
from host_tools.lab.network import PORTAL, FaultyNetwork
from host_tools.lab.schedule import ALL_KINDS, NETWORK_KINDS, Fault, Schedule

LIMIT_S = 20.0
#: Nothing comes within this, where nothing is to come.
SILENCE_S = 0.15


def run(main):
    asyncio.run(asyncio.wait_for(main(), 60))


class Echo:
    """A server that gives back what it gets; `ends` are how its connections ended, "FIN" or
    "RST", `got` what each one got, read by read."""

    async def __aenter__(self):
        self.ends = []
        self.got = []
        self.writers = []
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host, self.port = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self.writers:
            writer.close()

    async def _serve(self, reader, writer):
        got = []
        self.got.append(got)
        self.writers.append(writer)
        try:
            while data := await reader.read(65536):
                got.append(data)
                writer.write(data)
                await writer.drain()
            self.ends.append("FIN")
        except ConnectionResetError:
            self.ends.append("RST")
        finally:
            writer.close()

    async def ended(self, number=1):
        async with asyncio.timeout(LIMIT_S):
            while len(self.ends) < number:
                await asyncio.sleep(0.005)
        return self.ends


@asynccontextmanager
async def world(**options):
    async with Echo() as server, FaultyNetwork(server.host, server.port, **options) as network:
        yield server, network


class Client:
    def __init__(self, network):
        self._at = network.host, network.port

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(*self._at)
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    async def ask(self, data=b"ping"):
        """Whether all comes back, and after how many seconds."""
        begin = time.monotonic()
        self.writer.write(data)
        async with asyncio.timeout(LIMIT_S):
            assert await self.reader.readexactly(len(data)) == data
        return time.monotonic() - begin

    async def at_best(self, data=b"ping"):
        """As ask, where the machine may be busy with other things."""
        return min([await self.ask(data) for _ in range(5)])

    async def is_silent(self):
        try:
            async with asyncio.timeout(SILENCE_S):
                return await self.reader.read(1) is None
        except TimeoutError:
            return True

    async def end(self):
        """How the connection ends, after what it still says."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while await self.reader.read(100):
                    pass
            return "FIN"
        except ConnectionResetError:
            return "RST"


def test_without_a_fault_it_is_a_relay():
    big = bytes(range(256)) * 8192  # more than all buffers

    async def main():
        async with world() as (server, network), Client(network) as client:
            await client.ask(b"one")
            await client.ask(big)
            assert bytes(network.sent[0]) == (b"one" + big)[: lab_network.MAX_KEPT]
            size = 3 + len(big)
            assert (network.count.up, network.count.down) == (size, size)
            assert network.connections[0].passed == 2 * size
            client.writer.write_eof()
            assert await client.end() == "FIN"
            assert await server.ended() == ["FIN"]
            assert len(network.opened) == 1
            await network.wait_until(lambda: not network.connections, "end")

    run(main)


def test_only_the_last_connections_are_recorded(monkeypatch):
    monkeypatch.setattr(lab_network, "MAX_RECORDED", 2)

    async def main():
        async with world() as (_, network):
            for n in range(3):
                async with Client(network) as client:
                    await client.ask(b"%d" % n)
            assert [bytes(s) for s in network.sent] == [b"", b"1", b"2"]

    run(main)


def test_connections_have_a_bound(monkeypatch):
    monkeypatch.setattr(lab_network, "MAX_CONNECTIONS", 1)

    async def main():
        async with world() as (_, network), Client(network) as first:
            await first.ask()
            async with Client(network) as second:
                assert await second.end() == "FIN"
            await first.ask()

    run(main)


@pytest.mark.parametrize("later", [False, True], ids=["present", "later"])
def test_delay(later):
    async def main():
        async with world() as (server, network):
            if later:
                network.delay(0.1, 0.05)
            async with Client(network) as client:
                if not later:
                    await client.ask()
                    network.delay(0.1, 0.05)
                assert 0.14 < await client.ask() < 5
                # The order is kept, though the second has the shorter way
                client.writer.write(b"first")
                await network.wait_until(lambda: network.sent[0].endswith(b"first"), "first")
                network.delay(0.0)
                client.writer.write(b"second")
                assert await client.reader.readexactly(11) == b"firstsecond"
                assert await client.at_best() < 0.1

    run(main)


def test_delay_counts_round_trips():
    async def main():
        async with world() as (_, network), Client(network) as client:
            network.delay(0.03)
            for _ in range(3):
                client.writer.write(b"ab")
                await asyncio.sleep(0.005)
                client.writer.write(b"cd")
                assert await client.reader.readexactly(4) == b"abcd"
            assert network.count.round_trips == 3

    run(main)


def test_jitter_comes_from_the_seed():
    def delays(seed):
        network = FaultyNetwork("127.0.0.1", None, seed=seed)
        return [network._random.random() for _ in range(4)]

    assert delays(1) == delays(1) != delays(2)

    async def main():
        async with world(seed=1) as (_, network), Client(network) as client:
            network.delay(0.0, jitter_s=0.05)
            data = bytes(range(200))
            for i in range(0, 200, 20):
                client.writer.write(data[i : i + 20])
                await asyncio.sleep(0)
            assert await client.reader.readexactly(200) == data

    run(main)


def test_cut():
    async def main():
        async with world() as (server, network), Client(network) as client:
            await client.ask()
            network.hold()
            client.writer.write(b"lost")
            await network.wait_until(lambda: network.sent[0].endswith(b"lost"), "bytes")
            network.cut()
            assert await client.end() == "FIN"
            assert await server.ended() == ["FIN"]
            assert server.got == [[b"ping"]]

    run(main)


def test_reset():
    async def main():
        async with world() as (server, network), Client(network) as client:
            await client.ask()
            network.reset()
            assert await client.end() == "RST"
            assert await server.ended() == ["RST"]

    run(main)


def test_resets_of_either_side_go_through():
    async def main():
        async with world() as (server, network):
            async with Client(network) as client:
                await client.ask()
                lab_network._reset(client.writer)
                assert await server.ended() == ["RST"]
            async with Client(network) as client:
                await client.ask()
                lab_network._reset(server.writers[1])
                assert await client.end() == "RST"

    run(main)


def test_one_connection_of_two():
    async def main():
        async with world() as (_, network), Client(network) as one:
            await one.ask()
            async with Client(network) as two:
                await two.ask()
                first, second = network.connections
                first.hold()
                one.writer.write(b"x")
                await two.ask()
                second.reset()
                assert await two.end() == "RST"
                assert await one.is_silent()
                first.release()
                assert await one.reader.readexactly(1) == b"x"

    run(main)


def test_hold_and_stall():
    async def main():
        async with world() as (_, network), Client(network) as client:
            await client.ask()
            network.hold()
            client.writer.write(b"held")
            assert await client.is_silent()
            async with Client(network) as other:  # it connects, and that is all
                other.writer.write(b"too")
                assert await other.is_silent()
                network.release()
                assert await other.reader.readexactly(3) == b"too"
            assert await client.reader.readexactly(4) == b"held"
            begin = time.monotonic()
            network.stall(0.2)
            await client.ask()
            assert time.monotonic() - begin > 0.19
            network.stall(60)
            network.release()
            await client.ask()
            begin = time.monotonic()
            network.connections[0].stall(0.1)
            await client.ask()
            assert time.monotonic() - begin > 0.09

    run(main)


def test_held_bytes_have_a_bound():
    """Then the sender waits."""

    async def main():
        async with world() as (_, network), Client(network) as client:
            network.hold()
            before = -1
            client.writer.write(bytes(64 << 20))
            while network.count.up > before:
                before = network.count.up
                await asyncio.sleep(0.1)
            assert before <= lab_network.MAX_BUFFER + lab_network.CHUNK

    run(main)


def test_throttle():
    async def main():
        async with world() as (_, network), Client(network) as client:
            network.throttle(5000)
            assert 0.3 < await client.ask(bytes(2000)) < 5
            network.throttle(None)
            assert await client.at_best(bytes(2000)) < 0.3
            with pytest.raises(LabError, match="0 bytes per second"):
                network.throttle(0)

    run(main)


def test_split():
    async def main():
        async with world() as (server, network), Client(network) as client:
            await client.ask(bytes(100))
            network.split()
            await client.ask(bytes(100))
            reads = [len(data) for data in server.got[0]]
            # The receiver may be slower than the segments come
            assert reads[0] == 100 and len(reads) > 50
            network.split(False)
            await client.ask(bytes(100))
            assert len(server.got[0][-1]) == 100

    run(main)


def test_half_open_with_the_server_closed():
    async def main():
        async with world() as (server, network), Client(network) as client:
            await client.ask()
            network.half_open()
            assert await server.ended() == ["FIN"]
            client.writer.write(b"into the dark")
            assert await client.is_silent()
            assert network.sent[0] == b"pinginto the dark"
            async with Client(network) as other:
                await other.ask()
            client.writer.write_eof()
            await network.wait_until(lambda: len(network.connections) == 0, "end")

    run(main)


def test_half_open_with_the_server_kept():
    """It has the connection still when the client has long gone."""

    async def main():
        async with world() as (server, network):
            async with Client(network) as client:
                await client.ask()
                network.half_open(server_closed=False)
                client.writer.write(b"x")
                assert await client.is_silent()
            async with Client(network) as other:
                await other.ask()
                server.writers[0].write(b"are you there?")
                await server.writers[0].drain()
                assert server.ends == []
                network.connections[0].reset()
                assert await server.ended() == ["RST"]
                await other.ask()

    run(main)


@pytest.mark.parametrize("reset", [False, True])
def test_refuse(reset):
    async def main():
        async with world() as (server, network), Client(network) as client:
            await client.ask()
            network.refuse(reset=reset)
            async with Client(network) as other:
                other.writer.write(b"hello")
                assert await other.end() == ("RST" if reset else "FIN")
            await client.ask()
            network.accept()
            async with Client(network) as other:
                await other.ask()
            assert len(network.opened) == len(network.sent) == 3 and len(server.got) == 2

    run(main)


def test_nobody_behind_it():
    async def main():
        async with FaultyNetwork("127.0.0.1", None) as network, Client(network) as client:
            client.writer.write(b"hello")
            assert await client.end() == "FIN"

    run(main)


def test_swallow():
    async def main():
        async with world() as (server, network):
            network.swallow()
            async with Client(network) as client:
                client.writer.write(b"hello")
                assert await client.is_silent()
                network.accept()
                assert await client.is_silent()
                assert network.sent[0] == b"hello" and server.got == []
                network.reset()
                assert await client.end() == "RST"

    run(main)


def test_babble():
    async def main():
        async with world() as (server, network):
            network.babble()
            async with Client(network) as client:
                client.writer.write(b"<stream")
                assert await client.reader.read() == PORTAL
            assert server.got == []

    run(main)


def test_server_that_is_not_there():
    async def main():
        # As long as it is bound, the port is nobody else's, and nobody listens there
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            async with FaultyNetwork(*bound.getsockname()) as network, Client(network) as client:
                assert await client.end() == "FIN"

    run(main)


def test_address_that_is_not_ours():
    async def main():
        with pytest.raises(LabError, match="cannot listen on 192.0.2.1:0"):
            async with FaultyNetwork("127.0.0.1", None, listen="192.0.2.1"):
                pass

    run(main)


# schedules


def test_schedule_is_its_seed():
    one = Schedule(7, 200)
    assert list(one) == list(Schedule(7, 200)) != list(Schedule(8, 200))
    assert {f.kind for f in one} == set(ALL_KINDS)
    # The same on every machine and with every Python
    assert [str(f) for f in one[:2]] == [
        "delay after 4 B of 0.0062 s for 0.343 s",
        "throttle after 1 B of 238 B/s for 0.278 s",
    ]
    assert str(one).splitlines()[:2] == ["seed 7", f"0: {one[0]}"]
    assert all(1 <= f.after <= 16_384 and 0 <= f.seconds <= 0.5 for f in one)
    assert {f.variant for f in one if f.kind == "half_open"} == {"closed", "kept"}
    assert {f.kind for f in Schedule(7, 50, ("cut",))} == {"cut"}


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Fault("flood"), "there is no fault 'flood', only cut"),
        (lambda: Fault("cut", variant="deep"), "cut: there is no variant 'deep'"),
        (lambda: Schedule(1, 1, ("flood",)), "there is no fault 'flood'"),
        (lambda: Schedule(1, 1, ()), "at least one kind"),
    ],
)
def test_fault_that_is_none(make, why):
    with pytest.raises(LabError, match=why):
        make()


async def chatter(network, stop):
    """A client that comes back after every fault, and gives up on a silent line."""
    while not stop.is_set():
        try:
            async with Client(network) as client:
                while not stop.is_set():
                    async with asyncio.timeout(0.15):
                        client.writer.write(b"ping")
                        assert await client.reader.readexactly(4) == b"ping"
        except (OSError, TimeoutError, asyncio.IncompleteReadError, AssertionError):
            await asyncio.sleep(0.01)


def test_play_every_kind():
    schedule = Schedule(3, 40, NETWORK_KINDS, shortest_s=0.01, longest_s=0.05, most_bytes=500)
    assert {f.kind for f in schedule} == set(NETWORK_KINDS)

    async def main():
        async with world() as (_, network):
            network.delay(0.001)
            stop = asyncio.Event()
            client = asyncio.create_task(chatter(network, stop))
            done = await network.play(schedule)
            assert [entry.fault for entry in done] == list(schedule)
            assert all(e.up and e.waited <= e.began <= e.ended for e in done), network.story()
            assert len(network.story().splitlines()) == len(schedule)
            # Nothing goes on after it, but for what went on before
            await network.wait_up(100)
            assert network.newcomers == "accept"
            assert network._later._delays == (0.001, 0.001)
            stop.set()
            await client

    run(main)


def test_play_with_a_server():
    """Its functions run beside the loop, and it comes back by `restart`."""
    calls = []

    def call(name):
        time.sleep(0.02)
        calls.append(name)

    names = ("stop", "kill", "restart", "forget")
    server = {name: lambda name=name: call(name) for name in names}

    async def main():
        async with world() as (_, network):
            stop = asyncio.Event()
            client = asyncio.create_task(chatter(network, stop))
            faults = Schedule(5, 12, names, longest_s=0.06)
            await network.play(faults, 0.01, server=server)
            stop.set()
            await client
        expected = []
        for fault in faults:
            expected.append(fault.kind)
            if fault.kind in ("stop", "kill"):
                expected.append("restart")
        assert calls == expected

    run(main)


def test_play_without_what_it_needs():
    async def main():
        async with world() as (_, network):
            with pytest.raises(LabError, match="needs a server's restart, stop"):
                await network.play(Schedule(1, 2, ("stop",)))
            # Nobody connects: it says so, and goes on
            done = await network.play(Schedule(1, 2, ("cut",)), limit_s=0.05)
            assert [e.up for e in done] == [False, False]
            assert network.story().count("(no connection)") == 2
            with pytest.raises(LabTimeout, match="no connection that carries 1 bytes"):
                await network.wait_up(limit_s=0.01)

    run(main)


def test_its_end_ends_all(monkeypatch):
    """Held, half open and swallowed connections too."""
    monkeypatch.setattr(lab_network, "LINGER_S", LIMIT_S)

    async def main():
        async with world() as (_, network):
            clients = [Client(network) for _ in range(3)]
            for client, change in zip(
                clients, (network.half_open, network.swallow, network.hold), strict=True
            ):
                await client.__aenter__()
                if change != network.swallow:
                    network.accept()
                change()
            begin = time.monotonic()
        assert time.monotonic() - begin < LIMIT_S
        for client in clients:
            client.writer.close()

    run(main)
