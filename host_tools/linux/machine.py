"""`machine` for Linux: pins by gpiozero, I2C by smbus2, SPI by spidev, the watchdog of systemd.

Pins are numbers of the chip (BCM on a Raspberry Pi), or names that gpiozero knows, "BOARD7". With
gpiozero's mock pins each change is printed, "pin 5: 1".
"""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from .errors import HardwareError
from .notify import notify, watchdog_ms

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

#: The exit code of a program that ends to be started again.
RESET_CODE = 3
#: The most calls of interrupt handlers that wait; further interrupts are dropped.
MAX_WAITING = 16

# A reset leaves word here for the next start
_RESET = "reset"

Buffer = bytes | bytearray | memoryview

_INSTALL = "pip install 'uxmpp[linux]'"
_NO_FACTORY = (
    "there is no way to the pins of this computer: on a Raspberry Pi install lgpio "
    "(pip install lgpio, or apt install python3-lgpio); elsewhere "
    "GPIOZERO_PIN_FACTORY=mock runs the app with none"
)
_INSTEAD = {
    "ADC": "no analog inputs: take an I2C converter, such as ADS1115, and its driver",
    "DAC": "no analog outputs",
    "UART": "no machine.UART: pyserial opens /dev/serial0",
    "Timer": "no machine.Timer: take @thing.task, or asyncio",
    "TouchPad": "no touch pins",
}


def __getattr__(name: str) -> NoReturn:
    if name in _INSTEAD:
        raise HardwareError(f"Linux has {_INSTEAD[name]}")
    raise AttributeError(f"machine.{name}: there is none on Linux")


# Interrupts


class _Calls:
    """Calls from other threads, which the device's loop is to make."""

    def __init__(self) -> None:
        #: call_soon_threadsafe of the loop, as soon as there is one.
        self.loop: Callable[..., object] | None = None
        self._places = threading.BoundedSemaphore(MAX_WAITING)

    def put(self, f: Callable[[Any], Any], arg: Any) -> None:
        if self.loop is None:
            f(arg)
        elif self._places.acquire(blocking=False):
            try:
                self.loop(self._make, f, arg)
            except RuntimeError:  # the loop has ended
                self._places.release()

    def _make(self, f: Callable[[Any], Any], arg: Any) -> None:
        self._places.release()
        f(arg)


_calls = _Calls()


def attach(call: Callable[..., object] | None) -> None:
    """Have interrupt handlers called by `call`, a loop's call_soon_threadsafe; None: there is no
    loop any more."""
    _calls.loop = call


def call_soon(f: Callable[[Any], Any], arg: Any) -> None:
    """Have `f(arg)` called in the device's loop; before there is one, at once."""
    _calls.put(f, arg)


# Pins


def _gpiozero() -> Any:
    try:
        return import_module("gpiozero")
    except ImportError:
        raise HardwareError(f"gpiozero is missing: {_INSTALL}") from None


def _made(cls: str, id: int | str, **options: Any) -> Any:
    """Return a new device of gpiozero, or say in one line why not."""
    gpiozero = _gpiozero()
    try:
        with warnings.catch_warnings():
            # Which ways to the pins it tried in vain
            warnings.simplefilter("ignore", gpiozero.PinFactoryFallback)
            return getattr(gpiozero, cls)(id, **options)
    except gpiozero.BadPinFactory as e:
        asked = os.environ.get("GPIOZERO_PIN_FACTORY")
        why = f"GPIOZERO_PIN_FACTORY={asked}: {e}; " if asked else ""
        raise HardwareError(why + _NO_FACTORY) from None
    except gpiozero.PinPWMUnsupported:
        why = "no PWM here" + ("; GPIOZERO_MOCK_PIN_CLASS=mockpwmpin has it" if _mock() else "")
        raise HardwareError(f"pin {id}: {why}") from None
    except gpiozero.PinFixedPull:
        if options.pop("pull_up") is None:  # it was not asked for another
            return _made(cls, id, pull_up=True)
        raise HardwareError(f"pin {id}: has a fixed pull-up on the board") from None
    except gpiozero.GPIOZeroError as e:
        raise HardwareError(f"pin {id}: {str(e) or type(e).__name__}") from None
    except (ImportError, OSError) as e:
        # One that was asked for by name, or that finds the chip of somebody else
        raise HardwareError(f"pin {id}: {e}; {_NO_FACTORY}") from None


def _mock() -> bool:
    return "Mock" in type(_gpiozero().Device.pin_factory).__name__


