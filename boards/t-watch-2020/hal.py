"""The hardware of LilyGo's T-Watch 2020, version 1 (ESP32, 8 MB PSRAM), by the names of wasp-os's
module `watch`. Version 3 has its backlight at pin 15. See docs/watch.md: it never ran on one."""

from drivers.axp202 import AXP202
from drivers.backlight import Backlight
from drivers.bma423 import BMA423
from drivers.ft6x36 import FT6X36
from drivers.pcf8563 import PCF8563
from drivers.st7789 import ST7789, TURNED
from drivers.vibrator import Vibrator
from machine import I2C, PWM, SPI, Pin

_i2c = I2C(0, scl=Pin(22), sda=Pin(21), freq=400000)
battery = AXP202(_i2c)
# MISO leads nowhere; without it MicroPython would take pin 19
_spi = SPI(2, baudrate=40000000, polarity=1, phase=1, sck=Pin(18), mosi=Pin(19), miso=Pin(0))
display = ST7789(_spi, Pin(27, Pin.OUT), Pin(5, Pin.OUT, value=1), **TURNED)
backlight = Backlight(PWM(Pin(12), freq=1000, duty_u16=0))
touch = FT6X36(I2C(1, scl=Pin(32), sda=Pin(23), freq=400000))
accel = BMA423(_i2c)
rtc = PCF8563(_i2c)
vibrator = Vibrator(PWM(Pin(4), freq=1000, duty_u16=0))
