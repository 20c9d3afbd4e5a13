"""`ds18x20` for Linux: by the kernel's driver w1-therm. See `onewire`."""

import threading

from . import onewire
from .sysfs import folder, number

_FAMILIES = (0x10, 0x22, 0x28)
#: Seconds that a measurement of one sensor may take.
LIMIT_S = 2.0


class DS18X20:
    """As ds18x20.DS18X20. The kernel waits for a conversion, 0.75 s a sensor: a thread of its own
    does, lest the device stand still."""

    def __init__(self, bus: onewire.OneWire) -> None:
        self._bus = bus
        self._found: dict[str, float | OSError] = {}
        self._thread: threading.Thread | None = None

    def scan(self) -> list[bytearray]:
        """Return the addresses of the thermometers."""
        return [rom for rom in self._bus.scan() if rom[0] in _FAMILIES]

    def convert_temp(self) -> None:
        """Begin to measure, with all of them."""
        if self._thread is None or not self._thread.is_alive():
            names = [onewire.name(rom) for rom in self.scan()]
            self._found = {}
            self._thread = threading.Thread(target=self._measure, args=(names,), daemon=True)
            self._thread.start()

    def read_temp(self, rom: bytes | bytearray) -> float:
        """Return what was measured, in °C; where it is not there yet it waits. Raises OSError for
        a sensor that does not answer."""
        if self._thread is None:
            self.convert_temp()
        assert self._thread is not None
        self._thread.join(LIMIT_S * max(1, len(self.scan())))
        found = self._found.get(onewire.name(rom))
        if found is None:
            raise onewire.OneWireError(f"{onewire.name(rom)}: does not answer")
        if isinstance(found, OSError):
            raise onewire.OneWireError(f"{onewire.name(rom)}: does not answer: {found.strerror}")
        return found

    def _measure(self, names: list[str]) -> None:
        for name in names:
            try:
                self._found[name] = number(folder("bus/w1/devices") / name / "temperature") / 1000
            except OSError as e:
                self._found[name] = e
