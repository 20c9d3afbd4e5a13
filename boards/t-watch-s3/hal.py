"""The hardware of LilyGo's T-Watch S3 (ESP32-S3, 8 MB PSRAM), by the names of wasp-os's module
`watch`. See docs/watch.md: it never ran on one."""

from drivers.axp2101 import AXP2101
from drivers.backlight import Backlight
from drivers.bma423 import BMA423
from drivers.drv2605 import DRV2605
from drivers.ft6x36 import FT6X36
from drivers.pcf8563 import PCF8563
from drivers.st7789 import ST7789, TURNED
from machine import I2C, PWM, SPI, Pin

_i2c = I2C(0, scl=Pin(11), sda=Pin(10), freq=400000)
# The clock's, the backlight's, display's and touch's, and the motor's; the radio gets none
battery = AXP2101(_i2c, 0b100111)
# MISO leads nowhere; MicroPython would take pin 13. This is the radio's, 33 to 37 the memory's
_spi = SPI(1, baudrate=40000000, polarity=1, phase=1, sck=Pin(18), mosi=Pin(13), miso=Pin(4))
display = ST7789(_spi, Pin(38, Pin.OUT), Pin(12, Pin.OUT, value=1), **TURNED)
backlight = Backlight(PWM(Pin(45), freq=1000, duty_u16=0))
touch = FT6X36(I2C(1, scl=Pin(40), sda=Pin(39), freq=400000))
accel = BMA423(_i2c)
rtc = PCF8563(_i2c)
vibrator = DRV2605(_i2c)
