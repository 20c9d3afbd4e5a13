"""What apps of boards find on Linux: `machine` with gpiozero's mock pins, the kernel's sensors."""

import asyncio
import gc
import struct
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from host_tools.linux import camera, dht, ds18x20, journal, machine, micropython, onewire
from host_tools.linux.errors import HardwareError
from host_tools.linux.machine import I2C, PWM, SPI, WDT, Pin, Signal


@pytest.fixture
def factory(monkeypatch):
    """Mock pins, and nothing left on them."""
    made = MockFactory(pin_class=MockPWMPin)
    monkeypatch.setattr(gpiozero.Device, "pin_factory", made)
    monkeypatch.setattr(machine, "_lines", {})
    yield made
    made.close()


def test_pins(factory, capsys):
    led = Pin(5, Pin.OUT)
    assert led.value() == 0 and factory.pin(5).function == "output"
    led.on()
    assert factory.pin(5).state and led() == 1
    led.value(1)  # nothing new
    Pin("GPIO5").off()
    led.toggle()
    assert capsys.readouterr().out == "pin 5: 1\npin 5: 0\npin 5: 1\n"
    # Another look at the same pin changes nothing
    assert Pin(led, Pin.OUT).value() == 1
    relay = Signal(Pin(6, Pin.OUT, value=1), invert=True)
    assert relay.value() == 0
    relay.on()
    assert (relay(), Pin(6).value()) == (1, 0)
    button = Pin(13, Pin.IN, Pin.PULL_UP)
    assert button.value() == 1
    factory.pin(13).drive_low()
    assert button.value() == 0
    button.init(Pin.OUT, value=1)
    assert factory.pin(13).function == "output" and button.value() == 1
    assert Pin(14).value() == 0 and factory.pin(14).function == "input"
    assert Pin(2, Pin.IN).value() == 1  # the board's own pull-up


def test_pins_are_let_go(factory, monkeypatch, tmp_path):
    """What fails leaves a pin that can be asked; an end that cleans up nothing leaves none on."""
    monkeypatch.chdir(tmp_path)
    relay, lamp = Pin(5, Pin.OUT, value=1), Pin(6, Pin.OUT, value=1)
    factory.pin(6).frequency = None
    monkeypatch.setattr(gpiozero, "PWMOutputDevice", None)
    with pytest.raises(TypeError):
        PWM(lamp)
    lamp.on()
    assert lamp.value() == 0 and factory.pin(6).function == "input"

    def ended(code):
        raise SystemExit(code)

    monkeypatch.setattr(machine.os, "_exit", ended)
    with pytest.raises(SystemExit, match=str(machine.RESET_CODE)):
        machine.reset()
    assert factory.pin(5).function == "input" and relay.value() == 0


def test_a_bus_that_is_opened_again_and_again(monkeypatch):
    """A sensor that is missing is looked for with each reading."""
    monkeypatch.setattr("smbus2.smbus2.ioctl", lambda *args: 0)
    gc.collect()  # what earlier tests left open would be closed in the midst of this one
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(20):
        I2C("/dev/null").scan()
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_pwm(factory):
    dim = PWM(Pin(18), freq=1000, duty_u16=32768)
    assert (dim.freq(), dim.duty_u16(), dim.duty()) == (1000, 32768, 512)
    assert abs(factory.pin(18).state - 0.5) < 0.001
    dim.duty_ns(250_000)
    assert dim.duty_u16() == 16384
    with pytest.raises(ValueError, match="0 to 65535"):
        dim.duty_u16(65536)
    dim.deinit()
    assert Pin(18, Pin.IN).value() == 0


def test_interrupts(factory):
    """Handlers run in the loop, a storm is bounded, and None ends it."""
    heard = []

    async def main():
        machine.attach(asyncio.get_running_loop().call_soon_threadsafe)
        try:
            button = Pin(13, Pin.IN, Pin.PULL_UP)
            button.irq(lambda pin: heard.append(pin.value()), Pin.IRQ_FALLING)
            factory.pin(13).drive_low()
            assert heard == []
            await asyncio.sleep(0)
            assert heard == [0]
            for _ in range(3 * machine.MAX_WAITING):
                factory.pin(13).drive_high()
                factory.pin(13).drive_low()
            await asyncio.sleep(0)
            assert len(heard) == 1 + machine.MAX_WAITING
            button.irq(None)
            factory.pin(13).drive_high()
            micropython.schedule(heard.append, "soon")
            await asyncio.sleep(0)
            assert heard[-1] == "soon" and len(heard) == 2 + machine.MAX_WAITING
        finally:
            machine.attach(None)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        (lambda: Pin(99, Pin.OUT), "pin 99: 99 is not a valid pin name"),
        (lambda: Pin(5, Pin.OPEN_DRAIN), "pin 5: open drain"),
        (lambda: Pin(2, Pin.IN, Pin.PULL_DOWN), "pin 2: has a fixed pull-up"),
        (lambda: Pin(5, Pin.OUT).irq(print), "pin 5: is an output"),
        (lambda: I2C(77), r"I2C: /dev/i2c-77: No such file .*(raspi-config|there is)"),
        (lambda: I2C(77, sda=Pin(2), scl=Pin(3)), "I2C: /dev/i2c-1: "),
        (lambda: SPI(7), "spidev is missing: pip install spidev|SPI: /dev/spidev7.0: "),
        (lambda: machine.ADC(0), "Linux has no analog inputs: .*ADS1115"),
        (lambda: machine.UART(0), "Linux has no machine.UART: pyserial"),
        (lambda: dht.DHT22(Pin(4)).measure(), "no DHT at pin 4: dtoverlay=dht11,gpiopin=4 into"),
        (lambda: onewire.OneWire(Pin(4)).scan(), "no 1-Wire: dtoverlay=w1-gpio,gpiopin=4 into"),
    ],
)
def test_what_there_is_not(factory, monkeypatch, tmp_path, what, pattern):
    monkeypatch.setenv("UXMPP_SYSFS", str(tmp_path))
    with pytest.raises(HardwareError, match=pattern) as e:
        what()
    assert "\n" not in str(e.value)


