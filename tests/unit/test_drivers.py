"""The watches' drivers against simulated chips, and what is drawn with them. Runs on CPython and
on MicroPython; the chips are those of host_tools/lab/simulated."""

import asyncio
import builtins
import json
import os
import sys

from helper import raises, temporary

HEAP = "1200k"
ROOT = __file__.rpartition("/tests/")[0]
APPS = ROOT + "/firmware/apps"
SIMULATED = ROOT + "/host_tools/lab/simulated"
OWN = ("machine", "board", "bus", "chips", "drivers", "hal", "face", "wrist", "watch")
WHITE = b"\xff\xff"
BLACK = b"\0\0"

CHIPS = {
    "t-watch-2020": {
        "st7789": {"cs": 5, "dc": 27, "light": 12},
        "axp202": {"sda": 21, "percent": 63, "charging": 1, "mv": 3850},
        "bma423": {"sda": 21, "steps": 70000, "xyz": [0.5, -1, 1.5]},
        "pcf8563": {"sda": 21, "time": [2026, 11, 22, 7, 30, 59]},
        "ft6x36": {"sda": 23},
    },
    "t-watch-s3": {
        "st7789": {"cs": 12, "dc": 38, "light": 45},
        "axp2101": {"sda": 10, "percent": 63, "charging": 1},
        "bma423": {"sda": 10, "steps": 70000, "xyz": [0.5, -1, 1.5]},
        "pcf8563": {"sda": 10, "time": [2026, 11, 22, 7, 30, 59]},
        "drv2605": {"sda": 10},
        "ft6x36": {"sda": 39},
    },
    "waveshare-1.28": {
        "gc9a01": {"cs": 9, "dc": 8, "light": 2, "reset": 14},
        "cst816s": {"sda": 6},
        "qmi8658": {"sda": 6, "steps": 70000, "xyz": [0.5, -1, 1.5]},
        "adc": {"1": 1290000},
    },
}


class On:
    """`with On(board) as hal:` in an empty folder, with the board's chips; afterwards it is as
    before. `printed`: what the hardware said."""

    def __init__(self, board, files=(), **chips):
        self.board = board
        self.files = files
        self.chips = {n: dict(values) for n, values in CHIPS[board].items()}
        self.printed = []
        self.change(chips, write=False)

    def change(self, chips, write=True):
        for name, values in chips.items():
            if values is None:
                del self.chips[name]
            else:
                self.chips[name].update(values)
        if write:
            with open("chips.json", "w") as f:
                json.dump(self.chips, f)

    def __enter__(self):
        self.kept = os.getcwd(), sys.path[:], builtins.print
        self.folder = temporary("drivers")
        os.mkdir(self.folder)
        os.chdir(self.folder)
        builtins.print = lambda *words: self.printed.append(" ".join([str(w) for w in words]))
        sys.path[:0] = [ROOT + "/boards/" + self.board, ROOT + "/boards", APPS, SIMULATED]
        self.change({})
        for name, data in self.files:
            with open(name, "wb") as f:
                f.write(data)
        return self

    def hal(self):
        import hal

        return hal

    def head(self):
        with open("display.raw", "rb") as f:
            return f.read(8)

    def rows(self, x, y, w, h):
        """The pixels of a rectangle, a bytes object a row."""
        top = 80 if self.board.startswith("t-") else 0
        found = []
        with open("display.raw", "rb") as f:
            for i in range(h):
                f.seek(8 + ((y + top + i) * 240 + x) * 2)
                found.append(f.read(2 * w))
        return found

    def __exit__(self, *error):
        folder, sys.path[:], builtins.print = self.kept
        for name in [n for n in sys.modules if n.split(".")[0] in OWN]:
            del sys.modules[name]
        for name in os.listdir(self.folder):
            os.remove(name)
        os.chdir(folder)
        os.rmdir(self.folder)


PROGRAM = (("bma423.bin", bytes(6144)),)


