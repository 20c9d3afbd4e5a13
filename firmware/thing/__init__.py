"""thing: an agent that lets a device report to its owner's XMPP account and take commands."""

import asyncio
import gc
import sys

from uxmpp.reliable import ReliableClient
from uxmpp.xml import Element

from .access import Access
from .chat import Chat
from .clock import ticks_diff, ticks_ms
from .config import ConfigError, load
from .registry import Command, Control, Registry, Sensor, parse
from .reports import Reports


class Thing:
    """A device, as its `device.json` (see `config`) and its declarations describe it."""

    #: MicroPython collects garbage after so many bytes. Left to itself it waits until the heap is
    #: full, and by then cut into pieces too small for a large message.
    gc_threshold = 4096

    def __init__(self, path="device.json"):
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
        self.registry = Registry()
        self.client.identity = ("client", "bot", config["name"])
        self.client.on_online = self._online
        self.access = Access(self.client, config)
        self.chat = Chat(self)
        #: How often a declared function failed.
        self.faults = 0
        self._status = None
        self._ticks = ticks_ms()
        self._up_ms = 0

    def _client(self, config, path):
        try:
            return ReliableClient(
                config["jid"],
                config["password"],
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
        reports = asyncio.create_task(Reports(self).run())
        try:
            await self.client.run()
        finally:
            reports.cancel()

    async def say(self, to, text):
        """Send a chat message to a JID; it is lost where there is no session."""
        message = Element("message", None, {"to": to, "type": "chat"})
        message.add("body", None, None, text)
        await self.client.send(message)

    def fault(self, name, e):
        """Count and log that the function of declaration `name` failed."""
        self.faults += 1
        self.client.log("{}: {}".format(name, repr(e)))

    def uptime_s(self):
        """Seconds since the start."""
        now = ticks_ms()
        self._up_ms += ticks_diff(now, self._ticks)
        self._ticks = now
        return self._up_ms // 1000

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
        await self.access.settle()
        self._status = None
        await self._announce()

    async def _announce(self):
        sensors = self.registry.kind(Sensor)
        status = sensors[0].name + ": " + sensors[0].state() if sensors else "online"
        if status != self._status:
            self._status = status
            await self.access.announce(status)

    async def report(self, text):
        """Tell the owners, by message and by presence. Raises OSError without a session."""
        for owner in self.access.owners:
            await self.say(owner, text)
        await self._announce()


async def _call(f, *args):
    result = f(*args)
    return await result if hasattr(result, "send") else result
