"""`onewire` for Linux, as far as `ds18x20` needs it: the kernel is the master of the bus.

In /boot/firmware/config.txt: `dtoverlay=w1-gpio,gpiopin=4`.
"""

from typing import Any

from .errors import HardwareError
from .sysfs import folder


class OneWireError(OSError):
    """As onewire.OneWireError."""


class OneWire:
    """As onewire.OneWire; all buses of the kernel are one."""

    def __init__(self, pin: Any) -> None:
        self._pin = getattr(pin, "id", pin)

    def scan(self) -> list[bytearray]:
        """Return the 8 bytes of each device's address. Raises HardwareError where the kernel has
        no bus."""
        devices = folder("bus/w1/devices")
        if not devices.is_dir():
            raise HardwareError(
                f"no 1-Wire: dtoverlay=w1-gpio,gpiopin={self._pin} into /boot/firmware/config.txt"
            )
        names = sorted(p.name for p in devices.glob("[0-9a-f][0-9a-f]-*"))
        return [rom(name) for name in names]


def rom(name: str) -> bytearray:
    """Return the address that the kernel writes as "28-0000053a1b2c": family, serial number from
    its lowest byte on, checksum."""
    family, _, serial = name.partition("-")
    found = bytearray.fromhex(family) + bytearray.fromhex(serial)[::-1]
    crc = 0
    for byte in found:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return found + bytes((crc,))


def name(rom: bytes | bytearray) -> str:
    """Return what the kernel calls an address."""
    return f"{rom[0]:02x}-{bytes(rom[6:0:-1]).hex()}"