def check_display(on, hal):
    display = hal.display
    # Dark, black, and the colours the right way round as soon as it is there
    state, madctl, light = on.head()[:3]
    assert (state, light) == (4, 0), on.head()
    assert set(on.rows(0, 0, 240, 240)) == {BLACK * 240}
    display.poweron()
    hal.backlight.set(3)
    assert (on.head()[0], on.head()[2]) == (7, 100)
    display.mute(True)
    assert on.head()[0] == 5
    display.mute(False)
    # All of what is there, and nothing of what is not
    display.fill(0xF81F, -5, 230, 10, 100)
    display.fill(0x1234, 235, -3, 100, 5)
    for nothing in ((240, 0, 1, 1), (0, 240, 1, 1), (5, 5, 0, 9), (5, 5, 9, -1), (-9, 0, 9, 9)):
        display.fill(0xFFFF, *nothing)
    assert on.rows(0, 229, 6, 2) == [BLACK * 6, b"\xf8\x1f" * 5 + BLACK]
    assert on.rows(234, 1, 6, 2) == [BLACK + b"\x12\x34" * 5, BLACK * 6]
    display.fill(0)
    # A slash of 5 x 7: at double size its steps are filled up
    display.string("/", 10, 20, 0xFFFF, 0, 1)
    art = ["".join([".#"[r[i] > 0] for i in range(0, 10, 2)]) for r in on.rows(10, 20, 5, 7)]
    assert art == [".....", "....#", "...#.", "..#..", ".#...", "#....", "....."], art
    display.string("/", 10, 20)
    art = ["".join([".#"[r[i] > 0] for i in range(0, 20, 2)]) for r in on.rows(10, 22, 10, 4)]
    assert art == ["........##", ".......###", "......###.", ".....###.."], art
    # What does not fit is left out, and nothing is drawn over the edge
    display.fill(0)
    display.string("#" * 99, 0, 0, 0xFFFF, 0x0001, 7)
    display.string("x", 239, 100)
    display.string("", 10, 100)
    display.string("x", -1, 100)
    display.string("x", 10, 233)
    rows = on.rows(0, 0, 240, 240)
    assert WHITE in rows[10] and rows[10][-12:] == BLACK * 6, rows[10]
    assert set(rows[49:]) == {BLACK * 240}
    display.poweroff()
    hal.backlight.set(0)
    assert (on.head()[0], on.head()[2]) == (4, 0)


def check_touch(on, hal, name):
    assert hal.touch.get_event() is None
    for number, place in ((1, [239, 0]), (2, [17, 239])):
        on.change({name: {"touch": place + [number]}})
        assert hal.touch.get_event() == (5, place[0], place[1])
        assert hal.touch.get_event() is None and hal.touch.get_event() is None
    assert on.printed.count("touch: over") == 2


def check_motion(on, hal, name):
    assert hal.accel.steps == 70000
    assert [round(g, 2) for g in hal.accel.xyz()] == [0.5, -1, 1.5]
    on.change({name: {"steps": 70100, "xyz": [-0.25, 0, 0]}})
    assert hal.accel.steps == 70100 and hal.accel.xyz() == (-0.25, 0, 0)


def check_clock(on, hal):
    assert hal.rtc.get_localtime() == (2026, 11, 22, 7, 30, 59)
    hal.rtc.set_localtime((2030, 2, 3, 23, 4, 5, 6, 34))
    assert hal.rtc.get_localtime() == (2030, 2, 3, 23, 4, 5)
    assert "rtc: 2030-02-03 23:04:05" in on.printed


def test_t_watch_2020():
    with On("t-watch-2020", PROGRAM) as on:
        hal = on.hal()
        check_display(on, hal)
        check_touch(on, hal, "ft6x36")
        check_motion(on, hal, "bma423")
        check_clock(on, hal)
        assert (hal.battery.level(), hal.battery.charging()) == (63, True)
        assert hal.battery.voltage_mv() in range(3840, 3855)
        on.change({"axp202": {"percent": 127, "charging": 0}})
        assert "does not know" in str(raises(ValueError, hal.battery.level))
        assert not hal.battery.charging()
        hal.vibrator.pulse(60, 1)
        assert on.printed[-2:] == ["pwm 4: 60 %", "pwm 4: 0 %"]


def test_t_watch_s3():
    with On("t-watch-s3", PROGRAM) as on:
        hal = on.hal()
        hal.display.fill(0xFFFF, 3, 239, 1, 1)
        assert on.rows(2, 239, 3, 1) == [BLACK + WHITE + BLACK]
        check_touch(on, hal, "ft6x36")
        check_motion(on, hal, "bma423")
        check_clock(on, hal)
        assert (hal.battery.level(), hal.battery.charging()) == (63, True)
        on.change({"axp2101": {"charging": 0}})
        assert not hal.battery.charging()
        hal.vibrator.pulse(60, 1)
        assert on.printed[-2:] == ["motor: 60 %", "motor: 0 %"]
        # Open loop, and amplitudes with a sign (data sheet, figure 24)
        assert hal._i2c.readfrom_mem(0x5A, 0x1D, 1)[0] & 0x28 == 0x20


def test_waveshare():
    with On("waveshare-1.28") as on:
        hal = on.hal()
        check_display(on, hal)
        check_touch(on, hal, "cst816s")
        check_motion(on, hal, "qmi8658")
        assert hal.rtc.get_localtime() is None
        hal.vibrator.pulse()
        levels = []
        for uv in (1500000, 1400000, 1383334, 1290000, 1150000, 1100000, 1000000):
            on.change({"adc": {"1": uv}})
            levels.append(hal.battery.level())
        assert levels == [100, 100, 100, 64, 7, 0, 0], levels
        on.change({"adc": {"1": 0}})
        assert "no battery" in str(raises(ValueError, hal.battery.level))


