"""Sleep: deep sleep between reports, in which the session goes on, and light sleep while nobody
talks to the device. Loaded where device.json has `sleep`. What falls asleep and wakes up is in
`nap`, loaded for that alone."""

import asyncio

from uxmpp.jid import bare

from .memory import forget
from .clock import parse

_DELAY = "urn:xmpp:delay"


class Sleep:
    """The sleep of a Thing, by the setting `sleep`: {"every": seconds from one wake to the next,
    "awake": seconds awake after the last word, "inactive": seconds without a word until it sleeps
    lightly}. Without "every" it sleeps deeply when the program says so."""

    #: Seconds awake after the last word, where the configuration does not say.
    awake_s = 20
    #: The shortest deep sleep, and the longest, in seconds.
    min_s = 5
    max_s = 86400
    #: Seconds without a session after which it sleeps all the same, and seconds that what is under
    #: way has to arrive.
    patience_s = 60
    settle_s = 10
    #: What was written while it slept is done if it is older than that sleep by so many seconds
    #: at the most.
    margin_s = 60
    #: After so many seconds of sleep the time is asked for anew: a board's clock is not good then.
    clock_s = 7200
    #: Seconds between two looks.
    tick_s = 0.2

    def __init__(self, thing):
        self.thing = thing
        config = thing.config["sleep"]
        self.every = config.get("every")
        self.awake = config.get("awake", self.awake_s)
        #: How much is under way that a deep sleep would end; a program may count, too.
        self.busy = 0
        #: When somebody with a role said something last, uptime in milliseconds.
        self.used = 0
        #: Seconds of the deep sleep that the program wants, or None.
        self.wish = None
        #: Uptime in milliseconds at which the deep sleep is to end.
        self.due = (self.every or 0) * 1000
        #: (Unix time at which it fell asleep, the longest sleep in seconds), where that is over
        #: and people had been told; the Unix time of the first session since.
        self.slept = self.since = None
        self._met = 0  # the uptime of that session, in milliseconds
        #: Whether a session was kept, and whether it was said that the server ended it.
        self.kept = self.said = False
        #: By sensor, what its last report was made to be, and by how many ms that is too early.
        self.early = {}
        #: Seconds of sleep since the time was asked for.
        self.drift = 0
        #: The task of the client, and whether it was ended for a deep sleep.
        self.line = None
        self.asleep = False
        self.event = thing.event("woke")
        self._asker = thing.asker
        self._run = thing.client.run
        self._offer = thing.client.sm.offer
        self._begun = None
        self._inactive = config.get("inactive")
        self._light = False
        thing.asker = self._heard
        thing.act = self._counted(thing.act)
        thing.share = self._counted(thing.share)
        thing.client.run = self._client
        if self.every:
            thing.client.sm.offer = self._ask
        if self._inactive:
            from uxmpp.xep.csi import Csi

            self._csi = Csi(thing.client)

    def begin(self):
        """Go on from where the last deep sleep began. Called before anything else runs."""
        from . import nap

        nap.begin(self)
        forget("nap")

    def ahead(self, ms):
        """Have the clock's uptime be longer by milliseconds."""
        clock = self.thing.clock
        uptime = clock.uptime_ms
        clock.uptime_ms = lambda: uptime() + ms

    def soon(self, seconds):
        """As Thing.sleep()."""
        from . import nap

        try:
            return nap.soon(self, seconds)
        finally:
            forget("nap")

    def covers(self, stanza):
        """Whether a delayed stanza (XEP-0203) was sent while the device slept as it had announced,
        and is not older than that sleep and `margin_s`: by all stamps on it, one of which has to
        be its own server's."""
        thing = self.thing
        client = thing.client
        clock = thing.clock
        now = clock.now()
        if not self.slept or now is None:
            return False
        since, seconds = self.slept
        # What waited comes with the first session, before that is noticed
        until = self.since or now
        margin = self.margin_s
        # It comes at once; later the clock may be another
        if self.since and clock.uptime_ms() - self._met > margin * 1000:
            return False
        ours = False
        for el in stanza.elements():
            if el.name == "delay" and el.xmlns == _DELAY:
                try:
                    at = parse(el.get("stamp") or "")
                except ValueError:
                    return False
                if not since - margin <= at <= until + margin or now - at > seconds + margin:
                    return False
                if bare(el.get("from")) in (client.domain, client.account):
                    ours = True
        return ours

    async def run(self):
        """Sleep whenever it is time to, until cancelled."""
        thing = self.thing
        client = thing.client
        reports = thing.reports
        uptime = thing.clock.uptime_ms
        last = uptime()
        look = None
        while True:
            await asyncio.sleep(self.tick_s)
            now = uptime()
            if client.online:
                last = now
                if look is None:
                    look = reports.beats
                    if not self.since:
                        self._meet(now)
                # What is due has been read, and who asked has the answer
                ready = reports.beats > look + 1 and not client._tasks
                if self.wish is None and now - self.used < self.awake * 1000:
                    ready = False
                if self._inactive and now - self.used >= self._inactive * 1000:
                    self._rest(True)
            else:
                look = None
                ready = now - last >= self.patience_s * 1000
            if ready and not self.busy and (self.every or self.wish is not None):
                from . import nap

                try:
                    await nap.fall(self)
                finally:
                    forget("nap")

    def _meet(self, now):
        # The first session since the start, which may be the one from before the sleep
        thing = self.thing
        client = thing.client
        self.used = self._met = now
        self.since = thing.clock.now() or 1
        if not client.sessions:
            # Nobody knows that it begins anew here
            self._begun = asyncio.create_task(client.on_online())
        elif self.kept and not self.said:
            self.said = True
            thing.log("the server kept no session for that long: contacts saw it offline")
        if self.drift > self.clock_s:
            self.drift = 0
            self._asked = asyncio.create_task(thing.ask_time())

    async def _client(self):
        # The client's run(), as a task that can be ended alone
        self.line = asyncio.create_task(self._run())
        try:
            await self.line
        except asyncio.CancelledError:
            if not self.asleep:
                raise
            await asyncio.Event().wait()

    def _ask(self, ask, bind):
        # The session is to last longer than a sleep, where the server lets us choose
        self._offer(ask, bind)
        enable = bind.find("enable", self.thing.client.sm.xmlns)
        enable.attrs["max"] = str(int(self.every) + 2 * self.patience_s)

    def _heard(self, jid, via):
        # In the place of Thing.asker: whoever talks to the device comes by here
        asker = self._asker(jid, via)
        if asker.rank and via != "schedule":
            self.used = self.thing.clock.uptime_ms()
            self._rest(False)
        return asker

    def _counted(self, f):
        # In the place of a method of Thing: no deep sleep while it runs
        async def run(*args, **named):
            self.busy += 1
            try:
                return await f(*args, **named)
            finally:
                self.busy -= 1

        return run

    def _rest(self, light):
        # Sleep lightly, or no longer. machine.lightsleep() would stop WiFi
        if not self._inactive:
            return
        self._csi.tell(not light)
        if light != self._light and self.thing.guard.wifi:
            import network

            wlan = network.WLAN(network.STA_IF)
            try:
                wlan.config(pm=wlan.PM_POWERSAVE if light else wlan.PM_PERFORMANCE)
            except (AttributeError, OSError, ValueError):  # a board that cannot
                pass
        self._light = light
