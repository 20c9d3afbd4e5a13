"""A watch as its wearer has it: what is on the display, what a touch does, when it shakes. `hal`
is a board's of the folder boards/; what is drawn is for `face`."""

import asyncio
import os

import face


class Wrist:
    """`hal`: the hardware; `uptime_s`: a function, a clock that only goes on; `idle`: a function
    of what face.clock() shows where there is nothing else; `back`: the path of the picture behind
    that, where there is one."""

    #: What a message can be answered with by a touch; three have room.
    replies = ("OK", "On my way", "Later")
    #: Seconds until the display goes off, and an alarm ends by itself.
    on_s = 15
    ring_s = 120
    #: The most messages that wait to be looked at, and characters of them together, where there
    #: are several.
    max_messages = 8
    max_waiting = 1000
    #: Seconds between two looks at the touch.
    tick_s = 0.1

    def __init__(self, hal, uptime_s, idle, back=""):
        self._hal = hal
        self._back = back
        #: Of that picture: each pixel as RGB565, the upper byte first, row by row.
        self.face_bytes = 2 * hal.display.width * hal.display.height
        self._uptime_s = uptime_s
        self._calm = idle
        self._messages = []  # (who, time, text, what answers)
        self._alarm = None  # (name, time)
        self._low = None
        self._found = None  # what is called when somebody who looks for it touches it
        self._glow = 0  # the backlight's level
        self._awake_until = self._ring_until = self._page = self._pulses = 0
        self._facing = True
        self._drawn_at = self._screen = None
        self._places = ()

    def wake(self, pulses=0):
        """Have the display on for a while, and shake so often."""
        self._awake_until = self._uptime_s() + self.on_s
        self._pulses = max(self._pulses, pulses)
        self._drawn_at = None

    def put(self, who, time, text, answer=None):
        """Show a message when those before it are answered or put away; how many those are.
        `answer`: a coroutine function of one of `replies`, which may raise OSError; None for what
        cannot be answered. Raises ValueError where too many wait."""
        waiting = self._messages
        text = face.plain(text)
        size = sum([len(m[2]) for m in waiting])
        if len(waiting) >= self.max_messages or waiting and size + len(text) > self.max_waiting:
            raise ValueError("{} wait to be looked at; try later".format(len(waiting)))
        waiting.append((face.plain(who), time, text, answer))
        self.wake(2)
        return len(waiting) - 1

    def ring(self, name, time):
        """Ring until it is touched, or for `ring_s`."""
        self._alarm = (name, time)
        self._ring_until = self._uptime_s() + self.ring_s
        self._drawn_at = None

    def search(self, found):
        """Shake and shine until somebody touches it, which calls `found`; None: no more."""
        self._found = found
        self.wake()

    def warn(self, level):
        """Say that the battery is low: `level` in %; None: no more."""
        self._low = level
        if level is not None:
            self.wake(1)

    def dress(self, path):
        """Have the picture of a file behind the clock, for good, in place of the one before; the
        file is moved, or removed where it is none: then raises ValueError."""
        size = os.stat(path)[6]
        if size != self.face_bytes:
            os.remove(path)
            display = self._hal.display
            text = "it has {} bytes, and {} x {} pixels of RGB565 have {}"
            raise ValueError(text.format(size, display.width, display.height, self.face_bytes))
        os.rename(path, self._back)
        self._screen = None
        self.wake()
        return "it is behind the time"

    def undress(self, *_):
        """Remove that picture. Raises ValueError where there is none."""
        try:
            os.remove(self._back)
        except OSError:
            raise ValueError("there is none")
        self._screen = None
        self.wake()

    async def run(self):
        """Until cancelled."""
        hal = self._hal
        ticks = 0
        while True:
            ticks += 1
            now = self._uptime_s()
            if self._alarm and now >= self._ring_until:
                self._alarm = None
                self.wake()
            loud = bool(self._alarm or self._found)
            event = hal.touch.get_event()
            if event:
                # Nobody has seen yet what has come since it was drawn
                if self._glow and self._to_see() == self._screen:
                    await self._touched(event[1], event[2])
                self.wake()
            elif not (self._glow or ticks % 2) and self._lifted():
                self.wake()
            elif self._pulses or loud and not ticks % 5:
                self._pulses = max(0, self._pulses - 1)
                hal.vibrator.pulse(60, 80)
            on = loud or now < self._awake_until
            light = 3 if loud else 2 if on else 0
            if on and now != self._drawn_at:
                self._drawn_at = now
                screen = self._to_see()
                if screen != self._screen:
                    self._screen = screen
                    self._places = screen[0](hal.display, *screen[1:])
            if light != self._glow:
                if not self._glow:
                    hal.display.poweron()
                hal.backlight.set(light)
                if not light:
                    hal.display.poweroff()
                self._glow = light
            await asyncio.sleep(self.tick_s)

    def _to_see(self):
        # What draws what is to be seen, and all that this depends on
        if self._alarm:
            return (face.alarm,) + self._alarm
        if self._found:
            return (face.find,)
        if self._messages:
            who, time, text, answer = self._messages[0]
            return face.message, who, time, text, self._page, self.replies if answer else ()
        if self._low is not None:
            return face.low, self._low
        return (face.clock, self._back) + self._calm()

    def _lifted(self):
        # Whether the display has just been turned up
        was = self._facing
        self._facing = self._hal.accel.xyz()[2] > 0.8
        return self._facing and not was

    async def _touched(self, x, y):
        name = None
        for place, left, top, w, h in reversed(self._places):
            if left <= x < left + w and top <= y < top + h:
                name = place
        if name == "stop":
            self._alarm = None
        elif name == "found":
            self._found()
            self._found = None
        elif not self._messages:  # nor anything else to put away
            self._low = None
        elif name == "more":
            pages = face.pages(self._hal.display, self._messages[0][2])
            self._page = (self._page + 1) % pages
        else:
            if name != "x":
                try:
                    await self._messages[0][3](name)
                except OSError:  # no session: it stays, to be tried again
                    self._pulses = 3
                    return
            self._messages.pop(0)
            self._page = 0