def test_what_is_missing():
    # Steps need the chip's program, all of it; the rest of the chip does not
    for files in ((), (("bma423.bin", bytes(6000)),)):
        with On("t-watch-2020", files) as on:
            from drivers.bma423 import BMA423
            from drivers.pcf8563 import PCF8563
            from machine import I2C, Pin

            i2c = I2C(0, scl=Pin(22), sda=Pin(21))
            accel = BMA423(i2c)
            rtc = PCF8563(i2c)
            assert i2c.scan() == [0x19, 0x35, 0x51]
            assert "program" in str(raises(ValueError, lambda: accel.steps))
            assert [round(g, 2) for g in accel.xyz()] == [0.5, -1, 1.5]
            on.change({"pcf8563": {"time": [2026, 13, 1, 0, 0, 0]}})
            assert rtc.get_localtime() is None
            on.change({"bma423": {"sda": 23}})
            raises(OSError, accel.xyz)  # it is on the other bus
            raises(OSError, BMA423, i2c)
    with On("t-watch-2020", pcf8563={"time": None}):
        from drivers.pcf8563 import PCF8563
        from machine import I2C, Pin

        assert PCF8563(I2C(0, sda=Pin(21))).get_localtime() is None  # it was without power
    with On("t-watch-2020", axp202=None) as on:
        raises(OSError, on.hal)


class Display:
    """In place of a display: says in which order it is used."""

    width = height = 240
    round = False

    def __init__(self):
        self.said = []

    def fill(self, *args):
        pass

    def string(self, text, *args):
        self.said.append(text)

    def poweron(self):
        self.said.append("on")

    def poweroff(self):
        self.said.append("off")


class Hal:
    """Hardware of which a test says what happens; as `backlight`, `vibrator` and so on, too."""

    def __init__(self):
        self.display = Display()
        self.backlight = self.vibrator = self.touch = self.accel = self
        self.events = []
        self.z = 1
        self.light = None
        self.pulses = 0

    def set(self, level):
        self.light = level

    def pulse(self, duty, ms):
        self.pulses += 1

    def get_event(self):
        return self.events.pop(0) if self.events else None

    def xyz(self):
        return 0, 0, self.z


def test_wrist():
    with On("t-watch-2020"):
        from wrist import Wrist

        asyncio.run(wear(Wrist))


async def wear(Wrist):  # noqa: N803 - it is the class
    hal = Hal()
    said = hal.display.said
    now = [0]
    wrist = Wrist(hal, lambda: now[0], lambda: ("12:00", None, None, None, True))
    wrist.tick_s = 0
    answers = []

    async def answer(reply):
        answers.append(reply)
        if len(answers) < 2:
            raise OSError("no session")

    async def go(*events, seconds=0, ticks=8):
        now[0] += seconds
        del said[:]
        hal.events += [(5, x, y) for x, y in events]
        for _ in range(ticks):
            await asyncio.sleep(0)

    task = asyncio.create_task(wrist.run())
    await go()
    assert said == [] and hal.light is None
    # A message lights it, and stays in the dark; the first touch only lights it again
    assert wrist.put("Anna", "07:20", "Hi", answer) == 0
    await go()
    assert "Hi" in said and said[-1] == "on" and hal.light == 2 and hal.pulses == 2
    await go(seconds=15)
    assert said == ["off"] and hal.light == 0
    await go((40, 210))
    assert said == ["on"] and answers == []
    # What cannot be sent stays, and can be tried again
    await go((40, 210))
    assert answers == ["OK"] and hal.pulses == 5
    await go((120, 210))
    assert answers == ["OK", "On my way"] and "12:00" in said
    # By the wrist
    await go(seconds=15)
    hal.z = 0
    await go()
    assert said == []
    hal.z = 1
    await go()
    assert said == ["on"]
    # Nothing is behind these, and what came as the finger did is not answered unseen
    await go((40, 210), (1, 1))
    wrist.put("Ben", "07:21", "Ho", answer)
    await go((40, 210))
    assert len(answers) == 2 and "Ho" in said
    await go((230, 10))
    assert len(answers) == 2 and "12:00" in said
    # Not more than there is memory for, but a long one alone
    assert wrist.put("Anna", "07:20", "x" * 1501) == 0
    assert "1 wait" in str(raises(ValueError, wrist.put, "Anna", "07:20", "Hi"))
    await go()
    await go((230, 10))
    # An alarm goes before a message, ends by itself, and what is low waits
    for i in range(8):
        assert wrist.put("Anna", "07:20", "Hi", None) == i
    assert "8 wait" in str(raises(ValueError, wrist.put, "Anna", "07:20", "Hi", None))
    wrist.warn(12)
    wrist.ring("Alarm", "07:30")
    await go()
    assert "07:30" in said and hal.light == 3
    await go(seconds=119)
    assert hal.light == 3
    await go(seconds=1)
    assert "Hi" in said and "OK" not in said
    await go(*[(230, 10)] * 8, ticks=20)
    assert "12 %" in said
    await go((1, 1))
    assert "12:00" in said
    found = []
    wrist.search(lambda: found.append(1))
    await go()
    await go((1, 1), (1, 1))
    assert found == [1]
    task.cancel()


