"""Every kind of declaration."""

from thing import Thing
from thing.registry import Param

thing = Thing()
state = {"temperature": 21.5, "moves": False}


@thing.sensor("temperature", unit="°C", low=5, high=30, hysteresis=1, min=-40, max=85, keep=300)
def temperature():
    return state["temperature"]


@thing.sensor("humidity", unit="%")
def humidity():
    raise OSError("no answer")


@thing.occupancy("motion", hold=30)
def motion():
    return state["moves"]


@thing.control("relay", bool, value=False)
def relay(on):
    pass


@thing.control("mode", ("auto", "heat", "off"), value="auto")
def mode(choice):
    pass


@thing.control("setpoint", float, min=5, max=30, unit="°C", value=20.0)
def setpoint(value):
    state["temperature"] = value + 1  # so that a test can move the reading


@thing.setting("interval", int, min=1, max=86400, unit="s", value=60)
def interval(value):
    print("interval is", value)


@thing.setting("label", str, value="kitchen", role="owner")
def label(text):
    pass


@thing.command("blink", params=(Param("times", int, min=1, max=10, default=3),))
async def blink(times=3):
    return f"{times} times"


@thing.command("format", confirm=True, role="owner", params=())
def format_flash():
    return "empty"


doorbell = thing.event("doorbell", alarm=True)


@thing.command("ring", params=(Param("who", default="somebody"),))
def ring(who):
    doorbell(who)


thing.run()