class _Line:
    """A pin of the chip; any number of Pins may be about it."""

    def __init__(self, id: int | str) -> None:
        self.id = id
        self.device: Any = None
        self.output = False
        self.latch = False  # what it is to be as an output

    def take(self, device: Callable[[], Any], output: bool) -> None:
        self.let_go()
        self.device = device()
        self.output = output

    def let_go(self) -> None:
        if self.device is not None:
            self.device.close()
        self.device = None
        self.output = False


_lines: dict[int | str, _Line] = {}


class Pin:
    """As machine.Pin."""

    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(
        self,
        id: "int | str | Pin",
        mode: int = -1,
        pull: int | None = -1,
        *,
        value: Any = None,
        **_: Any,
    ) -> None:
        name = str(id.id if isinstance(id, Pin) else id).upper().removeprefix("GPIO")
        self.id: int | str = int(name) if name.isdecimal() else name
        self._line = _lines.setdefault(self.id, _Line(self.id))
        if mode != -1 or value is not None:
            self.init(mode, pull, value=value)

    def init(self, mode: int = -1, pull: int | None = -1, *, value: Any = None, **_: Any) -> None:
        """Set the mode, the pull and the level. Raises HardwareError."""
        line = self._line
        if value is not None:
            line.latch = bool(value)
        if mode == self.OPEN_DRAIN:
            raise HardwareError(f"pin {self.id}: open drain is not to be had on Linux")
        if mode == self.OUT:
            if line.output:
                self.value(line.latch)
            else:
                line.take(lambda: _made("OutputDevice", self.id, initial_value=line.latch), True)
                if line.latch:
                    self._show()
        elif mode == self.IN:
            up = {self.PULL_UP: True, self.PULL_DOWN: False}.get(pull or 0)
            options: dict[str, Any] = {"pull_up": up}
            if up is None:
                options["active_state"] = True
            line.take(lambda: _made("DigitalInputDevice", self.id, **options), False)

    def value(self, x: Any = None) -> int | None:
        """Without `x` the level; with it, set the level, which an input shows as soon as it is an
        output."""
        line = self._line
        if x is None:
            if line.device is None:
                self.init(self.IN)
            return int(line.device.pin.state)
        line.latch = bool(x)
        if line.output and bool(line.device.pin.state) != line.latch:
            line.device.value = line.latch
            self._show()
        return None

    __call__ = value

    def on(self) -> None:
        """Set high."""
        self.value(1)

    def off(self) -> None:
        """Set low."""
        self.value(0)

    def toggle(self) -> None:
        """Set what it is not."""
        self.value(not self._line.latch)

    high = on
    low = off

    def irq(
        self,
        handler: "Callable[[Pin], Any] | None" = None,
        trigger: int = IRQ_RISING | IRQ_FALLING,
        **_: Any,
    ) -> None:
        """Have `handler(pin)` called in the device's loop when the level of an input changes.
        None: no more."""
        line = self._line
        if line.device is None:
            self.init(self.IN)
        if line.output:
            raise HardwareError(f"pin {self.id}: is an output: no interrupts")
        call = (lambda: _calls.put(handler, self)) if handler else None
        # gpiozero speaks of active, which is low where there is a pull-up
        rising, falling = "when_activated", "when_deactivated"
        if line.device.pull_up:
            rising, falling = falling, rising
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # None is meant
            setattr(line.device, rising, call if trigger & self.IRQ_RISING else None)
            setattr(line.device, falling, call if trigger & self.IRQ_FALLING else None)

    def _show(self) -> None:
        if _mock():
            print(f"pin {self.id}: {int(self._line.latch)}")

    def __repr__(self) -> str:
        return f"Pin({self.id!r})"


class Signal:
    """As machine.Signal: a pin that may be the other way round."""

    def __init__(self, pin: Pin, invert: bool = False) -> None:
        self._pin = pin
        self._invert = invert

    def value(self, x: Any = None) -> int | None:
        """Without `x` whether it is on; with it, turn it on or off."""
        if x is not None:
            return self._pin.value(bool(x) != self._invert)
        return int(bool(self._pin.value()) != self._invert)

    __call__ = value

    def on(self) -> None:
        """Turn it on."""
        self.value(1)

    def off(self) -> None:
        """Turn it off."""
        self.value(0)


