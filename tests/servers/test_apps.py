"""The apps sensor and switch as an owner uses them, with what is soldered to them seen; and each
of the sensors by itself."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

from host_tools.flash.mpy import FIRMWARE
from host_tools.lab import device as lab_device
from host_tools.lab import micropython
from host_tools.lab.device import Device

from .helper import LIMIT_S, answer, lines, online, owner_of

SIMULATED = Path(lab_device.__file__).parent / "simulated"
# Each probe of a bus, and what it says then
PROBES = """
import asyncio, sys
from sensors import bme280, ds18b20, i2c, sht3x
print(i2c.find(21, 22))
for sensor, pins in ((bme280, (21, 22)), (sht3x, (21, 22)), (ds18b20, (4,))):
    try:
        values = sensor.begin(*pins)()
        if hasattr(values, "send"):
            values = asyncio.run(values)
        print([(t[0], round(v, 1)) for t, v in zip(sensor.TELLS, values)])
    except OSError as e:
        print(e)
"""
CHIPS = {
    "bme280": {"celsius": -12.3, "percent": 61.5, "hpa": 987.6},
    "sht30": {"celsius": -7.2, "percent": 33.3},
}


def app_of(lab, name, changes=(), **options):
    """A device on 32-bit MicroPython with the app `name`, in which lines are changed."""
    folder = lab.folder / f"app-{name}"
    shutil.copytree(FIRMWARE / "apps", folder, ignore=lambda _, found: {"__pycache__"} & {*found})
    text = (folder / f"{name}.py").read_text("utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / f"{name}.py").write_text(text, "utf-8")
    return Device(
        lab.device_config("dev", owners=["owner"]),
        folder=lab.folder / f"device-{name}",
        app=folder / f"{name}.py",
        files=[lab.ca_der],
        **options,
    )


def pins(device):
    """What became of its pins, in order."""
    return [x.removeprefix("pin ") for x in device.output().splitlines() if x.startswith("pin ")]


def test_sensor(shared):
    changes = (
        ('SENSOR = "dht22"', 'SENSOR = "i2c"'),
        ("PINS = (4,)", "PINS = (21, 22)"),
        ("MOTION_PIN = None", "MOTION_PIN = 13"),
    )
    device = app_of(shared, "sensor", changes, chips={"bme280": CHIPS["bme280"]})
    device.set_pins({13: 0})

    async def main():
        async with owner_of(shared) as owner:
            with device:
                jid = await online(device)

                async def ask(text):
                    await owner.say(jid, text)
                    return await answer(owner, jid)

                first = (await owner.next_message(jid, LIMIT_S)).body.split("\n")
                assert first == [
                    "temperature: -12.3 °C", "humidity: 61.5 %", "pressure: 987.6 hPa",
                    "movement: empty",
                ]  # fmt: skip
                device.set_pins({13: 1})
                assert (await owner.next_message(jid, LIMIT_S)).body == "movement: occupied"
                device.set_chips({"bme280": {"celsius": 20.04}})
                assert await ask("temperature") == "temperature: 20.04 °C"
                # It is pulled off, and another bus is none of its
                device.set_chips({"bme280": {"sda": 33}})
                assert "no reading" in await ask("temperature")
                assert "no reading" in await ask("pressure")
                device.set_chips({"bme280": {"sda": 21}})
                assert await ask("pressure") == "pressure: 987.6 hPa"
                assert await ask("relay on") == "relay: on"
                assert await ask("blink 2") == "blink: 2 times"
                assert await ask("blink 11") == "blink: 1 to 10 times"
                assert pins(device) == ["5: 1", *["2: 1", "2: 0"] * 2]

    asyncio.run(main())


def test_sensors(tmp_path):
    """By the simulated drivers, on MicroPython; with nothing there, too."""
    apps = FIRMWARE / "apps"
    argv, env = micropython.find(32).command_code(PROBES, heap="400k", path=[apps, SIMULATED])

    def said(chips):
        (tmp_path / "chips.json").write_text(json.dumps(chips))
        done = subprocess.run(
            argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
        )
        return (done.stdout + done.stderr).splitlines()

    assert said(CHIPS) == [
        "sht3x",
        "[('temperature', -12.3), ('humidity', 61.5), ('pressure', 987.6)]",
        "[('temperature', -7.2), ('humidity', 33.3)]",
        "no DS18B20 answers",
    ]
    assert said({})[:3] == [
        "bme280",
        "no sensor answers at 0x76 or 0x77",
        "no sensor answers at 0x44 or 0x45",
    ]
    (tmp_path / "chips.json").write_text('{"ds18b20": {"celsius": 12.5}}')
    wire = "import asyncio\nfrom sensors import ds18b20\nprint(asyncio.run(ds18b20.begin(4)()))"
    argv, env = micropython.find(32).command_code(wire, heap="400k", path=[apps, SIMULATED])
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, timeout=LIMIT_S)
    assert done.stdout == b"(12.5,)\n", done


def test_switch(shared):
    # It tells how long the others were off, in ms
    after = "print('after', min([now - r.ended for r in relays if r is not self and not r.on]))"
    changes = [
        ("PAUSE_S = 0.5", "PAUSE_S = 0.2"),
        ("self.pin.value(ON)", f"self.pin.value(ON); {after}"),
    ]
    device = app_of(shared, "switch", changes)
    up = {13: 1, 14: 1}
    device.set_pins(up)

    async def main():
        async with owner_of(shared) as owner:

            async def ask(text):
                return await owner.ask(jid, text, LIMIT_S)

            async def press(pin, said):
                device.set_pins({**up, pin: 0})
                assert (await owner.next_message(jid, LIMIT_S)).body == f"button: {said}"
                device.set_pins(up)

            with device:
                jid = await online(device)
                assert await ask("relay1 sideways") == "relay1: must be on or off, not sideways"
                assert await ask("relay1 on") == "relay1: on"
                # Never both
                assert await ask("relay2 on") == "relay2: on"
                assert (await ask("relay1")).startswith("relay1: off, since ")
                assert pins(device) == ["5: 1", "5: 0", "12: 1"]
                await press(13, "relay1 on")
                assert (await ask("relay2")).startswith("relay2: off")
                await lines(device, "^pin 5: 1$", 2)
                # What is said last holds, whatever waits for its turn
                await owner.say(jid, "relay2 on")
                await owner.say(jid, "relay1 on")
                said = {(await owner.next_message(jid, LIMIT_S)).body for _ in range(2)}
                assert said == {"relay1: on", "relay2: off"}
                assert pins(device)[-3:] == ["5: 1", "5: 0", "5: 1"]
                # The pause is kept, however the others went off
                assert await ask("relay1 off") == "relay1: off"
                assert await ask("relay2 on") == "relay2: on"
                assert await ask("relay1 on") == "relay1: on"
                pauses = [int(m[1]) for m in await lines(device, r"^after (\d+)$")]
                assert len(pauses) == 6 and min(pauses) >= 200, pauses
                assert await ask("power-on maybe") == (
                    "power-on: must be off, on, last, not maybe"
                )
                assert await ask("power-on last") == "power-on: last"
                assert json.loads((device.folder / "relays.json").read_text()) == {
                    "relay1": True, "relay2": False, "version": 1,
                }  # fmt: skip
            (device.folder / "console.log").unlink()
            with device:
                jid = await online(device)
                await lines(device, "^pin 5: 1$")
                assert pins(device) == ["5: 1"]
                assert await ask("auto-off 1s") == "auto-off: 1 s"
                await press(14, "relay2 on")
                await lines(device, "^pin 12: 0$")
                assert (await ask("relay2")).startswith("relay2: off")
                assert pins(device) == ["5: 1", "5: 0", "12: 1", "12: 0"]
                assert await ask("power-on off") == "power-on: off"
            (device.folder / "console.log").unlink()
            with device:
                jid = await online(device)
                assert await ask("relay1") == "relay1: off" and pins(device) == []

    asyncio.run(main())
