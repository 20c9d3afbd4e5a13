"""Times as XEP-0082 writes them, a clock that nobody has set, and what an NTP server may say."""

import asyncio
import os
import socket
import time

from helper import MICROPYTHON, assert_none, raises
from thing import clock, ntp
from thing.clock import EARLIEST, Clock, parse, stamp
from uxmpp.xep import time as xep_time

HEAP = "600k"

# By CPython's datetime
TIMES = (
    ("1970-01-01T00:00:00Z", 0),
    ("1972-02-29T12:34:56Z", 68214896),
    ("1972-03-01T00:00:00Z", 68256000),
    ("1999-12-31T23:59:59Z", 946684799),
    ("2000-01-01T00:00:00Z", 946684800),
    ("2000-02-28T23:59:59Z", 951782399),
    ("2000-02-29T00:00:00Z", 951782400),
    ("2000-03-01T00:00:00Z", 951868800),
    ("2023-02-28T23:59:59Z", 1677628799),
    ("2023-03-01T00:00:00Z", 1677628800),
    ("2024-02-29T23:59:59Z", 1709251199),
    ("2025-01-01T00:00:00Z", EARLIEST),
    ("2026-11-22T10:27:30Z", 1795343250),
    ("2027-12-31T23:59:59Z", 1830297599),
    ("2028-12-31T23:59:59Z", 1861919999),
    ("2038-01-19T03:14:07Z", 2147483647),
    ("2038-01-19T03:14:08Z", 2147483648),
    ("2096-02-29T00:00:00Z", 3981312000),
    ("2099-12-31T23:59:59Z", 4102444799),
    ("2100-02-28T23:59:59Z", 4107542399),
    ("2100-03-01T00:00:00Z", 4107542400),
    ("2104-02-29T00:00:00Z", 4233686400),
    ("2400-02-29T00:00:00Z", 13574563200),
)
# Beyond, 32 bits do not tell the time on some boards
LAST = 2**31 - 1
LIMIT_S = 30


def test_times():
    assert_none([None if parse(text) == n else (text, n, parse(text)) for text, n in TIMES])
    told = [(text, n) for text, n in TIMES if n <= LAST]
    assert_none([None if stamp(n) == text else (text, n, stamp(n)) for text, n in told])
    # Fractions of a second, and no letter behind
    assert parse("2000-02-29T00:00:00.999Z") == parse("2000-02-29T00:00:00") == 951782400


def test_round_trip():
    n = 0
    while n <= LAST:
        assert parse(stamp(n)) == n, (n, stamp(n))
        n += 86399 * 7


def test_as_the_interpreter_counts():
    # The extension's own stamp, of the interpreter's seconds, is the same time
    now = int(time.time())
    assert xep_time.stamp(now) == stamp(now + clock.BASE)


if not MICROPYTHON:

    def test_as_datetime():
        import random
        from datetime import UTC, datetime, timedelta

        chosen = random.Random(0)
        first = datetime(1970, 1, 1, tzinfo=UTC)
        for _ in range(20000):
            n = chosen.randrange(0, 2**34)
            text = (first + timedelta(seconds=n)).strftime("%Y-%m-%dT%H:%M:%SZ")
            assert parse(text) == n and stamp(n) == text, (text, n)


RUBBISH = (
    "",
    "now",
    "2026-11-22",
    "2026-11-22T",
    "2026-11-22T10:27",
    "2026-11-22T10:27:xxZ",
    "2026-11-22 10:27:30Z",
    "2026-11T10:27:30Z",
    "2026-11-22-23T10:27:30Z",
    "T10:27:30Z",
    "x026-11-22T10:27:30Z",
    "2026-11-22T10:27:30+01:00",
    "2026-11-22T10:27:30:31Z",
    "\u0662026-11-22T",
)


def test_rubbish_is_refused():
    for text in RUBBISH:
        e = raises(ValueError, parse, text)
        assert str(e) == "no time: " + text, (text, str(e))
    # What a stranger wrote is not repeated without an end
    assert len(str(raises(ValueError, parse, "x" * 1000))) < 60


class _Time:
    # An interpreter's clock that stands still
    def __init__(self, now):
        self.now = now
        self.gmtime = time.gmtime
        self.monotonic = getattr(time, "monotonic", None)

    def time(self):
        return self.now


def with_time(now, do):
    """`do()` while the interpreter's clock says `now`, as Unix time."""
    clock.time = _Time(now - clock.BASE)
    try:
        return do()
    finally:
        clock.time = time


def test_clock_that_was_never_set():
    def check():
        c = Clock()
        assert c.now() is None
        clock.time.now += 3600
        assert c.now() is None
        c.set(EARLIEST - 1)
        assert c.now() is None
        c.set(1795343250)
        assert c.now() == 1795343250
        clock.time.now += 60
        assert c.now() == 1795343310

    for start in (0, 946684800, 1609459200, EARLIEST - 3601):
        with_time(start, check)


