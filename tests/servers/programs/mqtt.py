"""A Thing that programs for MQTT see, and that hears and publishes topics itself."""

from thing import Thing
from thing.registry import Param

thing = Thing()
thing.client.first_pause_s = 0.3
state = {"temperature": 21.5}


@thing.sensor("temperature", unit="°C", delta=0.1, poll=0.2)
def temperature():
    if state["temperature"] is None:
        raise OSError("no answer")
    return state["temperature"]


@thing.control("relay", bool, value=False)
def relay(on):
    pass


@thing.control("setpoint", float, min=5, max=30, unit="°C", value=20.0)
def setpoint(value):
    state["temperature"] = value + 1.25 if value < 25 else None


@thing.control("valve", bool, value=False, confirm=True)
def valve(on):
    print("valve was set")


@thing.setting("pin", int, min=1000, max=9999, value=1234, role="owner")
def pin(number):
    pass


@thing.command("beep", params=(Param("times", int, min=1, max=9, default=1),))
def beep(times):
    return f"{times} times"


@thing.topic("garden/+/temperature")
async def heard(topic, msg):
    print("heard", topic, msg)
    if msg == b"fail":
        raise ValueError("no such garden")
    await thing.publish("dev/garden", topic + "=" + msg.decode(), retain=True, qos=1)


thing.run()