class PWM:
    """As machine.PWM; most pins have it by software, up to some kHz."""

    def __init__(self, pin: Pin | int, **options: Any) -> None:
        pin = pin if isinstance(pin, Pin) else Pin(pin)
        self._line = line = pin._line
        freq = options.get("freq") or 100
        line.take(lambda: _made("PWMOutputDevice", pin.id, frequency=freq), True)
        self.init(**options)

    def init(
        self,
        *,
        freq: int | None = None,
        duty_u16: int | None = None,
        duty_ns: int | None = None,
        duty: int | None = None,
    ) -> None:
        """Set what is given."""
        if freq is not None:
            self.freq(freq)
        if duty_u16 is not None:
            self.duty_u16(duty_u16)
        if duty_ns is not None:
            self.duty_ns(duty_ns)
        if duty is not None:
            self.duty(duty)

    def freq(self, hz: int | None = None) -> int:
        """Set the frequency in Hz; return it."""
        device: Any = self._line.device
        if hz is not None:
            try:
                device.frequency = hz
            except (ValueError, _gpiozero().GPIOZeroError) as e:
                raise HardwareError(f"pin {self._line.id}: {hz} Hz: {e}") from None
        return int(device.frequency)

    def duty_u16(self, duty: int | None = None) -> int:
        """Set the part of the time that it is high, 0 to 65535; return it."""
        return self._part(duty, 65535)

    def duty(self, duty: int | None = None) -> int:
        """As duty_u16(), 0 to 1023."""
        return self._part(duty, 1023)

    def duty_ns(self, duty: int | None = None) -> int:
        """As duty_u16(), in ns."""
        return self._part(duty, 1_000_000_000 / self.freq())

    def _part(self, duty: float | None, most: float) -> int:
        device: Any = self._line.device
        if duty is not None:
            if not 0 <= duty <= most:
                raise ValueError(f"duty must be 0 to {most:.0f}")
            device.value = duty / most
        return int(device.value * most + 0.5)

    def deinit(self) -> None:
        """Stop; the pin is an input then."""
        self._line.let_go()


# Buses


def _bus(kind: str, found: Iterable[Path], path: str, overlay: str, e: OSError) -> HardwareError:
    there = ", ".join(sorted(str(p) for p in found))
    if isinstance(e, PermissionError):
        why = f"{path}: may not be opened: the user must be in the group {kind.lower()}"
    elif there:
        why = f"{path}: {e.strerror}; there is {there}"
    else:
        why = f"{path}: {e.strerror}; on a Raspberry Pi `sudo raspi-config nonint {overlay} 0`"
    return HardwareError(f"{kind}: {why}")