def test_clock_that_is_right():
    def check():
        c = Clock()
        assert c.now() == EARLIEST
        c.set(EARLIEST + 100)
        assert c.now() == EARLIEST + 100

    with_time(EARLIEST, check)
    with_time(EARLIEST - 1, lambda: raises(AssertionError, check))


def test_uptime_has_nothing_to_do_with_it():
    def check():
        c = Clock()
        begin = c.uptime_s()
        c.set(1795343250)
        c.set(2000000000)
        return c.uptime_s() - begin

    assert with_time(946684800, check) in (0, 1)


# NTP

EPOCH = 2208988800
NOW = 1795343250


def packet(cookie, now=NOW, first=0x24, stratum=2):
    sent = (now + EPOCH & 0xFFFFFFFF).to_bytes(4, "big") + b"\x80\0\0\0"
    return bytes([first, stratum]) + bytes(22) + cookie + sent + sent


async def serve(s, answers, asked):
    # Each request gets the packets of the next of `answers`, functions of its cookie
    while True:
        try:
            data, sender = s.recvfrom(64)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        asked.append(data)
        for answer in answers.pop(0) if answers else ():
            s.sendto(answer(data[40:48]), sender)


def bound():
    # MicroPython's sockets do not tell a port that the system chose
    while True:
        port = 20000 + int.from_bytes(os.urandom(2), "big") % 12000
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        try:
            s.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
            return s, port
        except OSError:
            s.close()


def told(*answers):
    """(what ntp.ask() returned or raised, the requests); `answers`: for each request a list."""

    async def main():
        s, port = bound()
        asked = []
        server = asyncio.create_task(serve(s, list(answers), asked))
        try:
            got = await asyncio.wait_for(ntp.ask("127.0.0.1:{}".format(port)), LIMIT_S)
        except OSError as e:
            got = str(e)
        server.cancel()
        s.close()
        return got, asked

    wait = ntp.TIMEOUT_S
    ntp.TIMEOUT_S = 1
    try:
        return asyncio.run(main())
    finally:
        ntp.TIMEOUT_S = wait


def test_ntp_question_and_answer():
    got, asked = told([packet])
    assert got == NOW
    assert len(asked) == 1 and len(asked[0]) == 48
    # Version 4, a client; nothing of the device but a random cookie
    assert asked[0][0] == 0x23 and asked[0][1:40] == bytes(39)
    assert told([packet])[1][0][40:] != asked[0][40:]


def test_ntp_asks_again():
    got, asked = told([], [packet])
    assert got == NOW and len(asked) == 2 and asked[0] != asked[1]


def test_ntp_after_2036():
    # The seconds began again on 2036-02-07; the first bit tells which time round it is
    for now in (2**32 - EPOCH, 2**32 - EPOCH + 5, 3000000000, 2**32 - EPOCH + 2**31 - 1):
        assert told([lambda cookie: packet(cookie, now)])[0] == now
    for now in (EARLIEST, 2**32 - EPOCH - 1):
        assert told([lambda cookie: packet(cookie, now)])[0] == now


WRONG = (
    lambda cookie: b"",
    lambda cookie: packet(cookie, NOW - 1000)[:47],
    lambda cookie: packet(bytes(8), NOW - 1000),
    lambda cookie: packet(cookie[:7] + bytes([cookie[7] ^ 1]), NOW - 1000),
    lambda cookie: packet(cookie, NOW - 1000, first=0x23),  # a client's
    lambda cookie: packet(cookie, NOW - 1000, first=0x25),  # a broadcast
    lambda cookie: packet(cookie, NOW - 1000, stratum=0),  # kiss-of-death
    lambda cookie: packet(cookie, NOW - 1000, stratum=16),
    lambda cookie: packet(cookie, NOW - 1000, first=0xE4),  # its clock is not synchronized
    lambda cookie: packet(cookie)[:40] + bytes(8),  # no time
)


def test_ntp_what_nobody_may_believe():
    # Behind it in the same answer comes a good one
    for i, wrong in enumerate(WRONG):
        got, asked = told([wrong, packet])
        assert got == NOW and len(asked) == 1, (i, got, len(asked))


def test_ntp_that_tells_nothing():
    got, asked = told()
    assert got == "NTP: 127.0.0.1: no answer" and len(asked) == 2
    kiss = [lambda cookie: packet(cookie, stratum=0)]
    got, asked = told(kiss, kiss)
    assert got == "NTP: 127.0.0.1: the server does not know the time" and len(asked) in (1, 2)


def test_ntp_without_a_server():
    async def main(server):
        try:
            return await asyncio.wait_for(ntp.ask(server, "127.0.0.1:9"), LIMIT_S)
        except OSError as e:
            return str(e)

    wait = ntp.TIMEOUT_S
    ntp.TIMEOUT_S = 1
    try:
        s, port = bound()
        s.close()
        assert asyncio.run(main("127.0.0.1:{}".format(port))) == "NTP: 127.0.0.1: no answer"
        assert asyncio.run(main("127.0.0.1:x")).startswith("NTP: 127.0.0.1: ")
    finally:
        ntp.TIMEOUT_S = wait
