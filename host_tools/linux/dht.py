"""`dht` for Linux: by the kernel's own driver, which keeps the time that a program cannot.

In /boot/firmware/config.txt: `dtoverlay=dht11,gpiopin=4`, for DHT22 and AM2302, too. Several: a
line each.
"""

from pathlib import Path
from typing import Any

from .errors import HardwareError
from .sysfs import folder, number

#: How often a measurement is tried: one in several goes wrong.
TRIES = 3


class DHT22:
    """As dht.DHT22."""

    def __init__(self, pin: Any) -> None:
        self._pin = getattr(pin, "id", pin)
        self._folder: Path | None = None
        self._reading = (0.0, 0.0)

    def measure(self) -> None:
        """Take a reading. Raises OSError where the sensor does not answer, or HardwareError where
        the kernel has none at this pin."""
        self._folder = self._folder or _find(self._pin)
        for left in reversed(range(TRIES)):
            try:
                self._reading = (
                    number(self._folder / "in_temp_input") / 1000,
                    number(self._folder / "in_humidityrelative_input") / 1000,
                )
                return
            except OSError as e:
                if not left:
                    raise OSError(e.errno or 5, "the DHT sensor does not answer") from None

    def temperature(self) -> float:
        """In °C."""
        return self._reading[0]

    def humidity(self) -> float:
        """In %."""
        return self._reading[1]


DHT11 = DHT22


def _find(pin: Any) -> Path:
    found = {}
    for path in sorted(folder("bus/iio/devices").glob("iio:device*")):
        try:
            name = (path / "name").read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if name.startswith("dht11"):
            found[name.partition("@")[2]] = path
    # The name has the pin in hex; of a single one it does not matter
    if len(found) == 1:
        return next(iter(found.values()))
    if isinstance(pin, int) and f"{pin:x}" in found:
        return found[f"{pin:x}"]
    raise HardwareError(
        f"no DHT at pin {pin}: dtoverlay=dht11,gpiopin={pin} into /boot/firmware/config.txt"
    )
