"""A BME280 on I2C: for sensor.py."""

from .i2c import one

#: As dht22's.
TELLS = (("temperature", "°C", 0.5), ("humidity", "%", 5), ("pressure", "hPa", 1))
ADDRESSES = (0x76, 0x77)


def begin(*pins):
    """As dht22's. Raises OSError where there is none."""
    i2c, address = one(ADDRESSES, *pins)
    from bme280_float import BME280

    sensor = BME280(address=address, i2c=i2c)

    def measure():
        celsius, pascal, percent = sensor.read_compensated_data()
        return celsius, percent, pascal / 100

    return measure
