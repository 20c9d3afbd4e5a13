"""thing: an agent that lets a device report to its owner's XMPP account and take commands."""

import asyncio
import gc
import os
import sys
from binascii import hexlify

from uxmpp.client import StanzaError
from uxmpp.reliable import ReliableClient
from uxmpp.xml import Element

from .access import Access
from .chat import Chat
from .clock import Clock, parse as parse_time
from .config import ConfigError, load
from .guard import Guard
from .registry import Command, Control, Registry, Sensor, parse
from .reports import Reports
from .state import load as load_state, save as save_state


class Thing:
    """A device, as its `device.json` (see `config`) and its declarations describe it."""

    #: MicroPython collects garbage after so many bytes. Left to itself it waits until the heap is
    #: full, and by then cut into pieces too small for a large message.
    gc_threshold = 4096
    #: Seconds until what failed at the beginning of a session is tried again.
    again_s = 5

    def __init__(self, path="device.json"):
        folder = path[: path.rfind("/") + 1]
        #: Where it keeps its reports, and what the client learnt.
        self.outbox_path = folder + "outbox"
        self.state_path = folder + "state.json"
        try:
            self.config = config = load(path)
            self.client = self._client(config, path)
        except ConfigError as e:
            print(e)
            # A board would restart for ever; there the error leads to the prompt
            if sys.platform in ("linux", "darwin", "win32"):
                sys.exit(1)
            raise
        if hasattr(gc, "threshold"):
            gc.threshold(self.gc_threshold)
        self.clock = Clock()
        self.registry = Registry()
        client = self.client
        client.identity = ("client", "bot", config["name"])
        client.state.update(load_state(self.state_path, client.account, client.log))
        client.keys = config.get("keys")
        client.on_state = self._keep
        client.on_online = self._online
        wifi = config.get("wifi")
        if wifi:
            from .wifi import Wifi

            wifi = Wifi(wifi["ssid"], wifi.get("password"))
        self.guard = Guard(self, wifi)
        client.on_try = self.guard.before
        self.access = Access(client, config)
        self.chat = Chat(self)
        self.reports = Reports(self)
        #: How often a declared function failed.
        self.faults = 0
        #: The last session in which the time was known, or asked for in vain.
        self.timed = None
        self._status = None
        self._delivery = None
        self._tasks = []

    def _client(self, config, path):
        try:
            return ReliableClient(
                config["jid"],
                config.get("password"),
                config.get("ca"),
                config.get("pin"),
                config.get("host"),
                config.get("port"),
                config.get("direct", False),
                config.get("plain", False),
                config.get("nameserver"),
            )
        except (OSError, ValueError) as e:
            raise ConfigError("{}: ca: not a certificate: {}".format(path, e))

    def sensor(self, name, **options):
        """Declare a sensor: a decorator for the function that reads it. Options: as Sensor's."""
        return self._declare(lambda f: Sensor(name, f, **options))

    def control(self, name, kind, **options):
        """Declare a control: a decorator for the function that sets it. Options: as Control's."""
        return self._declare(lambda f: Control(name, f, kind, **options))

    def command(self, name, **options):
        """Declare a command: a decorator for the function that does it. Options: as Command's."""
        return self._declare(lambda f: Command(name, f, **options))

    def _declare(self, make):
        def decorate(f):
            self.registry.add(make(f))
            return f

        return decorate

    def run(self):
        """Be the device, for ever."""
        try:
            asyncio.run(self.main())
        except KeyboardInterrupt:
            pass

    async def main(self):
        """As run(), for a program that has a loop of its own."""
        parts = [self.reports.run]
        if self.config.get("watchdog", True):
            parts.append(self.guard.watch)
        self._tasks = [asyncio.create_task(self._part(p)) for p in parts]
        if self._delivery:
            self._deliver()
        elif self._keeps():
            self.outbox()
        try:
            await self._part(self.client.run)
        finally:
            for task in self._tasks:
                task.cancel()
            self._tasks = []
            self._flush()

    def _keeps(self):
        # Whether there are durable reports to be made, or left from before
        try:
            if os.listdir(self.outbox_path):
                return True
        except OSError:
            pass
        return bool([s for s in self.registry.kind(Sensor) if s.durable])

    def outbox(self):
        """The Outbox of durable reports; opened with the first call."""
        if not self._delivery:
            from .delivery import Delivery
            from .outbox import Outbox

            self._delivery = Delivery(self, Outbox(self.outbox_path, self.client.log, self.clock))
            if self._tasks:
                self._deliver()
        return self._delivery.outbox

    def _deliver(self):
        for part in (self._delivery.run, self._delivery.outbox.run):
            self._tasks.append(asyncio.create_task(self._part(part)))

    async def _part(self, run):
        # A part that fails begins anew
        while True:
            try:
                return await run()
            except Exception as e:
                try:
                    self.fault("device", e)
                except Exception:  # no memory, or no room for the line
                    pass
                await asyncio.sleep(1)

    def restart(self, why):
        """Restart the board, with all reports in flash; a computer goes on instead."""
        try:
            from machine import reset
        except ImportError:
            return
        try:
            self.client.log("restart: " + why)
            self._flush()
        finally:  # whatever there is no memory for
            reset()

    def _flush(self):
        if self._delivery:
            self._delivery.outbox.flush()

    def beats(self):
        """Numbers that grow as long as the parts of the device get on."""
        return self.client.beats, self.reports.beats

    def _keep(self):
        client = self.client
        try:
            save_state(self.state_path, client.account, client.state, client.log)
        except MemoryError:  # the session is worth more
            pass

    async def set_clock(self):
        """Ask an NTP server for the time, where nobody knows it, or it may be wrong, and the
        server's certificate is good for some time only. Raises OSError."""
        # Whoever told it may have lied, and some clocks survive a restart
        wrong = "validity" in str(self.client.error)
        if (wrong or self.clock.now() is None) and not self.config.get("pin"):
            from .ntp import SERVER, ask

            server = self.config.get("ntp") or SERVER
            self.clock.set(await ask(server, self.config.get("nameserver")))

    async def say(self, to, text):
        """Send a chat message to a JID. It survives a cut line, but not a restart. Raises OSError
        where there is no session."""
        # By the id whoever got it knows it, should it have to be sent again
        id = hexlify(os.urandom(6)).decode()
        message = Element("message", None, {"to": to, "type": "chat", "id": id})
        message.add("body", None, None, text)
        await self.client.send(message)

    def fault(self, name, e):
        """Count and log that the function of declaration `name` failed."""
        self.faults += 1
        self.client.log("{}: {}".format(name, repr(e)))

    async def read(self, sensor):
        """Take a reading; a failure becomes the sensor's state."""
        try:
            sensor.value = await _call(sensor.read)
            sensor.error = None
        except Exception as e:
            sensor.value = None
            sensor.error = str(e) or repr(e)
            self.fault(sensor.name, e)

    async def set(self, control, text):
        """Set a control to what `text` means. Raises ValueError, or what its function raises."""
        value = parse(control.kind, text)
        result = await _call(control.set, value)
        control.value = value if result is None else result

    async def do(self, command, words):
        """Do a command with words as arguments; its result."""
        return await _call(command.do, *command.arguments(words))

    async def _online(self):
        # A session that is resumed is not begun again: this has to be done all the same
        client = self.client
        session = client.sessions
        while session == client.sessions:
            try:
                if self.timed != session and self.clock.now() is None:
                    await self._ask_time()
                self.timed = session
                client.on_line()
                await self.access.settle()
                self._status = None
                await self.announce()
                return
            except (OSError, MemoryError):
                await asyncio.sleep(self.again_s)

    async def _ask_time(self):
        # The server's own, where no certificate needed it before
        from uxmpp.xep.time import ask

        try:
            self.clock.set(parse_time(await ask(self.client, self.client.domain)))
        except (StanzaError, ValueError, OSError):  # then nobody tells
            pass

    async def announce(self):
        """Bring the presence up to date. Raises OSError without a session."""
        sensors = self.registry.kind(Sensor)
        status = sensors[0].name + ": " + sensors[0].state() if sensors else "online"
        if status != self._status:
            await self.access.announce(status)
            self._status = status

    async def report(self, text, durable=False):
        """Tell the owners, by message and by presence. Raises OSError without a session. With
        `durable` it returns when the report is safe, in flash or with the server; it goes on
        until it has arrived. Raises ValueError for a text of more than the outbox's `max_text`."""
        if not durable:
            for owner in self.access.owners:
                await self.say(owner, text)
            await self.announce()
            return
        await self.outbox().put(text)
        try:
            await self.announce()
        except OSError:  # the report is safe
            pass


async def _call(f, *args):
    result = f(*args)
    return await result if hasattr(result, "send") else result