class I2C:
    """As machine.I2C: bus `id` is /dev/i2c-`id`, unless `sda` is one of SDA_PINS: what is written
    for a board names the pins. These and the frequency are else the kernel's matter
    (`dtparam=i2c_arm_baudrate`)."""

    #: The buses on the header of a Raspberry Pi, by their pin.
    SDA_PINS = {2: 1, 0: 0}

    def __init__(self, id: int = 1, *, scl: Any = None, sda: Any = None, freq: int = 0) -> None:
        id = self.SDA_PINS.get(getattr(sda, "id", sda), id)
        try:
            self._smbus2: Any = import_module("smbus2")
        except ImportError:
            raise HardwareError(f"smbus2 is missing: {_INSTALL}") from None
        self._id = id
        try:
            self._bus: Any = self._smbus2.SMBus(id)
        except OSError as e:
            there = Path("/dev").glob("i2c-*")
            raise _bus("I2C", there, f"/dev/i2c-{id}", "do_i2c", e) from None

    def _transfer(self, addr: int, *messages: Any) -> None:
        try:
            self._bus.i2c_rdwr(*messages)
        except OSError as e:
            raise OSError(
                e.errno, f"I2C {self._id}: {addr:#04x} does not answer: {e.strerror}"
            ) from None

    def _write(self, addr: int, data: Buffer) -> Any:
        return self._smbus2.i2c_msg.write(addr, bytes(data))

    def scan(self) -> list[int]:
        """Return the addresses that answer."""
        found = []
        for addr in range(0x08, 0x78):
            try:
                # Reading is what disturbs no EEPROM and no clock
                if 0x30 <= addr <= 0x37 or 0x50 <= addr <= 0x5F:
                    self._bus.read_byte(addr)
                else:
                    self._bus.write_quick(addr)
            except OSError:
                continue
            found.append(addr)
        return found

    def readfrom(self, addr: int, nbytes: int, stop: bool = True) -> bytes:
        """Read. Raises OSError where nobody answers, as all of these."""
        message = self._smbus2.i2c_msg.read(addr, nbytes)
        self._transfer(addr, message)
        return bytes(message)

    def readfrom_into(self, addr: int, buf: bytearray | memoryview, stop: bool = True) -> None:
        """Read into a buffer."""
        buf[:] = self.readfrom(addr, len(buf))

    def writeto(self, addr: int, buf: Buffer, stop: bool = True) -> int:
        """Write; the number of bytes."""
        self._transfer(addr, self._write(addr, buf))
        return len(buf)

    def writevto(self, addr: int, vector: Iterable[Buffer], stop: bool = True) -> int:
        """Write several buffers in one go."""
        return self.writeto(addr, b"".join(vector))

    def readfrom_mem(self, addr: int, memaddr: int, nbytes: int, *, addrsize: int = 8) -> bytes:
        """Read registers."""
        message = self._smbus2.i2c_msg.read(addr, nbytes)
        self._transfer(addr, self._write(addr, memaddr.to_bytes(addrsize // 8, "big")), message)
        return bytes(message)

    def readfrom_mem_into(
        self, addr: int, memaddr: int, buf: bytearray | memoryview, *, addrsize: int = 8
    ) -> None:
        """Read registers into a buffer."""
        buf[:] = self.readfrom_mem(addr, memaddr, len(buf), addrsize=addrsize)

    def writeto_mem(self, addr: int, memaddr: int, buf: Buffer, *, addrsize: int = 8) -> None:
        """Write registers."""
        self._transfer(addr, self._write(addr, memaddr.to_bytes(addrsize // 8, "big") + buf))

    def deinit(self) -> None:
        """Close the bus."""
        self._bus.close()

    def __del__(self) -> None:
        # Who looks for a sensor again and again makes many; smbus2 closes none by itself
        if hasattr(self, "_bus"):
            self.deinit()


SoftI2C = I2C


class SPI:
    """As machine.SPI: bus `id` is /dev/spidev`id`.0. Select the chip by a Pin, as on a board: not
    by that device's own line."""

    MSB = 0
    LSB = 1

    def __init__(
        self,
        id: int = 0,
        baudrate: int = 1_000_000,
        *,
        polarity: int = 0,
        phase: int = 0,
        bits: int = 8,
        firstbit: int = MSB,
        **pins: Any,
    ) -> None:
        try:
            self._spi: Any = import_module("spidev").SpiDev()
        except ImportError:
            raise HardwareError("spidev is missing: pip install spidev") from None
        try:
            self._spi.open(id, 0)
        except OSError as e:
            there = Path("/dev").glob("spidev*")
            raise _bus("SPI", there, f"/dev/spidev{id}.0", "do_spi", e) from None
        self._spi.mode = polarity << 1 | phase
        self._spi.max_speed_hz = baudrate
        self._spi.bits_per_word = bits
        self._spi.lsbfirst = firstbit == self.LSB
        with suppress(OSError):  # not every controller can; then both lines move
            self._spi.no_cs = True

    def write(self, buf: Buffer) -> None:
        """Write."""
        self._spi.writebytes2(buf)

    def read(self, nbytes: int, write: int = 0) -> bytes:
        """Read while sending the byte `write`."""
        return bytes(self._spi.xfer3([write] * nbytes))

    def readinto(self, buf: bytearray | memoryview, write: int = 0) -> None:
        """Read into a buffer."""
        buf[:] = self.read(len(buf), write)

    def write_readinto(self, write_buf: Buffer, read_buf: bytearray | memoryview) -> None:
        """Write and read at the same time."""
        read_buf[:] = bytes(self._spi.xfer3(list(write_buf)))

    def deinit(self) -> None:
        """Close the bus."""
        self._spi.close()


SoftSPI = SPI


# The computer


class WDT:
    """As machine.WDT: systemd's watchdog, where the unit has one (WatchdogSec); its time holds,
    not `timeout`."""

    def __init__(self, id: int = 0, timeout: int = 5000) -> None:
        self._on = watchdog_ms() > 0

    def feed(self) -> None:
        """Tell systemd that all is well."""
        if self._on:
            notify("WATCHDOG=1")


def let_go() -> None:
    """Make all pins inputs, for an end at which nothing else does: no relay stays on."""
    for line in list(_lines.values()):
        with suppress(Exception):
            line.let_go()


def reset() -> NoReturn:
    """End the program at once, with RESET_CODE; systemd starts it again."""
    print("reset")
    sys.stdout.flush()
    try:
        Path(_RESET).write_text(str(HARD_RESET))
    finally:
        let_go()
        os._exit(RESET_CODE)


def _last_cause() -> int:
    try:
        cause = int(Path(_RESET).read_text())
        Path(_RESET).unlink()
    except (OSError, ValueError):
        return PWRON_RESET
    return cause


_cause = _last_cause()


def reset_cause() -> int:
    """Return HARD_RESET after reset(), else PWRON_RESET."""
    return _cause
