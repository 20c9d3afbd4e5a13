"""`ds18x20` without hardware; see onewire.py."""


class DS18X20:
    """As ds18x20.DS18X20."""

    def __init__(self, onewire):
        self._wire = onewire
        self._value = 85  # as long as nothing was converted

    def scan(self):
        """The sensors on the wire."""
        return self._wire.scan()

    def convert_temp(self):
        """Have them measure."""
        self._value = self._wire.celsius()

    def read_temp(self, rom):
        """What it measured, in °C."""
        if self._wire.celsius() is None:
            raise Exception("CRC error")
        return self._value
