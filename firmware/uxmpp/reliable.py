"""A client that loses nothing by a cut: sessions are resumed (XEP-0198), and a login takes one
round trip (XEP-0484, with all that is known sent at once), where the server can do that.

It falls back step by step: what the server refuses, or what ends in nothing, is not tried again
the same way: by token in one go, by token after the server's offer, by SCRAM with the keys that
are kept, by SCRAM from the password.
"""

import asyncio
import gc
import sys

from .client import Client
from .fast import Fast, names
from .jid import split
from .sm import Acks
from .stream import AuthError, Stream
from .xml import Element, XMLError


class ReliableStream(Stream):
    """As Stream, with a Fast and an Acks."""

    def __init__(self, connection, jid, fast, sm):
        super().__init__(connection, jid)
        self._fast = fast
        self._sm = sm
        self._names = ()
        self.offline = False

    async def login(self, tls, direct, password, plain=False, keys=None):
        """As Stream.login(), but for what it returns: (keys, whether the session is an earlier
        one)."""
        fast, sm = self._fast, self._sm
        sm.on = False
        tls.der = b""
        await self.secure(tls, direct)
        while fast.waits() and not tls.der:
            # MicroPython would begin the handshake with the first write. The server has nothing
            # to say yet.
            try:
                self.connection._reader.s.read(1)
            except (OSError, ValueError) as e:
                raise self.connection._error(e)
            await asyncio.sleep(0.002)
        fast.certificate(tls.der)
        user = split(self.jid)[0]
        mechanism = fast.mechanism(user)
        fast.careful = True
        more = ()
        if mechanism:
            from .sasl import b64

            inline = Element("inline")
            inline.add("bind", "urn:xmpp:bind:0")
            inline.add("sm", sm.xmlns)
            self._names = names(inline)
            more = (self.ask(mechanism.name, b64(mechanism.first).decode(), inline),)
        offered, inline = await self.features(*more)
        if password is None and keys:
            offered = [name for name in offered if name == keys[0]]
        self._names = names(inline)
        fast.certificate(tls.der)
        tls.der = None
        el = await self.read() if more else None
        while True:
            if not el:
                mechanism = fast.mechanism(user, self._names)
                if not mechanism:
                    mechanism = await self.choose(offered, password, plain, keys)
                el = await self.auth(mechanism, inline)
            if el.name != "failure" or not fast.refused(mechanism, el):
                break
            el = None
        try:
            resumed = await self.bound(el, mechanism, sm)
        except XMLError:
            raise
        except ValueError:  # a wrong proof, or none
            fast.refused(mechanism)
            raise
        if not sm.on:
            sm.id = None
        fast.told(el, self._names, mechanism, resumed)
        return mechanism.keys or keys, resumed

    async def open(self, *elements):
        """As Stream.open()."""
        features = await super().open(*elements)
        self._fast.features(features)
        return features

    async def write(self, *elements):
        """As Stream.write(); a stanza that is bytes already is not copied."""
        if len(elements) == 1 and isinstance(elements[0], bytes):
            await self.connection.write(elements[0])
        else:
            await super().write(*elements)

    def ask(self, name, first, inline):
        """As Stream.ask()."""
        ask = super().ask(name, first, inline)
        self._fast.offer(ask, self._names)
        bind = ask.find("bind", "urn:xmpp:bind:0")
        if bind and self.offline:
            ask.children.remove(bind)
        if bind and self._sm.xmlns in self._names:
            self._sm.offer(ask, bind)
        return ask


