"""The port that a board is on: found, asked for, or one line that says why there is none."""

import errno
import os

import pytest
import serial

from host_tools.flash import boards, ports
from host_tools.flash.ports import Port, PortError

ESP32 = boards.load("esp32")
C3 = boards.load("esp32-c3")
BRIDGE = Port("/dev/ttyUSB0", "CP2102 USB to UART Bridge", (0x10C4, 0xEA60))
OTHER = Port("/dev/ttyUSB1", "CP2102 USB to UART Bridge", (0x10C4, 0xEA60))
OWN = Port("/dev/ttyACM0", "USB JTAG/serial debug unit", (0x303A, 0x1001))
MOUSE = Port("/dev/ttyACM9", "", (0x046D, 0xC077))


def test_found_and_said():
    said = []
    assert ports.choose(C3, None, said.append, there=[OWN, MOUSE]) == "/dev/ttyACM0"
    assert said == ["Found /dev/ttyACM0 (USB JTAG/serial debug unit, 303a:1001)"]
    # Any board
    assert ports.choose(None, None, said.append, there=[MOUSE, BRIDGE]) == "/dev/ttyUSB0"
    assert ports.of_boards(None, [MOUSE, OWN, BRIDGE]) == [OWN, BRIDGE]
    assert str(MOUSE) == "/dev/ttyACM9 (046d:c077)"
    # What is given is taken, if it is there
    del said[:]
    for port in ("socket://127.0.0.1:5000", "rfc2217://[::1]:5000", os.devnull):
        assert ports.choose(ESP32, port, said.append, there=[BRIDGE]) == port
    assert said == []
    assert all(port.usb for port in ports.on_usb())


def test_several():
    questions, said = [], []

    def answers(text):
        def ask(question):
            questions.append(question)
            return text

        return ask

    there = [BRIDGE, MOUSE, OTHER]
    assert ports.choose(ESP32, None, said.append, ask=answers(" 2 "), there=there) == OTHER.device
    assert questions == ["Which? [1-2] "]
    (text,) = said
    assert text.splitlines() == [
        f"Several ports may be the {ESP32.title}:",
        f"  1  {BRIDGE}",
        f"  2  {OTHER}",
    ]
    for answer in ("", "0", "3", "two", "²", "1" * 50):
        with pytest.raises(PortError, match="is none of 1 to 2: nothing was done") as caught:
            ports.choose(ESP32, None, said.append, ask=answers(answer), there=there)
        assert len(str(caught.value)) < 80
    # Nobody to ask: under pytest there is no terminal
    with pytest.raises(PortError, match="say which by --port") as caught:
        ports.choose(ESP32, None, said.append, there=there)
    assert str(BRIDGE) in str(caught.value) and str(OTHER) in str(caught.value)
    many = [Port(f"/dev/ttyUSB{n}", "", (0x10C4, 0xEA60)) for n in range(40)]
    with pytest.raises(PortError, match="/dev/ttyUSB7 .10c4:ea60. and 32 more; say which"):
        ports.choose(ESP32, None, said.append, there=many)


def test_not_there(tmp_path):
    with pytest.raises(PortError, match="no port here looks like a board: plug it in, by a cable"):
        ports.choose(None, None, print, there=[])
    with pytest.raises(PortError, match=r"like the ESP32-C3.* \(there is /dev/ttyACM9 \(046d"):
        ports.choose(C3, None, print, there=[MOUSE])
    for port, why in (
        ("/dev/ttyNONE", "there is no such port"),
        ("COM3", "there is no such port"),
        ("loop://", "must be a serial port, socket:// or rfc2217://"),
        ("http://x:1", "must be a serial port"),
        ("socket://x", "must be socket://HOST:PORT"),
        ("socket://:1", "must be socket://HOST:PORT"),
        ("socket://x:99999", "must be socket://HOST:PORT"),
        ("rfc2217://x:y", "must be rfc2217://HOST:PORT"),
        ("socket://[", "must be socket://HOST:PORT"),
    ):
        with pytest.raises(PortError, match=f"^port .*{why}"):
            ports.choose(ESP32, port, print)
        with pytest.raises(PortError, match=why):
            ports.open_port(port)
    (tmp_path / "file").write_text("")
    for port in (tmp_path, tmp_path / "file"):
        with pytest.raises(PortError, match="is no serial port$"):
            ports.open_port(str(port))
    with pytest.raises(PortError, match="nobody listens there"):
        ports.open_port("socket://127.0.0.1:1")


def test_ours_alone():
    far, near = os.openpty()
    try:
        name = os.ttyname(near)
        opened = ports.open_port(name, 460800, 0.5)
        assert (opened.baudrate, opened.timeout) == (460800, 0.5)
        with pytest.raises(PortError, match=f"^port {name}: is busy: close the monitor"):
            ports.open_port(name)
        opened.close()
        ports.open_port(name).close()
    finally:
        os.close(far)
        os.close(near)


def test_explained():
    for error, why in (
        (PermissionError(errno.EACCES, "Permission denied"), "join the group dialout"),
        (
            serial.SerialException(13, "[Errno 13] Permission denied: 'x'"),
            "join the group dialout",
        ),
        (serial.SerialException("'COM3': PermissionError(13, 'Access is denied.')"), "is busy"),
        (serial.SerialException("'COM9': FileNotFoundError(2, 'The system …')"), "no such port"),
        (OSError(errno.EBUSY, "Device or resource busy"), "is busy"),
        (OSError(errno.ENXIO, "No such device or address"), "there is no such port"),
        (serial.SerialException("Could not configure port: (25, '')"), "is no serial port"),
        (serial.SerialException("device\nreports " + "x" * 500), "device reports xxx"),
    ):
        text = ports.explain("/dev/x", error)
        assert text.startswith("port /dev/x: ") and why in text, text
        assert "\n" not in text and len(text) < 250
