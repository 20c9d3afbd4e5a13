"""`dht` without hardware, for either interpreter: readings come from `readings.json` (see
`outside`), {"dht": [[temperature, humidity], ...]}. Each measure() takes the next, the last one
stays; null is a sensor that does not answer. A file that has changed begins anew."""

import json

from outside import path


class DHT22:
    """As dht.DHT22: measure(), then temperature() in °C and humidity() in %."""

    def __init__(self, pin):
        self._said = None
        self._reading = (0.0, 0.0)

    def measure(self):
        """Take a reading. Raises OSError where the sensor does not answer."""
        with open(path("readings.json")) as f:
            said = f.read()
        if said != self._said:
            self._said = said
            self._next = 0
        script = json.loads(said)["dht"]
        reading = script[self._next]
        self._next = min(self._next + 1, len(script) - 1)
        if reading is None:
            raise OSError(110, "ETIMEDOUT")
        self._reading = reading

    def temperature(self):
        """In °C."""
        return self._reading[0]

    def humidity(self):
        """In %."""
        return self._reading[1]


DHT11 = DHT22
