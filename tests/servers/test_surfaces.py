"""The example with one of each declaration, on a board's heap with all surfaces on: each of them
reached by every surface, by an independent client. And a surface that is off is never loaded."""

import asyncio
import json
import re
import shutil
import subprocess
import time

import pytest
from slixmpp.exceptions import IqError, IqTimeout

from host_tools.flash.mpy import FIRMWARE, LIBRARY_OPT, compile_tree
from host_tools.lab import micropython
from host_tools.lab.lab import Lab

from .helper import PASSWORDS, both, condition, device_of, online, owner_of, recorded, until
from .test_rooms import inside

SURFACES = ("chat", "forms", "history", "iot", "profile", "pubsub", "rich", "rooms", "schedule")
PLUGINS = (
    "xep_0004", "xep_0030", "xep_0045", "xep_0050", "xep_0060", "xep_0115", "xep_0163",
    "xep_0323", "xep_0325",
)  # fmt: skip
#: What greenhouse.py declares, and what each is at the start.
STATES = {
    "temperature": "21.5 °C",
    "visitor": "empty",
    "light": "off",
    "vent": "closed",
    "pause": "8 h",
    "opened": "nothing yet",
}
SET = ("light", "vent", "pause")
DONE = ("water", "drain")
ERROR = "{jabber:client}error"
JSON = "{urn:xmpp:json:0}json"
LIMIT_S = 20.0


@pytest.fixture(scope="module")
def lab():
    with Lab(PASSWORDS) as lab:
        yield lab


#: An account for each.
USERS = {"32": "dev", "cpython": "idle"}


def greenhouse_of(lab, runtime):
    """The device, with everything on; it is not started."""
    return device_of(
        lab,
        runtime,
        "greenhouse",
        USERS[runtime],
        surfaces=list(SURFACES),
        name="greenhouse",
        rooms=[f"garden{runtime}@conference.{lab.domain}"],
        pubsub={"min_s": 0.3},
        profile={"nick": "Greenhouse", "location": {"lat": 52.5, "lon": 13.4}},
        timezone="CET-1CEST,M3.5.0,M10.5.0/3",
    )


async def met(lab, owner, device):
    """The device's full JID, when the owner sees it."""
    jid = await online(device)
    await owner.subscribe(jid.partition("/")[0])
    await owner.presence(jid)
    return jid


def young(text):
    """An answer without the age of a state, and the choices behind it."""
    return re.sub(r"(, (since )?\d+ (s|min)( ago)?)?(\. 1 .*)?$", "", text)


async def asked(owner, jid, text):
    """What the device answers, and not what it tells by itself."""
    word = text.partition(" ")[0]
    begins = {"yes": "drain: ", "help": "*", "status": "*"}.get(word, word + ":")
    await owner.say(jid, text)
    while True:
        answer = (await owner.next_message(jid, LIMIT_S)).body
        report = "\n" in answer and answer.startswith("temperature: ")
        if answer.startswith(begins) and not report:
            return young(answer)


async def patiently(ask, heard):
    """What `ask()` comes to. Where there is no memory for it just then, the device says "wait" in
    a stanza of `heard`, and is asked again."""
    end = time.monotonic() + LIMIT_S
    while True:
        number = len(heard)
        try:
            found = await ask()
        except IqError as e:
            if e.etype != "wait":
                raise
        else:
            if not any(e.get("type") == "wait" for s in heard[number:] for e in s.iter(ERROR)):
                return found
        assert time.monotonic() < end, f"{ask}: told to wait for {LIMIT_S} s"
        await asyncio.sleep(0.2)


async def by_chat(lab, greenhouse, owner, jid):
    for name, state in STATES.items():
        assert await asked(owner, jid, name) == f"{name}: {state}"
    assert await asked(owner, jid, "light on") == "light: on"
    assert await asked(owner, jid, "vent half") == "vent: half"
    assert await asked(owner, jid, "pause 90 min") == "pause: 1.5 h"
    assert await asked(owner, jid, "water 1s") == "water: 1 s of water"
    code = (await asked(owner, jid, "drain")).partition("yes ")[2][:4]
    assert await asked(owner, jid, f"yes {code}") == "drain: the tank is empty"
    greenhouse.set_pins({14: 1})
    assert (await owner.next_message(jid, LIMIT_S)).body == "opened: the door is open"
    assert await asked(owner, jid, "opened") == "opened: the door is open"
    greenhouse.set_pins({14: 0})
    whole = await asked(owner, jid, "help")
    assert all(f"*{name}*" in whole for name in (*STATES, *DONE))


