"""The hardware of Waveshare's ESP32-S3-Touch-LCD-1.28 (round, 2 MB PSRAM), by the names of
wasp-os's module `watch`. It has no motor and no clock chip. See docs/watch.md: it never ran on
one."""

from drivers.backlight import Backlight
from drivers.cell import Cell
from drivers.cst816s import CST816S
from drivers.gc9a01 import GC9A01
from drivers.noclock import NoClock
from drivers.qmi8658 import QMI8658
from drivers.vibrator import Still
from machine import ADC, I2C, PWM, SPI, Pin

_spi = SPI(1, baudrate=40000000, polarity=0, phase=0, sck=Pin(10), mosi=Pin(11), miso=Pin(12))
display = GC9A01(_spi, Pin(8, Pin.OUT), Pin(9, Pin.OUT, value=1), reset=Pin(14, Pin.OUT, value=1))
backlight = Backlight(PWM(Pin(2), freq=1000, duty_u16=0))
_i2c = I2C(0, scl=Pin(7), sda=Pin(6), freq=400000)
touch = CST816S(_i2c, Pin(13, Pin.OUT, value=1))
accel = QMI8658(_i2c)
# 200 and 100 kOhm
battery = Cell(ADC(Pin(1), atten=ADC.ATTN_11DB), 3)
rtc = NoClock()
vibrator = Still()
