"""What a device does when coming back takes long: it switches WiFi off and on, then itself; and a
watchdog that only progress keeps quiet."""

import asyncio

# ENOMEM, as a TLS library without memory says it
_ENOMEM = 12


class Guard:
    """Before each try to connect it sees to WiFi and clock, and counts. `thing`: what it guards;
    `wifi`: a Wifi or None; an Improv takes its place while it cannot join."""

    #: After so many failed tries in a row WiFi is switched off and on, and again after as many.
    cycle_after = 5
    #: After so many failed tries in a row the board restarts; 0: never.
    reset_after = 30
    #: After so many tries without a stable session between that failed for want of memory, too.
    starved_after = 3
    #: The watchdog's own time, which no step of the loop may take. Some boards allow 8 s.
    watchdog_ms = 8000
    #: Seconds without progress after which the watchdog is not fed, besides the client's longest
    #: pause and silence: more than a try can take.
    stuck_s = 300

    def __init__(self, thing, wifi=None):
        self._thing = thing
        self.wifi = wifi
        self._starved = 0
        self._last = 0  # uptime of the last try
        #: How often WiFi was switched off and on.
        self.cycles = 0

    async def before(self):
        """Before a try to connect. Raises OSError when there is no use in it."""
        client = self._thing.client
        failures = client.failures
        error = client.error
        now = self._thing.clock.uptime_s()
        if failures < 2 and now - self._last > client.stable_s:
            self._starved = 0
        self._last = now
        if isinstance(error, MemoryError) or (
            isinstance(error, OSError) and error.args[:1] == (_ENOMEM,)
        ):
            self._starved += 1
        if self._starved >= self.starved_after:
            self._thing.restart("no memory for a session")
        if self.reset_after and failures >= self.reset_after:
            self._thing.restart("{} tries failed".format(failures))
        if self.wifi:
            if failures and failures % self.cycle_after == 0:
                self.cycles += 1
                client.log("WiFi: off and on after {} failed tries".format(failures))
                await self.wifi.cycle()
            await self.wifi.up(self._thing)
        await self._thing.set_clock()

    async def watch(self):
        """Feed the board's watchdog as long as all gets on, until cancelled."""
        try:
            from machine import WDT
        except ImportError:  # a computer has its own ways
            return
        wdt = WDT(timeout=self.watchdog_ms)
        thing = self._thing
        beats = since = None
        while True:
            now = thing.clock.uptime_s()
            found = thing.beats()
            if since is None:
                beats = found
                since = [now] * len(found)
            for i, beat in enumerate(found):
                if beat != beats[i]:
                    since[i] = now
            beats = found
            client = thing.client
            if now - min(since) < self.stuck_s + client.max_pause_s + client.silence_s:
                wdt.feed()
            await asyncio.sleep(self.watchdog_ms / 4000)