class OverError(Exception):
    pass


def test_alarm_and_timer():
    zone = "CET-1CEST,M3.5.0,M10.5.0/3"
    config = {"jid": "w@lab.example", "password": "x", "owners": ["a@lab.example"]}
    config = json.dumps(dict(config, pin="0" * 64, timezone=zone)).encode()
    with On("t-watch-2020", PROGRAM + (("device.json", config),)):
        import thing
        from thing.clock import parse

        run, thing.Thing.run = thing.Thing.run, lambda self: None
        try:
            import watch
        finally:
            thing.Thing.run = run
        now = [None]
        rung = []
        watch.clock.now = lambda: now[0]
        watch.wrist.ring = lambda name, at: rung.append(name + " " + at)
        loop = asyncio

        def rings(begin, seconds, step=20):
            """What rings in `seconds` from `begin`."""
            del rung[:]
            now[0] = begin = parse(begin)

            class Loop:
                @staticmethod
                async def sleep(_):
                    now[0] += step
                    if now[0] > begin + seconds:
                        raise OverError

            watch.asyncio = Loop
            raises(OverError, loop.run, watch.watch())
            return rung

        for text in ("24:00", "7:3", "07:60", "-1:30", "a:bc", ":", "7:30x", "1:2:3", ""):
            assert "such as 07:30" in str(raises(ValueError, watch.alarm, text)), text
        assert watch.alarm("Off") == "off" and rings("2026-06-01T21:50:00Z", 1200) == []
        # At midnight; and where the clock is set on by more than a minute, but not by an hour
        assert watch.alarm("0:00") == "00:00"
        assert rings("2026-06-01T21:50:00Z", 1200) == ["Alarm 00:00"]
        assert rings("2026-06-01T21:58:59Z", 1200, 91) == ["Alarm 00:00"]
        assert rings("2026-06-01T21:30:00Z", 7200, 3600) == []
        # Summer time begins, and ends: once a day
        assert watch.alarm("2:30") == "02:30"
        assert rings("2026-03-29T00:10:00Z", 7200) == ["Alarm 03:00"]
        assert rings("2026-10-24T23:10:00Z", 10800) == ["Alarm 02:30"]
        watch.alarm("off")
        watch.clock.now = lambda: None
        assert "to know the time" in str(raises(ValueError, watch.timer, "5m"))
        assert watch.timer("2026-06-01 23:59:00") == "2026-06-01 23:59:00"  # as it was kept
        watch.clock.now = lambda: now[0]
        assert rings("2026-06-01T21:58:00Z", 600) == ["Timer 23:59"] and not watch.due["timer"]
        assert watch.timer("90 s").endswith(":50")
        for text in ("0s", "-5m", "25h", "2026-99-99 99:99:99", "99999999-1-1 1:1:1", "--::"):
            raises(ValueError, watch.timer, text)
        assert watch.due["timer"] == now[0] + 90 and watch.timer("OFF") == "off"


def test_text():
    with On("t-watch-2020"):
        import face

        display = Display()
        assert face.plain("Ünïcödé ÷ ×, 21 °C, µ, 中 😀") == "Unicode / x, 21 °C, µ, 中 😀"
        assert face.plain("") == "" and face.plain("plain") == "plain"
        assert face.wrap("", 5) == [""] and face.wrap("abcd", 4) == ["abcd"]
        assert face.wrap("abcdefgh", 4) == ["abcd", "efgh"]
        assert face.wrap("a bb ccc dddd", 4) == ["a bb", "ccc", "dddd"]
        assert face.wrap("abcdefghij kl", 4) == ["abcd", "efgh", "ij", "kl"]
        assert face.pages(display, "Hi") == 1
        text = "word " * 300
        n = face.pages(display, text)
        for i in range(n):
            face.message(display, "Anna", "07:20", text, i, ())
        assert " ".join(display.said).count("word") == 300 and n == 15
