"""The serial line: clients that come and go, its speed, its modem lines, and its end."""

import threading
import time

import pytest
import serial
from esp_pylib.serial_reset import classic_bootloader_reset, hard_reset

from host_tools.lab.serial_line import SerialLine

LIMIT_S = 20.0


class Echo:
    """Sends back what comes, in capitals."""

    def attached(self, line):
        self.line = line

    def received(self, data):
        self.line.write(data.upper())


def opened(line, baud=115200):
    return serial.serial_for_url(line.port, baud, timeout=LIMIT_S)


@pytest.mark.parametrize("kind", ["pty", "socket"])
def test_clients_come_and_go(kind):
    data = bytes(range(256)) * 40
    with SerialLine(kind) as line:
        line.attach(Echo())
        for i in range(2):
            with opened(line) as port:
                # Raw: nothing is echoed, translated or held back, from the first byte on
                port.write(b"a\r\n\x03\x04" + bytes([i]))
                assert port.read(6) == b"A\r\n\x03\x04" + bytes([i])
                port.write(data)
                assert port.read(len(data)) == data.upper()
        assert line.bytes_in == line.bytes_out == 2 * (6 + len(data)) and not line.lost

        with opened(line) as port:
            line.unplug()
            line.unplug()
            with pytest.raises((OSError, serial.SerialException)):
                # A socket's end shows when it is read, a pty's at once
                while port.read(1):
                    pass
        with pytest.raises(serial.SerialException):
            opened(line)
        line.write(b"lost")
        assert line.lost == 4
        name = line.port
        line.plug()
        assert line.port == name
        with opened(line) as port:
            port.write(b"again")
            assert port.read(5) == b"AGAIN"


def test_what_nobody_reads_is_lost():
    with SerialLine() as line:
        line.STALLED_S = 0.1
        line.write(b"x" * 200_000)
        ends = time.monotonic() + LIMIT_S
        # What was being sent is counted first, what waits behind it a moment later
        while line.lost <= 100_000 and time.monotonic() < ends:
            time.sleep(0.01)
        assert line.lost > 100_000
        # A client that opens the port forgets what is old, and gets what is new
        line.attach(Echo())
        with opened(line) as port:
            port.write(b"new")
            assert port.read_until(b"NEW").endswith(b"NEW")


@pytest.mark.parametrize("kind", ["pty", "socket"])
def test_speed(kind):
    with SerialLine(kind, baud=230_400) as line, opened(line) as port:
        line.attach(Echo())
        n = 6912  # 0.3 s
        started = time.monotonic()
        sender = threading.Thread(target=port.write, args=(b"x" * n,))
        sender.start()
        assert port.read(n) == b"X" * n
        took = time.monotonic() - started
        sender.join()
        # Both ways at once; the fixed speed stays, whatever the chip says
        assert 0.28 < took < 5.0 and 0.2 < line.busy_s <= took
        line.clear()
        assert line.bytes_in == line.bytes_out == line.busy_s == 0
        line.set_baud(9600)
        assert line.baud == 230_400 and line.asked == 9600
    with SerialLine(kind, follows=True) as line:
        line.set_baud(460_800)
        assert line.baud == line.asked == 460_800


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's own
def test_modem_lines():
    resets = []
    with SerialLine("rfc2217", follows=True, on_reset=resets.append) as line:
        line.attach(Echo())
        with opened(line, 74880) as port:
            assert line.baud == 74880 and not resets
            port.write(b"a\xffb\xff\xff")
            assert port.read(5) == b"A\xffB\xff\xff"
            classic_bootloader_reset(port, 0.01, 0.01)
            assert resets == [True]
            hard_reset(port, 0.01)
            assert resets == [True, False]
    assert line.bytes_in == line.bytes_out == 5
