"""Programs for MQTT and a Thing: they read its sensors and set its controls, as far as their role
goes, and it hears and publishes topics as they do."""

import asyncio
import re
from contextlib import AsyncExitStack
from importlib import import_module

import pytest

from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.lab import Lab
from host_tools.lab.prosody import Prosody

from .helper import PASSWORDS, Relay, device_of, lines, online, owner_of, until

ACCOUNTS = {**PASSWORDS, "hub": "of a program"}
OPTIONS = {
    Prosody: {
        "settings": {"add_permissions": {"prosody:registered": ["pubsub:create-node"]}},
        "modules": ("offline",),
    },
    Ejabberd: {},
}
NOT_AUTHORIZED = 0x87


class Program:
    """A program with umqtt.simple, in a thread. `got` is what came, (topic, message)."""

    def __init__(self, lab, user, people=()):
        simple = import_module("umqtt.simple")
        self.Error = simple.MQTTException
        params = {"ca": str(lab.ca_pem), "host": lab.server.host, "port": lab.server.c2s_port}
        self._client = client = simple.MQTTClient(
            user, lab.domain, user=lab.jid(user), password=lab.accounts[user], ssl_params=params
        )
        client.people = people
        self.got = []
        client.set_callback(lambda topic, msg: self.got.append((topic.decode(), msg)))

    def __getattr__(self, name):
        async def call(*args, **options):
            return await asyncio.to_thread(getattr(self._client, name), *args, **options)

        return call

    async def __aenter__(self):
        await self.connect()
        # A topic that is new is found soon
        self._client.topics.rescan_s = 0.3
        return self

    async def __aexit__(self, *why):
        await self.disconnect()

    async def until(self, *wanted):
        """Wait until each of these has come since the last call."""

        async def come():
            while not set(wanted) <= set(self.got):
                await self.check_msg()
                await asyncio.sleep(0.01)

        try:
            await asyncio.wait_for(come(), 30)
        except TimeoutError:
            raise AssertionError(f"{wanted}: there is but {self.got}") from None
        self.got.clear()

    async def subscribed(self, *nodes):
        """Wait until it has found these topics, and take what they hold."""
        found = self._client.topics.subscribed
        while not set(nodes) <= set(found):
            await self.check_msg()
            await asyncio.sleep(0.01)

    async def twice(self, topic, msg):
        """Publish the same message again, as one that has no answer would, after it was left as a
        last will."""
        drive = import_module("umqtt.simple").drive
        for item in ("will", None, None):
            made = self._client.topics.publish(topic, msg, qos=1, item=item, attrs={"n": "again"})
            await asyncio.to_thread(drive, made)

    async def fails(self, name, *args, **options):
        """Whether it may not do that, and is told so."""
        try:
            await getattr(self, name)(*args, **options)
        except self.Error as e:
            code, text = e.args
            assert code == NOT_AUTHORIZED and args[0] in text and "\n" not in text
            return True
        return False


def server_param(server):
    name = server.__name__.lower()
    return pytest.param(server, id=name, marks=pytest.mark.xdist_group(f"topics-{name}"))


@pytest.mark.parametrize("server", [server_param(server) for server in OPTIONS])
def test_a_thing_and_programs(server):
    with Lab(ACCOUNTS, server=server, **OPTIONS[server]) as lab:
        asyncio.run(asyncio.wait_for(main(lab), 120))