class ReliableClient(Client):
    """As Client. `state` is what should be kept over a restart, a dict of texts, numbers, bytes
    and lists of these: update it before run(), and keep it when on_state() is called. Where
    `keys`, those of sasl.Scram, are set, there need not be a password."""

    keys = None
    #: Whether what the server kept while there was no session is wanted: it is cleared by Bind 2
    #: (XEP-0386 section 3.2), so that new sessions are bound as in RFC 6120, then.
    offline = False
    #: The most bytes of stanzas that are written at once; a longer one is written alone.
    max_write = 768

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.state = {}
        #: How many sessions there were: one that is resumed is the same.
        self.sessions = 0
        #: How many tries failed since the last session, its own loss included, and what the last
        #: one raised.
        self.failures = 0
        self.error = None
        #: Grows as long as the client gets on with whatever it is at.
        self.beats = 0
        self.fast = Fast(self.state)
        self.sm = Acks()
        #: What is written next, as bytes; none of it is counted any more.
        self.rest = []

    async def on_try(self):
        """Called before each try to connect; what it raises makes that one fail. To be
        replaced."""

    def on_line(self):
        """Called when there is a line to the server, be it for a new session or the last one; to
        be replaced."""

    def on_state(self):
        """Called when `state` has changed; to be replaced."""

    def acks(self):
        """Whether the server acknowledges the stanzas of this session."""
        return self.online and self.sm.on

    async def send(self, el, acked=None):
        """As Client.send(). While the session may be resumed it is queued, too, as far as there
        is room. `acked`: a function, called when the server has acknowledged it. Where it may be
        lost with a session that ends, another session begins, and `acked` is not called."""
        if acked:
            el.acked = acked
        if not self.online and self.sm.id and len(self.queue) < self.max_queue:
            self.queue.append(el)
        else:
            await super().send(el)

    async def session(self):
        self.beats += 1
        try:
            await self.on_try()
            await super().session()
        except Exception as e:
            self.failures += 1
            self.error = e
            if isinstance(e, MemoryError):
                # Answers are dropped for it, then the session with all that it keeps
                self.queue = [el for el in self.queue if el.name == "message"]
                self.rest = []
                if self.failures > 1:
                    self.sm.end()
            gc.collect()
            raise

    async def _login(self, connection, direct):
        from .sasl import SASLError

        state = self.state
        kept = dict(state)
        stream = ReliableStream(connection, self.account, self.fast, self.sm)
        stream.offline = self.offline
        if self.offline and "agent" in state:
            # The same client is the same resource: what the server holds for its last session,
            # which may have ended without a word, is for this one then
            stream.resource = "uxmpp." + state["agent"][:8]
        try:
            keys, resumed = await stream.login(
                self._tls, direct, self._password, self._plain, state.get("keys") or self.keys
            )
            if keys:
                state["keys"] = keys
        except (AuthError, SASLError):
            # The keys may be those of an older password, or of another salt
            if self.keys or self._password:
                state.pop("keys", None)
            raise
        finally:
            # It takes 3 KB, and is loaded with the next login
            sys.modules.pop("uxmpp.sasl", None)
            sys.modules["uxmpp"].__dict__.pop("sasl", None)
            if state != kept:
                self.on_state()
            if self.fast.forgot:
                self.fast.forgot = False
                self.log(self.account + ": the server does not know the token: without it, then")
        self.rest = []
        self.online = True
        self.failures = 0
        if not resumed:
            # It can be resumed when all that begins it is on its way
            id = self.sm.id
            self.sm.id = None
            self.jid = stream.jid
            self.sessions += 1
            # Of what belonged to the last session messages go on, but for those that somebody
            # keeps watch over
            self.queue = [
                el for el in self.queue if el.name == "message" and not hasattr(el, "acked")
            ]
            for entry in self.iqs.values():
                entry[1].set()
            self._spawn(self.on_online)
            self.sm.id = id
        self.on_line()
        self.log(self.jid + (": resumed" if resumed else ": online"))
        return stream

    def _route(self, el):
        sm = self.sm
        if el.xmlns == sm.xmlns:
            sm.heard(el)
            self._moved.set()
            return
        try:
            if el.truncated and not el.get("from"):
                # Whose it is may stand behind what was kept of it
                self.dropped += 1
            else:
                super()._route(el)
        except MemoryError:
            self.dropped += 1
        if el.xmlns == "jabber:client":
            sm.handled()

    def _take(self):
        sm = self.sm
        if not sm.on:
            rest = self.rest or sm.rest()
            self.rest = []
            return rest or super()._take()
        rest = self.rest or sm.take(self.queue)
        self.dropped += sm.dropped
        sm.dropped = 0
        # What is written at once has to be in one piece
        size = count = 0
        for data in rest:
            size += len(data)
            if count and size > self.max_write:
                break
            count += 1
        self.rest = rest[count:]
        return rest[:count]

    def _overdue(self):
        self.beats += 1
        sm = self.sm
        if not sm.on:
            return super()._overdue()
        self._silent += 1
        if sm.asked:
            sm.asked += 1
        if self._silent == 2:
            sm.probe()
            self._moved.set()
        return self._silent > 2 or sm.asked > 3
