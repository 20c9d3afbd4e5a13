"""thing: an agent that lets a device report to its owner's XMPP account and take commands."""

import asyncio
import gc
import os
from binascii import hexlify

from uxmpp.client import StanzaError
from uxmpp.xml import Element

from .memory import forget
from .access import Access, Asker
from .builtin import declare
from .clock import Clock, parse as parse_time
from .guard import Guard
from .presence import Presence
from .registry import Command, Control, Event, Occupancy, Registry, Sensor, Setting, show
from .reports import Reports


class Thing:
    """A device, as its `device.json` (see `config`) and its declarations describe it."""

    #: MicroPython collects garbage after so many bytes. Left to itself it waits until the heap is
    #: full, and by then cut into pieces too small for a large message.
    gc_threshold = 4096
    #: Seconds until what failed at the beginning of a session is tried again.
    again_s = 5
    #: Where less is free, forms and readouts are refused: a session needs some, too.
    spare_bytes = 8192
    #: The longest that reading a sensor may take, and setting or doing, in seconds.
    read_s = 10
    act_s = 3600
    #: The most lines that `log` shows, and characters of one.
    max_lines = 12
    max_line = 100

    def __init__(self, path="device.json"):
        #: Where it keeps its files: reports, what the client learnt, settings, history.
        self.folder = folder = path[: path.rfind("/") + 1]
        self.outbox_path = folder + "outbox"
        self.state_path = folder + "state.json"
        #: The last lines of the log: (uptime in seconds, text).
        self.lines = []
        self.clock = Clock()
        from .setup import begin

        self.config, self.client, wifi = begin(path, self.state_path, self.log)
        config = self.config
        client = self.client
        for name in ("setup", "config", "state"):
            forget(name)
        if hasattr(gc, "threshold"):
            gc.threshold(self.gc_threshold)
        self.registry = Registry()
        client.on_state = self._keep
        client.on_online = self._online
        self.guard = Guard(self, wifi)
        client.on_try = self.guard.before
        self.access = Access(self)
        self.reports = Reports(self)
        self.presence = Presence(self)
        #: How often a declared function failed.
        self.faults = 0
        #: The last session in which the time was known, or asked for in vain.
        self.timed = None
        self._delivery = None
        self._tasks = []
        self._own = []  # what task() was given
        self._stopping = False
        #: What the configuration turned on, by name: each loaded only then.
        self.surfaces = {}
        for name in config["surfaces"]:
            made = __import__("thing." + name, None, None, (name,))
            made = getattr(made, name[:1].upper() + name[1:])(self)
            self.surfaces[name] = made
            client.features = getattr(client, "features", []) + list(getattr(made, "features", ()))
        declare(self)

    def log(self, text):
        """Write a line of the log, and keep it for `log`."""
        text = " ".join(text.split())  # nobody's words begin another
        print(text)
        lines = self.lines
        if len(lines) >= self.max_lines:
            lines.pop(0)
        lines.append((self.clock.uptime_s(), text[: self.max_line]))

    def sensor(self, name, **options):
        """Declare a sensor: a decorator for the function that reads it. Options: as Sensor's."""
        return self._declare(Sensor, name, options)

    def occupancy(self, name, **options):
        """Declare a sensor of presence: a decorator for the function that tells whether something
        moves. Options: as Occupancy's."""
        return self._declare(Occupancy, name, options)

    def control(self, name, kind, **options):
        """Declare a control: a decorator for the function that sets it. Options: as Control's."""
        return self._declare(Control, name, options, kind)

    def setting(self, name, kind, **options):
        """Declare a setting: as control(); it is kept, and set at the start."""
        return self._declare(Setting, name, options, kind)

    def command(self, name, **options):
        """Declare a command: a decorator for the function that does it. Options: as Command's."""
        return self._declare(Command, name, options)

    def event(self, name, **options):
        """Declare an event; returns what is to be called when it happens. Options: as Event's."""
        return self.registry.add(Event(name, self.reports.happened, **options))

    def file(self, name, **options):
        """Declare a file that people may send, where the surface `files` is on: a decorator for
        the function of its path. Options: as files.Incoming's."""
        if "files" not in self.surfaces:
            return lambda f: f
        from .files import Incoming

        return self._declare(Incoming, name, options)

    def topic(self, name):
        """Have a function called with each message that is published to a topic of MQTT's kind,
        or to those that a filter such as "garden/+/temperature" matches: a decorator. It gets the
        topic, a str, and the message, bytes. Raises umqtt's MappingError."""
        from .topics import of

        return of(self).on(name)

    def publish(self, *args, **options):
        """Publish to a topic: `topic, msg, retain=False, qos=0`, as umqtt has them. To be awaited;
        with `qos` 1 until the service has it. Raises umqtt's MQTTException, OSError."""
        from .topics import of

        return of(self).publish(*args, **options)

    def task(self, f):
        """Have the coroutine function `f` run as long as the device does, begun anew where it
        fails: a decorator."""
        self._own.append(f)
        return f

    def _declare(self, cls, name, options, *kind):
        def decorate(f):
            self.registry.add(cls(name, f, *kind, **options))
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
        sleep = self.surfaces.get("sleep")
        if sleep:
            sleep.begin()
        if self.registry.kind(Setting):
            from . import settings

            await settings.begin(self)
            forget("settings")
        parts = [self.reports.run]
        parts += [s.run for s in self.surfaces.values() if hasattr(s, "run")] + self._own
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
            self._stopping = True
            for task in self._tasks:
                task.cancel()
            self._tasks = []
            self.flush()

    def _keeps(self):
        # Whether there are durable reports to be made, or left from before
        try:
            if os.listdir(self.outbox_path):
                return True
        except OSError:
            pass
        return bool([e for e in self.registry.entries if getattr(e, "durable", False)])

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
            except asyncio.CancelledError as e:
                if self._stopping:
                    raise
                why = e
            except Exception as e:
                why = e
            try:
                self.fault("device", why)
            except Exception:  # no memory, or no room for the line
                pass
            await asyncio.sleep(1)

    def sleep(self, seconds):
        """Have the board sleep deeply for so long, as soon as what is under way is done: then the
        program begins anew, and the session goes on. Returns at once what to say of it. Raises
        ValueError where the configuration has no `sleep`, OSError where the board cannot."""
        if "sleep" not in self.surfaces:
            raise ValueError('sleep: device.json has none; {"sleep": {}} is enough')
        return self.surfaces["sleep"].soon(seconds)

    def restart(self, why):
        """Restart the board, with all reports in flash; a computer goes on instead."""
        try:
            from machine import reset
        except ImportError:
            return
        try:
            # The reports first: there may be no memory for the line
            self.flush()
        finally:
            try:
                self.client.log("restart: " + why)
            finally:  # whatever there is no memory for
                reset()

    def flush(self):
        """Write what is only in RAM yet."""
        if self._delivery:
            self._delivery.outbox.flush()
        for surface in self.surfaces.values():
            if hasattr(surface, "flush"):
                surface.flush()

    def beats(self):
        """Numbers that grow as long as the parts of the device get on."""
        return self.client.beats, self.reports.beats

    def _keep(self):
        client = self.client
        try:
            from .state import save

            save(self.state_path, client.account, client.state, client.log)
        except MemoryError:  # the session is worth more
            pass
        forget("state")

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

    @property
    def zone(self):
        """The Zone of the configuration's `timezone`, else UTC's."""
        from .zone import of

        forget("zone")
        return of(self)

    def spare(self):
        """Whether there is memory for what takes much. Whoever asks for more is to come again."""
        if not hasattr(gc, "mem_free") or gc.mem_free() >= self.spare_bytes:
            return True
        gc.collect()
        return gc.mem_free() >= self.spare_bytes

    def asker(self, jid, via):
        """The Asker that a full JID is; `via`: the surface it came by."""
        return Asker(self.access, jid, via)

    def check(self, line, asker):
        """The chat line in normal form, to be run later. Raises ValueError, with a text for
        people, for what `asker` could not have done then."""
        from .words import check

        return check(self, line, asker)

    async def run_line(self, line, asker):
        """Do what a chat line says; the answer."""
        from .words import run

        return await run(self, line, asker)

    def fault(self, name, e):
        """Count and log that the function of declaration `name` failed."""
        self.faults += 1
        self.log("{}: {}".format(name, repr(e)))

    def why(self, e):
        """What to say of an exception that a declared function raised."""
        return getattr(e, "condition", None) or str(e) or repr(e)  # of a StanzaError the first

    async def read(self, entry):
        """Take a reading, of a sensor; a failure becomes its state."""
        if not isinstance(entry, Sensor):
            return
        was = False
        now = self.clock.uptime_s()
        try:
            entry.value = entry.take(await self.call(self.read_s, entry.read), now)
            if isinstance(entry.value, str):
                entry.value = entry.value[: self.max_line]
            was = entry.judge()
            entry.error = None
        except Exception as e:
            entry.value = None
            entry.error = (str(e) or repr(e))[: self.max_line]
            self.fault(entry.name, e)
        entry.when = now
        if was is not False:
            self.reports.alarm(entry, was)
        self.changed(entry)

    def changed(self, entry):
        """Tell the surfaces that there is a value."""
        self.presence.changed(entry)
        for surface in self.surfaces.values():
            if hasattr(surface, "changed"):
                surface.changed(entry)

    def may(self, entry, asker):
        """Whether `asker` may set or do `entry`; read, where it can only be read."""
        return self.access.allows(asker.person, entry.role or "viewer")

    async def act(self, entry, words, asker):
        """Set a control or do a command, with a text for each of its params, and return what to
        say of it. Raises ValueError for what `asker` may not do, or what is no such value, with a
        text for people; or whatever the function raises, logged and counted."""
        if not self.may(entry, asker):
            raise ValueError("only for the role {}".format(entry.role))
        args = entry.arguments(words)
        if entry.builtin:
            return await self.call(self.act_s, entry.do, asker, *args)
        # What only owners may say is for their eyes only
        said = entry.name if entry.role == "owner" else " ".join([entry.name] + list(words))
        self.log("{} by {} ({})".format(said, asker.person, asker.via))
        try:
            result = await self.call(self.act_s, entry.do, *args)
        except Exception as e:
            if not isinstance(e, ValueError):
                self.fault(entry.name, e)
            raise
        if hasattr(result, "share"):  # a File
            result = await result.share(self, asker)
        if isinstance(entry, Command):
            entry.value = "done" if result is None else show(result)
        else:
            entry.value = args[0] if result is None else result
        entry.when = self.clock.uptime_s()
        self.changed(entry)
        text = entry.state()
        if isinstance(entry, Setting):
            from . import settings

            if not settings.keep(self):
                text += "; a restart forgets it: it cannot be kept"
            forget("settings")
        return text

    async def call(self, limit, f, *args):
        """What a declared function comes to, be it one that waits, but `limit` seconds at most.
        Raises OSError for what takes longer, and whatever it raises."""
        result = f(*args)
        if not hasattr(result, "send"):
            return result
        try:
            return await asyncio.wait_for(result, limit)
        except asyncio.TimeoutError:
            raise OSError("it took more than {} s".format(limit))
        except asyncio.CancelledError:
            if self._stopping:
                raise
            raise OSError("cancelled")

    async def _online(self):
        # A session that is resumed is not begun again: this has to be done all the same
        client = self.client
        session = client.sessions
        while session == client.sessions:
            try:
                if self.timed != session and self.clock.now() is None:
                    await self.ask_time()
                self.timed = session
                client.on_line()
                await self.access.settle()
                await self.announce(True)
                for surface in self.surfaces.values():
                    if hasattr(surface, "online"):
                        await surface.online()
                return
            except (OSError, MemoryError):
                await asyncio.sleep(self.again_s)

    async def ask_time(self):
        """Set the clock by the server's, where no certificate needed the time before."""
        from uxmpp.xep.time import ask

        try:
            self.clock.set(parse_time(await ask(self.client, self.client.domain)))
        except (StanzaError, ValueError, OSError):  # then nobody tells
            pass

    async def announce(self, again=False):
        """Bring the presence up to date; `again`: though it may be. Raises OSError without a
        session."""
        await self.presence.announce(again)

    def alert(self, text):
        """Raise an alarm: the owners are told, and the rooms, when there is a session."""
        self.reports.alert(text)

    def share(self, file, to=None):
        """Send a files.File to a JID or Asker; without one to the owners who are not mute, and the
        rooms. To be awaited; returns what to say of it. Raises OSError where it could not be sent,
        with a text for people."""
        if "files" not in self.surfaces:
            if file.done:
                file.done()
            raise OSError("device.json has no files among its surfaces")
        return self.surfaces["files"].share(file, to)

    async def report(self, text, durable=False):
        """Tell the owners who are not mute, by message and by presence. Raises OSError without a
        session. With `durable` it returns when the report is safe, in flash or with the server; it
        goes on until it has arrived. Raises ValueError for a text of more than the outbox's
        `max_text`."""
        if not durable:
            for owner in self.access.owners:
                if not self.reports.mutes(owner):
                    await self.say(owner, text)
            await self.announce()
            return
        await self.outbox().put(text)
        try:
            await self.announce()
        except OSError:  # the report is safe
            pass
