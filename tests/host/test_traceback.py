"""MicroPython's tracebacks, decoded, and errors in plain words; what virtual boards really say is
in tests/boards/test_monitor.py."""

import re

import pytest

from host_tools.flash import boards, mpy
from host_tools.flash.traceback import MAX_FRAMES, Decoder, explain

APP = """from thing import Thing

def begin():
    return 1 / nothing
"""


def decoded(decoder, text):
    """What is shown beneath the last line; beneath the others is nothing."""
    shown = [decoder.feed(line) for line in text.strip("\n").split("\n")]
    assert not any(shown[:-1])
    return shown[-1]


def line_of(file, text):
    lines = (mpy.FIRMWARE / file).read_text().splitlines()
    found = [n for n, line in enumerate(lines, 1) if text in line]
    assert len(found) == 1, (file, text, found)
    return found[0]


@pytest.fixture
def decoder(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "gauge.py").write_text("x = 1\nraise OSError(19)\n")
    (tmp_path / "station.py").write_text(APP)
    return Decoder(tmp_path / "station.py", boards.load("t-watch-s3"))


def test_app(decoder):
    text = 'Traceback (most recent call last):\n  File "main.py", line 9, in <module>\n'
    text += '  File "station.py", line 4, in begin\n'
    assert decoded(decoder, f"{text}ZeroDivisionError: divide by zero") == [
        'main.py:9  __import__("app")', "station.py:4  return 1 / nothing",
    ]  # fmt: skip
    # Beside the app, in a folder; and what no file is known of
    text = 'Traceback (most recent call last):\n  File "gauge.py", line 2, in <module>\n'
    text += '  File "asyncio/core.py", line 1, in run\n  File "gauge.py", line 99, in x\n'
    assert decoded(decoder, f"{text}OSError: [Errno 19] ENODEV") == [
        "gauge.py:2  raise OSError(19)",
        "= there is no such device: look at the wires and the address",
    ]
    # What is no traceback, or names files elsewhere
    outside = f'File "/{mpy.FIRMWARE / "main.py"}", line 2, in <module>'
    for text in (
        "Traceback (most recent call last):\nwhat a day",
        "Traceback (most recent call last):\n\nmore",
        f"Traceback (most recent call last):\n  {outside}\nValueError: x",
        'Traceback (most recent call last):\n  File "../main.py", line 2, in x\nValueError: x',
    ):
        assert decoded(decoder, text) == []
    decoder.feed("Traceback (most recent call last):")
    for _ in range(2 * MAX_FRAMES):
        decoder.feed('  File "station.py", line 4, in begin')
    assert len(decoder.feed("ValueError: deep")) == MAX_FRAMES


def test_library(decoder):
    """There are no line numbers: what a frame calls tells the place."""
    short = mpy.private_names(mpy.FIRMWARE / "thing" / "reports.py")
    private = next(name for name in short if name.startswith("_") and _defined(name))
    text = 'Traceback (most recent call last):\n  File "thing/registry.py", line 1, in add\n'
    at = line_of("thing/registry.py", "a name is one word in small letters")
    assert decoded(decoder, f"{text}ValueError: 'A b': a name is one word in small letters") == [
        f"thing/registry.py:{at}  in add: "
        'raise ValueError(repr(name) + ": a name is one word in small letters")'
    ]
    text = 'Traceback (most recent call last):\n  File "thing/guard.py", line 1, in before\n'
    text += '  File "thing/wifi.py", line 1, in up\n'
    at = line_of("thing/guard.py", "await self.wifi.up(self._thing)")
    to = line_of("thing/wifi.py", "raise OSError(Improv(thing, self).why)")
    assert decoded(decoder, f"{text}OSError: WiFi: home: not found") == [
        f"thing/guard.py:{at}  in before: await self.wifi.up(self._thing)",
        f"thing/wifi.py:{to}  in up: raise OSError(Improv(thing, self).why)",
    ]
    # A short private name is shown whole; without such a call it is where the function begins
    text = "Traceback (most recent call last):\n"
    text += f'  File "thing/reports.py", line 1, in {short[private]}\n'
    (found,) = decoded(decoder, f"{text}KeyError: x")
    at = line_of("thing/reports.py", f"def {private}(")
    assert re.match(rf"thing/reports\.py:{at}  in {private}, (async )?def {private}\(", found)
    # A function that is not there, as of another version
    assert decoded(decoder, f"{text.replace(short[private], 'lost')}KeyError: x") == []
    # The board's hal
    text = 'Traceback (most recent call last):\n  File "hal.py", line 1, in nothing\n'
    assert decoded(decoder, f"{text}MemoryError: memory allocation failed") == [
        f"= {explain('MemoryError')}"
    ]


def _defined(name):
    return f"def {name}(" in (mpy.FIRMWARE / "thing" / "reports.py").read_text()


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("OSError: [Errno 2] ENOENT", "no such file"),
        ("dev@x: [Errno 104] ECONNRESET; next try in 2.0 s", "the other side cut"),
        ("OSError: 127.0.0.1:1: [Errno 111] ECONNREFUSED", "nobody listens"),
        # The ESP32 has another number for it, and the same name
        ("OSError: [Errno 113] ECONNABORTED", "given up"),
        ("OSError: 113", "no way to that host"),
        ("OSError: [Errno 116] ETIMEDOUT", "no answer came"),
        ("OSError: -30336", "uxmpp check"),
        ("OSError: (-30336, 'MBEDTLS_ERR_SSL_CA_CHAIN_REQUIRED')", "uxmpp check"),
        (
            "OSError: (-9984, 'MBEDTLS_ERR_X509_CERT_VERIFY_FAILED')",
            "does the board know the time",
        ),
        ("OSError: -2", "host name"),
        ("MemoryError: memory allocation failed, allocating 2048 bytes", "fewer surfaces"),
        ("ImportError: no module named 'bme280'", "no module bme280: put its file beside the app"),
        ("ValueError: incompatible .mpy file", "`uxmpp deploy` compiles it anew"),
        ("rst:0x8 (TG1WDT_SYS_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "its watchdog"),
        ("Brownout detector was triggered", "supply"),
        ("rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", None),
        ("OSError: 127.0.0.1:1: odd", None),
        ("OSError: [Errno 99]", None),
        ("temperature: 21 °C (-30336, 7)", None),
    ],
)
def test_plain_words(line, part):
    said = explain(line)
    assert (said is None) if part is None else (said is not None and part in said), said


def test_once():
    """What is repeated is explained once; after something else again."""
    decoder = Decoder()
    line = "x: [Errno 111] ECONNREFUSED; next try in 4.0 s"
    assert len(decoder.feed(line)) == 1 and decoder.feed(line) == []
    assert len(decoder.feed("[Errno 104] ECONNRESET")) == 1 and len(decoder.feed(line)) == 1
