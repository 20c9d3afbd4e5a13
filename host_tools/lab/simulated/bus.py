"""`machine.I2C`, `SPI`, `PWM` and `ADC` without hardware, for either interpreter. What is soldered
to them, and what it measures, says `chips.json` (see `outside`), which may change at any time:
{"bma423": {"steps": 812}, "adc": {"1": 1300000}}. A chip is a class of its name in capitals in the
module of its name in the folder `chips`."""

import json

import machine
from outside import path, say

_ENODEV = 19

_said = None  # the file's text
_values = {}
_chips = {}


def values():
    """What chips.json says, by chip."""
    global _said, _values
    try:
        with open(path("chips.json")) as f:
            said = f.read()
    except OSError:  # nothing is soldered
        return _values
    if said != _said:
        _said = said
        _values = json.loads(said)
        for name, chip in _chips.items():
            chip.set(_values.get(name, {}))
    return _values


def chips(cls):
    """The chips of a class that are there."""
    for name, wanted in values().items():
        if name != "adc" and name not in _chips:
            module = __import__("chips." + name, None, None, (name.upper(),))
            _chips[name] = chip = getattr(module, name.upper())()
            chip.set(wanted)
    return [chip for chip in _chips.values() if isinstance(chip, cls)]


class Chip:
    """A chip on an I2C bus: 256 registers of a byte, and a pointer that goes on with each byte.
    `sda`: the pin of the bus it is at, where chips.json says so."""

    address = None

    def __init__(self):
        self.registers = bytearray(256)
        self.at = 0
        self.sda = None

    def set(self, values):
        """What chips.json says of it has changed."""
        self.sda = values.get("sda")

    def put(self, register, value):
        """A byte is written to a register."""
        self.registers[register] = value

    def write(self, data):
        """Bytes come after the address: the register, and what it and those behind get."""
        self.at = data[0]
        for i in range(1, len(data)):
            self.put(self.at, data[i])
            self.at = self.at + 1 & 255

    def read(self, n):
        """`n` bytes are read from where the pointer is."""
        found = self.registers[self.at : self.at + n]
        self.at = self.at + n & 255
        return bytes(found)


class I2C:
    """As machine.I2C. Raises OSError where no chip answers."""

    def __init__(self, id=0, scl=None, sda=None, freq=400000):
        self._sda = sda and sda.id

    def _chip(self, address):
        for chip in chips(Chip):
            if chip.address == address and chip.sda in (None, self._sda):
                return chip
        raise OSError(_ENODEV, "ENODEV")

    def scan(self):
        """The addresses that answer."""
        return sorted([c.address for c in chips(Chip) if c.sda in (None, self._sda)])

    def writeto(self, addr, buf, stop=True):
        """As machine.I2C.writeto."""
        self._chip(addr).write(bytes(buf))
        return len(buf) + 1

    def readfrom(self, addr, nbytes, stop=True):
        """As machine.I2C.readfrom."""
        return self._chip(addr).read(nbytes)

    def readfrom_into(self, addr, buf, stop=True):
        """As machine.I2C.readfrom_into."""
        buf[:] = self._chip(addr).read(len(buf))

    def writeto_mem(self, addr, memaddr, buf, addrsize=8):
        """As machine.I2C.writeto_mem."""
        size = addrsize // 8
        self._chip(addr).write(memaddr.to_bytes(size, "big") + bytes(buf))

    def readfrom_mem(self, addr, memaddr, nbytes, addrsize=8):
        """As machine.I2C.readfrom_mem."""
        chip = self._chip(addr)
        chip.write(memaddr.to_bytes(addrsize // 8, "big"))
        return chip.read(nbytes)

    def readfrom_mem_into(self, addr, memaddr, buf, addrsize=8):
        """As machine.I2C.readfrom_mem_into."""
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf), addrsize)


SoftI2C = I2C


class SPI:
    """As machine.SPI, for what is only written to. `polarity` and `phase` are not looked at."""

    def __init__(
        self, id=0, baudrate=1000000, polarity=0, phase=0, sck=None, mosi=None, miso=None
    ):
        from chips.controller import Controller

        self._chips = chips(Controller)

    def write(self, buf):
        """Each chip that is selected gets the bytes."""
        for chip in self._chips:
            if chip.selected:
                chip.write(buf)


class PWM:
    """As machine.PWM: each change of the duty cycle goes to what is soldered to the pin, or prints
    a line "pwm 4: 50 %"."""

    def __init__(self, pin, freq=1000, duty_u16=0):
        self._pin = pin.id
        self._duty = 0
        self.duty_u16(duty_u16)

    def duty_u16(self, duty=None):
        """Without `duty` the duty cycle, 0 to 65535; with it, set it."""
        if duty is None:
            return self._duty
        if not 0 <= duty <= 65535:
            raise ValueError("duty")
        if duty != self._duty:
            self._duty = duty
            percent = (duty * 100 + 32767) // 65535
            wire = machine.wires.get(self._pin)
            if wire:
                wire(percent)
            else:
                say("pwm {}: {} %".format(self._pin, percent))
        return None

    def deinit(self):
        """Leave the pin alone: low."""
        self.duty_u16(0)


class ADC:
    """As machine.ADC, of an ESP32."""

    ATTN_11DB = 3

    def __init__(self, pin, atten=ATTN_11DB):
        self._pin = str(pin.id)

    def read_uv(self):
        """The microvolts that "adc" in chips.json says of the pin; 0 without."""
        return values().get("adc", {}).get(self._pin, 0)