def test_no_way_to_the_pins(monkeypatch):
    monkeypatch.setattr(machine, "_lines", {})
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    for name, pattern in ((None, "^pip|^there is no way"), ("lgpio", "lgpio"), ("none", "'none'")):
        if name:
            monkeypatch.setenv("GPIOZERO_PIN_FACTORY", name)
        else:
            monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
        with pytest.raises(HardwareError, match=pattern) as e:
            Pin(5, Pin.OUT)
        assert "GPIOZERO_PIN_FACTORY=mock" in str(e.value)


def test_no_rtc_to_set():
    """The clock is the system's: `thing` takes that as the answer."""
    with pytest.raises(AttributeError):
        _ = machine.RTC
    WDT(timeout=8000).feed()


def sensor(folder, **files):
    """A sensor as the kernel shows it."""
    folder.mkdir(parents=True)
    for file, text in files.items():
        (folder / file).write_text(text)


def test_dht(monkeypatch, tmp_path):
    monkeypatch.setenv("UXMPP_SYSFS", str(tmp_path))
    devices = tmp_path / "bus" / "iio" / "devices"
    sensor(devices / "iio:device0", name="dht11@4\n", in_temp_input="-1500\n")
    with pytest.raises(OSError, match="does not answer"):
        dht.DHT22(Pin(4)).measure()
    sensor(devices / "iio:device1", name="bmp280\n", in_temp_input="99000\n")
    sensor(
        devices / "iio:device2",
        name="dht11@11\n", in_temp_input="21500\n", in_humidityrelative_input="40200\n",
    )  # fmt: skip
    found = dht.DHT22(Pin(17))
    found.measure()
    assert (found.temperature(), found.humidity()) == (21.5, 40.2)
    with pytest.raises(HardwareError, match="pin 5"):
        dht.DHT11(Pin(5)).measure()


def test_ds18x20(monkeypatch, tmp_path):
    monkeypatch.setenv("UXMPP_SYSFS", str(tmp_path))
    devices = tmp_path / "bus" / "w1" / "devices"
    sensor(devices / "w1_bus_master1")
    # The address of Maxim's application note 27
    sensor(devices / "02-00000001b81c", id="")
    sensor(devices / "28-0000053a1b2c", temperature="-10125\n")
    sensor(devices / "28-0000053a1b2d", temperature="")
    bus = onewire.OneWire(Pin(4))
    assert bytes(bus.scan()[0]) == bytes.fromhex("021cb801000000a2")
    found = ds18x20.DS18X20(bus)
    roms = found.scan()
    assert [onewire.name(rom) for rom in roms] == ["28-0000053a1b2c", "28-0000053a1b2d"]
    found.convert_temp()
    assert found.read_temp(roms[0]) == -10.125
    with pytest.raises(onewire.OneWireError, match="28-0000053a1b2d: does not answer"):
        found.read_temp(roms[1])
    with pytest.raises(onewire.OneWireError):
        found.read_temp(struct.pack("<Q", 0x28))


class Unplugged:
    """A camera that was pulled out after it was found."""

    opened = 0

    def __init__(self, device):
        Unplugged.opened += 1

    def set(self, *settings):
        return settings[:2]

    def frame(self):
        raise OSError(19, "No such device")

    def rest(self):
        pass

    close = rest


def test_a_camera_that_is_pulled_out(monkeypatch):
    """It is looked for anew with the next photo."""
    monkeypatch.setattr(camera, "_open", Unplugged)
    found = camera.Camera()
    for n in (1, 2):
        found.init()
        assert Unplugged.opened == n
        with pytest.raises(OSError, match="No such device"):
            found.capture()
        found.free_buffer()


def test_lines_of_the_log(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as f:
        out = journal.Lines(f, journal.INFO, True)
        print("a", "b", file=out)
        out.level = journal.WARNING
        print("two\nlines", end="", file=out)
        print(file=out)
        out.write("")
        assert out.fileno() == f.fileno()
        print("now", file=journal.Lines(f, journal.INFO, False))
    # Neither characters nor a full disk end the device
    with (tmp_path / "latin").open("w", encoding="latin-1") as f:
        print("5 °C → ☀", file=journal.Lines(f, journal.INFO, True))
    assert (tmp_path / "latin").read_bytes() == b"<6>5 \xb0C \\u2192 \\u2600\n"
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, too
    print("a", file=journal.Lines(full, journal.INFO, True))
    with pytest.raises(OSError, match="No space"):
        full.close()
    *lines, last = path.read_text().splitlines()
    assert lines == ["<6>a b", "<4>two", "<4>lines"]
    assert last[4] == "-" and last.endswith(" now")