async def main(lab):
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        hub = await enter(Program(lab, "hub", [lab.jid("dev")]))
        await hub.publish("garden/south/temperature", "7", True, 1)
        # Somebody who has no role was there first, and would share the topics with the device
        stranger = await enter(Program(lab, "stranger", [lab.jid("dev")]))
        for topic in ("dev/relay", "dev/relay/set"):
            await stranger.publish(topic, "off", qos=1)
            await stranger.subscribe(topic)
        relay = await enter(Relay(lab.server.host, lab.server.c2s_port))
        device = device_of(
            lab, "32", "mqtt", operators=[lab.jid("hub")], viewers=[lab.jid("idle")],
            surfaces=["chat", "pubsub"], host=relay.host, port=relay.port,
            pubsub={"service": f"pubsub.{lab.domain}", "payload": "mqtt", "min_s": 0},
        )  # fmt: skip
        stack.enter_context(device)
        owner = await enter(owner_of(lab))
        viewer = await enter(Program(lab, "idle"))
        jid = await online(device)

        # What is retained, by name and by filter
        await hub.subscribe("dev/+")
        await hub.subscribe("dev/+/set")
        await hub.until(
            ("dev/temperature", b"21.5"), ("dev/relay", b"off"), ("dev/setpoint", b"20.0")
        )
        await hub.subscribed("dev/relay/set", "dev/setpoint/set", "dev/beep/set")

        # Set, and what comes of it
        await hub.publish("dev/relay/set", b"on", retain=True)
        await hub.until(("dev/relay", b"on"), ("dev/relay/set", b"on"))
        await hub.publish("dev/setpoint/set", "23,125 °C", qos=1)
        await hub.until(("dev/setpoint", b"23.125"), ("dev/temperature", b"24.375"))
        await hub.twice("dev/beep/set", "3")
        await hub.until(("dev/beep", b"done"))
        for bad in ("99", "", b"\xff\xfe", "x" * 9000):
            await hub.publish("dev/setpoint/set", bad, qos=1)
        wrong = r"^setpoint/set: must be a (number, 5 to 30 °C, not (99|nothing)|text) \(hub@"
        await lines(device, wrong, 3)
        await lines(device, "^mqtt: a message was too long$")
        # No reading is no value: b"", and nothing that is retained
        await hub.publish("dev/setpoint/set", "26")
        await hub.until(("dev/setpoint", b"26.0"), ("dev/temperature", b""))
        said = device.output()
        assert said.count("beep 3 by hub@") == 1 and said.count("setpoint 2") == 2
        assert f"relay on by {lab.jid('hub')} (mqtt)" in said

        # Who may not
        await viewer.subscribe("dev/relay")
        await viewer.subscribe("dev/temperature")
        await viewer.until(("dev/relay", b"on"))
        assert viewer.got == []
        for program, topic in ((hub, "pin"), (viewer, "relay"), (stranger, "relay")):
            assert await program.fails("publish", f"dev/{topic}/set", "0", qos=1)
            assert await program.fails("subscribe", f"dev/{topic}/set")
        assert await stranger.fails("subscribe", "dev/relay")
        stranger.got.clear()
        await hub.publish("dev/relay/set", b"on", qos=1)
        await stranger.check_msg()
        assert stranger.got == []

        # What came late, as the line was cut, is not done
        relay.newcomers = "close"
        relay.reset()
        await until(lambda: not relay.connections, "end of the line")
        await hub.publish("dev/relay/set", "off", qos=1)
        relay.newcomers = "accept"
        await lines(device, r"^relay/set: it is late: not done \(hub@")

        # The program of the Thing: it hears, and publishes for the owners what it heard
        await lines(device, "^heard garden/south/temperature b'7'$")
        async with Program(lab, "owner") as other:
            await other.subscribe("dev/garden")
            await other.until(("dev/garden", b"garden/south/temperature=7"))
            for msg in ("fail", "8"):
                await hub.publish("garden/south/temperature", msg, qos=1)
            await other.until(("dev/garden", b"garden/south/temperature=8"))
            await other.publish("dev/pin/set", "secret", qos=1)
            await lines(device, r"^pin/set: no such value \(owner@")
        await lines(device, r"^topic garden/south/temperature: ValueError\('no such garden',?\)")

        # Roles: one that is taken ends it all, one that is given begins it
        role = f"role {lab.jid('hub')} "
        assert (await answer(owner, jid, role + "none")).endswith(": none")
        async with asyncio.timeout(30):
            # As fast as it can
            while not await hub.fails("publish", "dev/relay/set", "off", qos=1):
                pass
            while not await hub.fails("subscribe", "dev/setpoint"):
                await asyncio.sleep(0.05)
        await answer(owner, jid, role + "operator")
        async with asyncio.timeout(30):
            while await hub.fails("publish", "dev/relay/set", "off", qos=1):
                await asyncio.sleep(0.05)
        await viewer.until(("dev/relay", b"off"))
        assert device.output().count("relay off by ") == 1
        status = await answer(owner, jid, "status")
        counts = re.search(r"(\d+) faults, (\d+) dropped, (\d+) refused", status)
        # Another session hears again what is retained, and finds its topics as they were
        device.stop()
        device.start()
        await lines(device, "^heard garden/south/temperature b'7'$", 2)
        await viewer.until(("dev/relay", b"off"))
        assert counts and min(int(n) for n in counts.groups()) > 0


async def answer(owner, jid, text):
    """What the device answers, among its reports."""
    owner.messages.clear()
    await owner.say(jid, text)
    word = text.split()[1] if text.startswith("role") else "up "
    while word not in (said := (await owner.next_message(jid)).body):
        pass
    return said