async def by_forms(lab, greenhouse, owner, jid):
    adhoc = owner.client.plugin["xep_0050"]
    heard = recorded(owner)

    def listing(**more):
        return patiently(lambda: adhoc.get_commands(jid, **more), heard)

    try:
        listed = await listing(timeout=10)
    except IqTimeout:
        # What there was no memory for just then is dropped, and counted; below a few may be
        listed = await listing()
    nodes = {item[1] for item in listed["disco_items"]["items"]}
    assert nodes >= {*SET, *DONE, "read", "role", "history", "every"}

    async def stage(node, values=None, **more):
        payload = None
        if values is not None:
            payload = owner.client.plugin["xep_0004"].make_form("submit")
            for name, value in values.items():
                payload.add_field(var=name, value=value)
        ask = lambda: adhoc.send_command(jid, node, payload=payload, **more)  # noqa: E731
        answer = await patiently(ask, heard)
        return answer["command"]

    async def set_to(node, value):
        first = await stage(node)
        last = await stage(node, {node: value}, sessionid=first["sessionid"])
        assert last["status"] == "completed"
        return last["notes"]

    read = await stage("read")
    values = {f["var"]: f["value"] for f in read["form"]["fields"]}
    assert values.keys() == STATES.keys()
    assert values["temperature"] == "21.5 °C"
    assert await set_to("light", "1") == [("info", "on")]
    assert await set_to("vent", "open") == [("info", "open")]
    assert await set_to("pause", "3") == [("info", "3 h")]
    first = await stage("water")
    last = await stage("water", {"time": "1"}, sessionid=first["sessionid"])
    assert last["notes"] == [("info", "1 s of water")]
    first = await stage("drain")
    assert first["status"] == "executing"
    last = await stage("drain", sessionid=first["sessionid"], action="complete")
    assert last["notes"] == [("info", "the tank is empty")]


async def by_sensor_data(lab, greenhouse, owner, jid):
    data = owner.client.plugin["xep_0323"]

    async def read():
        got = []

        def back(from_jid, result, fields=None, **more):
            got.append((result, fields or ()))

        data.request_data(owner.client.boundjid, jid, back, flags={"momentary": "true"})
        await until(lambda: got and got[-1][0] in ("done", "rejected", "failure"), lambda: got)
        return got

    got = await patiently(read, recorded(owner))
    found = {f["name"]: (f["typename"], f["value"]) for _, fs in got for f in fs}
    assert found["temperature"] == ("numeric", "21.5")
    assert found["visitor"] == ("boolean", "false")
    # What the tests before left
    assert {*STATES, *DONE} <= found.keys(), found
    assert found["water"] == ("string", "1 s of water")
    assert found["opened"] == ("string", "the door is open")


async def by_control(lab, greenhouse, owner, jid):
    control = owner.client.plugin["xep_0325"]
    heard = recorded(owner)

    def set_by(*fields):
        return patiently(lambda: set_once(fields), heard)

    async def set_once(fields):
        got = []

        def back(from_jid, result, **more):
            got.append(result)

        control.set_request(owner.client.boundjid, jid, back, fields)
        await until(lambda: got, f"answer to {fields}")
        return got[0]

    assert await set_by(("light", "boolean", "false"), ("vent", "string", "closed")) == "OK"
    assert await set_by(("pause", "double", "8")) == "OK"
    assert await set_by(("water", "string", "1s")) == "OK"
    # Only where it can be asked for a yes; and what can only be read
    assert await set_by(("drain", "boolean", "true")) != "OK"
    for name in ("temperature", "visitor", "opened"):
        assert await set_by((name, "string", "1")) == "NotFound"
    for name, state in (("light", "off"), ("vent", "closed"), ("pause", "8 h")):
        assert await asked(owner, jid, name) == f"{name}: {state}"


async def by_pubsub(lab, greenhouse, owner, jid):
    pubsub = owner.client.plugin["xep_0060"]
    bare = jid.partition("/")[0]
    user = bare.partition("@")[0]

    async def value(name):
        result = await pubsub.get_items(bare, f"{user}/{name}")
        (item,) = result["pubsub"]["items"]["substanzas"]
        found = json.loads(item.xml.find(JSON).text)
        assert found["name"] == name
        return found["value"]

    for name, wanted in (
        ("temperature", 21.5),
        ("visitor", False),
        ("light", False),
        ("vent", "closed"),
        ("pause", 8),
        # What a command answered is for those who may do it
        ("water", "done"),
        ("drain", "done"),
        ("opened", "the door is open"),
    ):
        # What was set last may be on its way
        end = time.monotonic() + LIMIT_S
        while (found := await value(name)) != wanted:
            assert time.monotonic() < end, (name, found)
            await asyncio.sleep(0.1)
    # And what changes is told to whose client asks for it
    got = recorded(owner)
    owner.client.plugin["xep_0163"].add_interest(f"{user}/light")
    await owner.client.plugin["xep_0115"].update_caps(broadcast=True)
    await asked(owner, jid, "light on")
    await until(
        lambda: any('"value": true' in (el.text or "") for s in got for el in s.iter(JSON)),
        "event of the light",
    )


