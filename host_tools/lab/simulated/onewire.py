"""`onewire` without hardware: what hangs on the wire says chips.json, {"ds18b20": {"celsius":
12.5}}."""

import bus


class OneWire:
    """As onewire.OneWire, for ds18x20."""

    def __init__(self, pin):
        pass

    def scan(self):
        """The 64-bit addresses that answer."""
        return [b"(\xff\x4b\x12\x34\x56\x78\x9a"] if self.celsius() is not None else []

    def celsius(self):
        """What the sensor measures, None where there is none."""
        return bus.values().get("ds18b20", {}).get("celsius")
