"""`esp32` without hardware, on a virtual board: what it keeps in its NVS is in `nvs.json` (see
`outside`), which outlives every reset, as the flash does."""

import json

from outside import path, say

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
HEAP_DATA = 4
HEAP_EXEC = 1

_NOT_FOUND = -0x1102
_REGIONS = ((139264, 90000, 65536, 80000), (113840, 60000, 45056, 55000))


def wake_on_ext0(pin, level):
    """As esp32.wake_on_ext0; VirtualBoard.wake() is what wakes it."""
    say("wakes by pin {}".format(pin.id if pin else None))


def wake_on_ext1(pins, level):
    """As esp32.wake_on_ext1."""
    say("wakes by pins {}".format([pin.id for pin in pins or ()]))


def wake_on_touch(wake):
    """As esp32.wake_on_touch."""
    say("wakes by touch: {}".format(bool(wake)))


def gpio_deep_sleep_hold(enable):
    """As esp32.gpio_deep_sleep_hold."""


def mcu_temperature():
    """As esp32.mcu_temperature, of the chips that have it: in °C."""
    return 42


def raw_temperature():
    """As esp32.raw_temperature, of an ESP32: in °F."""
    return 128


def idf_heap_info(capabilities):
    """As esp32.idf_heap_info: (size, free, largest free block, least free ever) a region."""
    return list(_REGIONS)


def _load():
    try:
        with open(path("nvs.json")) as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


class NVS:
    """As esp32.NVS: values in a namespace. Raises OSError for what is not there."""

    def __init__(self, namespace):
        self._namespace = namespace
        self._values = _load().get(namespace, {})

    def _get(self, key, kind):
        value = self._values.get(key)
        if value is None or value[0] != kind:
            raise OSError(_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        return value[1]

    def set_i32(self, key, value):
        """Set a number."""
        self._values[key] = ("i", value)

    def get_i32(self, key):
        """A number."""
        return self._get(key, "i")

    def set_blob(self, key, value):
        """Set bytes."""
        self._values[key] = ("b", bytes(value).hex())

    def get_blob(self, key, buffer):
        """Put bytes into `buffer`; how many there are."""
        value = bytes.fromhex(self._get(key, "b"))
        buffer[: len(value)] = value
        return len(value)

    def erase_key(self, key):
        """Forget a value."""
        if self._values.pop(key, None) is None:
            raise OSError(_NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")

    def commit(self):
        """Keep what was set."""
        values = _load()
        values[self._namespace] = self._values
        with open(path("nvs.json"), "w") as f:
            json.dump(values, f)


class Partition:
    """As esp32.Partition, for what asks where it is: the app that runs, and the file system."""

    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, id, block_size=4096):
        with open(path("vm.json")) as f:
            told = json.load(f)
        if id in (self.BOOT, self.RUNNING, "factory"):
            self._info = (0, 0, 0x10000, told["at"] - 0x10000, "factory", False)
        elif id == "vfs":
            self._info = (1, 0x81, told["at"], told["size"], "vfs", False)
        else:
            raise OSError(2)

    @classmethod
    def find(cls, type=0, subtype=0xFF, label=None, block_size=4096):
        """Those of a type, and with a label."""
        found = [cls("factory"), cls("vfs")]
        return [
            p
            for p in found
            if p._info[0] == type and subtype in (0xFF, p._info[1]) and label in (None, p._info[4])
        ]

    def info(self):
        """(type, subtype, address, size, label, encrypted)."""
        return self._info

    def get_next_update(self):
        """There is one app only."""
        raise OSError(-261, "ESP_ERR_NOT_FOUND")

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        """As there: of no effect."""
