"""A DHT22: for sensor.py."""

#: What it tells: name, unit, and how far it moves before that is reported.
TELLS = (("temperature", "°C", 0.5), ("humidity", "%", 5))


def begin(pin):
    """The function that measures what TELLS says."""
    from dht import DHT22
    from machine import Pin

    dht = DHT22(Pin(pin))

    def measure():
        dht.measure()
        return dht.temperature(), dht.humidity()

    return measure