async def by_room(lab, greenhouse, owner, jid):
    (room,) = owner.client.plugin["xep_0045"].get_joined_rooms()

    async def said(text):
        owner.client.send_message(mto=room, mbody=f"greenhouse: {text}", mtype="groupchat")
        while True:
            answer = (await owner.next_message(f"{room}/greenhouse", LIMIT_S)).body
            if answer != "opened: the door is open":  # the alarm of before
                return young(answer)

    for name, state in STATES.items():
        state = {"light": "on", "opened": "the door is open"}.get(name, state)
        assert await said(name) == f"boss: {name}: {state}"
    assert await said("light off") == "boss: light: off"
    assert await said("vent open") == "boss: vent: open"
    assert await said("pause 2h") == "boss: pause: 2 h"
    assert await said("water 1s") == "boss: water: 1 s of water"
    code = (await said("drain")).partition("yes ")[2][:4]
    assert await said(f"yes {code}") == "boss: drain: the tank is empty"
    greenhouse.set_pins({14: 1})
    told = await owner.next_message(f"{room}/greenhouse", LIMIT_S)
    assert told.body == "opened: the door is open"


@both
def test_each_declaration_by_every_surface(lab, runtime):
    async def main():
        # Who makes a room says that all may see who is who
        async with inside(
            lab, "owner", f"garden{runtime}", "boss", open_to_all=True, plugins=PLUGINS
        ) as boss:
            owner = boss.owner
            with greenhouse_of(lab, runtime) as device:
                jid = await met(lab, owner, device)
                for by in (by_chat, by_forms, by_sensor_data, by_control, by_pubsub, by_room):
                    await by(lab, device, owner, jid)
                # All that in one go: no restart, no cut; a slow machine may drop something
                text = (await asked(owner, jid, "status")).splitlines()[-1]
                whole = r"up .*, 0 cuts, 0 faults, [0-3] dropped, 0 refused(, .* KB free)?"
                assert re.fullmatch(whole, text)
                assert len(re.findall(": online$", device.output(), re.M)) == 1

    asyncio.run(main())


# What is off


@pytest.mark.parametrize("on", [(), *((name,) for name in SURFACES)], ids=lambda on: "".join(on))
def test_what_is_off_is_not_loaded(lab, tmp_path, on):
    for part in ("uxmpp", "thing"):
        compile_tree(FIRMWARE / part, tmp_path / part, opt=LIBRARY_OPT)
    shutil.copy(lab.ca_der, tmp_path)
    config = lab.device_config("dev", owners=["owner"], surfaces=list(on))
    (tmp_path / "device.json").write_text(json.dumps(config))
    code = "import sys, thing; thing.Thing(); print(sorted(sys.modules))"
    argv, env = micropython.find(32).command_code(code, heap="160k", path=[tmp_path])
    done = subprocess.run(
        argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {m.removeprefix("thing.") for m in re.findall(r"'(thing\.\w+)'", done.stdout)}
    assert loaded & set(SURFACES) == set(on)
    # Nor what only they need
    needs = {"words": {"chat", "rooms"}, "zone": {"history", "schedule"}}
    for name, users in needs.items():
        assert name not in loaded or users & set(on), loaded
    assert not loaded & {"adhoc", "dataform", "readout", "control", "sparkline", "planning"}


def test_what_is_off_is_not_there(lab):
    # Nobody can make it load by asking
    async def main():
        with device_of(lab, "32", "greenhouse", user="stranger", surfaces=["chat"]) as device:
            async with owner_of(lab) as owner:
                jid = await online(device)
                for kind, payload in (
                    ("set", "<command xmlns='http://jabber.org/protocol/commands' node='light'/>"),
                    ("get", "<req xmlns='urn:xmpp:iot:sensordata' seqnr='1' momentary='true'/>"),
                    ("set", "<set xmlns='urn:xmpp:iot:control'/>"),
                    ("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
                ):
                    answer = await owner.iq(jid, payload, kind)
                    assert condition(answer) == ("cancel", "service-unavailable")
                await owner.say(jid, "every 10m temperature")
                # The first report may come before the answer
                await owner.until(
                    lambda: any("I do not know" in m.body for m in owner.messages), "the answer"
                )

    asyncio.run(main())
