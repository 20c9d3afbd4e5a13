"""A watch as its wearer has it: what is on the display, what a touch does, when it shakes. `hal`
is a board's of the folder boards/; what is drawn is for `face`."""

import asyncio

import face


class Wrist:
    """`hal`: the hardware; `uptime_s`: a function, a clock that only goes on; `idle`: a function
    of what face.clock() shows where there is nothing else."""

    #: What a message can be answered with by a touch; three have room.
    replies = ("OK", "On my way", "Later")
    #: Seconds until the display goes off, and an alarm ends by itself.
    on_s = 15
    ring_s = 120
    #: The most messages that wait to be looked at.
    max_messages = 8
    #: Seconds between two looks at the touch.
    tick_s = 0.1

    def __init__(self, hal, uptime_s, idle):
        self._hal = hal
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
        if len(waiting) >= self.max_messages:
            raise ValueError("{} wait to be looked at; try later".format(len(waiting)))
        waiting.append((face.plain(who), time, face.plain(text), answer))
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
        return (face.clock,) + self._calm()

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
