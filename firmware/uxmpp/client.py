"""The life of a client: connect, route stanzas to their handlers, ask, back off, come back."""

import asyncio
import random

from . import net
from .jid import bare, prepare, split
from .stream import Stream
from .xml import Element

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


class StanzaError(Exception):
    """A stanza error (RFC 6120 section 8.3): `condition`, and its `kind`: cancel, continue,
    modify, auth or wait. Raised by iq(); raised in a handler, it becomes the answer."""

    def __init__(self, condition, kind="cancel", text=None):
        self.condition = condition
        self.kind = kind
        self.text = text


class Client:
    """An XMPP client that comes back after every cut, until its task is cancelled.

    `jid`: the account, a bare JID; `ca` or `pin`: as for net.Context; `host`, `port`, `direct`:
    where to connect, if not where the domain's SRV records say; `plain`: PLAIN may be used;
    `nameserver`: "address" or "address:port". Raises ValueError for what cannot work.
    """

    #: The longest pause in seconds before the second try, and before any; it doubles in between.
    first_pause_s = 2
    max_pause_s = 300
    #: Seconds from the TCP connection to the session.
    login_timeout_s = 60
    #: Seconds that an answer may take.
    iq_timeout_s = 30
    #: A line is given up when the server was silent for so many seconds, although it was asked
    #: for an answer in the last third of them.
    silence_s = 30
    #: A session that lasted so many seconds starts the pauses anew.
    stable_s = 60
    #: The most questions that wait for their answer, stanzas that wait to be sent (refusals may
    #: be half as many more), and handlers that run at a time.
    max_iqs = 8
    max_queue = 16
    max_handlers = 8

    def __init__(
        self, jid, password, ca=None, pin=None, host=None, port=None, direct=False, plain=False,
        nameserver=None,
    ):  # fmt: skip
        self.jid = self.account = bare(prepare(jid))
        self.domain = split(self.jid)[1]
        #: True while there is a session, and a line to the server.
        self.online = False
        #: The questions that wait: [whom, asyncio.Event, answer or None] by id.
        self.iqs = {}
        #: How often the session was lost, what was dropped because a bound was reached, and how
        #: many stanzas came from those whom `accepts` refuses.
        self.cuts = self.dropped = self.refused = 0
        self._password = password
        self._tls = net.Context(ca, pin)
        self._where = (host, port, direct, nameserver)
        self._plain = plain
        self._keys = None
        self._handlers = {}
        self._tasks = []
        #: The Elements that wait to be sent.
        self.queue = []
        self._moved = asyncio.Event()  # something came into the queue, or went out

    def on(self, kind, xmlns, handler):
        """Have `handler(stanza, payload)`, a function or a coroutine function, called for stanzas
        of `kind` ("get" and "set" for IQs, "message", "presence") with a payload in `xmlns`; None
        for any message or presence. What an IQ's handler returns, None or the payload as an
        Element, is the result."""
        self._handlers[kind, xmlns] = handler

    def accepts(self, jid, el):
        """Whether `el`, a stanza from bare JID `jid`, is for anybody here. To others the client
        is like an account that does not exist. To be replaced; the server itself is always
        heard."""
        return True

    async def on_online(self):
        """Called when there is a new session; to be replaced."""

    def log(self, text):
        """Takes each line of the log; to be replaced."""
        print(text)

    async def send(self, el):
        """Queue a stanza for the one writer; waits while the queue is full. Raises OSError when
        there is no session."""
        while self.online and len(self.queue) >= self.max_queue:
            self._moved.clear()
            await self._moved.wait()
        if not self.online:
            raise OSError("not online")
        self.queue.append(el)
        self._moved.set()

    async def iq(self, kind, payload, to=None, timeout=None):
        """Ask ("get" or "set"): the stanza that answers, from the one who was asked. Raises
        StanzaError for an error, OSError when there is no session or no answer in time."""
        from .iq import ask

        return await ask(self, kind, payload, to, timeout or self.iq_timeout_s)

    async def run(self):
        """Connect, and connect again, for ever."""
        self._pause = self.first_pause_s
        while True:
            try:
                await self.session()
            except asyncio.TimeoutError:
                why = "the login took too long"
            except Exception as e:  # whatever it is, the next try may succeed
                why = e
            # Any part of it, lest all devices come back at the same moment
            wait = self._pause * random.random()
            self._pause = min(2 * self._pause, self.max_pause_s)
            try:
                why = (str(why) or repr(why))[:200]
                self.log("{}: {}; next try in {:.1f} s".format(self.account, why, wait))
            except Exception:  # no memory, or no room for the line
                pass
            await asyncio.sleep(wait)

    async def session(self):
        """One session, from the connection to its loss, which is raised: a try of run()'s, for
        those who come back by themselves."""
        connection, direct = await net.connect(self.domain, *self._where)
        tasks = ()
        try:
            stream = await asyncio.wait_for(self._login(connection, direct), self.login_timeout_s)
            # When a part fails for want of memory there must be room to say so
            self._why = self._cut = asyncio.Event()
            parts = (self.read(stream), self._write(stream), self._watch())
            tasks = [asyncio.create_task(self._part(p)) for p in parts]
            await self._cut.wait()
            raise self._why
        finally:
            for task in tasks:
                task.cancel()
            connection.close()
            if self.online:
                self.online = False
                self.cuts += 1
                self._moved.set()

    async def _login(self, connection, direct):
        # A stream with a session; what belonged to the last one has ended
        stream = Stream(connection, self.account)
        self._keys = await stream.login(self._tls, direct, self._password, self._plain, self._keys)
        self.jid = stream.jid
        self.online = True
        self.queue.clear()
        for entry in self.iqs.values():
            entry[1].set()
        self._spawn(self.on_online)
        self.log(self.jid + ": online")
        return stream

    async def _part(self, coro):
        # The session ends with the first of its parts that ends
        try:
            await coro
        except Exception as e:
            self._why = e
            self._cut.set()

    async def read(self, stream):
        """Route what comes by `stream`; may be replaced to read when there is room."""
        while True:
            el = await stream.read()
            self._silent = 0
            self._route(el)
            await asyncio.sleep(0)  # its handler comes first

    async def _write(self, stream):
        while True:
            batch = self._take()
            self._moved.set() if batch else self._moved.clear()
            await (stream.write(*batch) if batch else self._moved.wait())

    def _take(self):
        # What is to be sent now
        batch = self.queue
        self.queue = []
        return batch

    async def _watch(self):
        lasted = self._silent = 0
        while True:
            await asyncio.sleep(self.silence_s / 3)
            lasted += self.silence_s / 3
            if lasted > self.stable_s:
                self._pause = self.first_pause_s
            if self._overdue():
                raise OSError("the server is silent")

    def _overdue(self):
        # Called after each third of silence_s: the second one that was silent ends with a question
        self._silent += 1
        if self._silent == 2:
            ping = Element("iq", None, {"type": "get", "id": "ping"})
            ping.add("ping", "urn:xmpp:ping")
            self.queue.append(ping)
            self._moved.set()
        return self._silent > 2

    def _refuse(self, el, condition, kind="cancel"):
        # These have a few places of their own: a flood of strangers neither takes those of what
        # is waited for, nor does the client's own work show in what strangers get
        if el.name == "iq":
            if len([e for e in self.queue if e.get("type") == "error"]) < self.max_queue // 2:
                self.queue.append(_answer(el, StanzaError(condition, kind)))
                self._moved.set()
            else:
                self.dropped += 1

    def _route(self, el):
        sender = el.get("from")
        kind = el.get("type")
        own = sender in (None, self.account, self.jid, self.domain)
        if el.name != "iq":
            if kind != "error":
                kind = el.name
        elif kind == "result" or kind == "error":
            entry = self.iqs.get(el.get("id"))
            if entry and (sender == entry[0] or own and not entry[0]):
                entry[2] = el
                entry[1].set()
            return
        if not own and bare(sender) != self.account and not self.accepts(bare(sender), el):
            self.refused += 1
            self._refuse(el, "service-unavailable")
        elif el.name != "iq":
            for payload in el.elements():
                self._dispatch(kind, payload.xmlns, el, payload)
            self._dispatch(kind, None, el, None)
        elif el.truncated:
            self._refuse(el, "policy-violation", "modify")
        else:
            payload = el.elements()
            payload = payload[0] if len(payload) == 1 else el
            if not self._dispatch(kind, payload.xmlns, el, payload):
                self._refuse(el, "service-unavailable")

    def _dispatch(self, kind, xmlns, el, payload):
        handler = self._handlers.get((kind, xmlns))
        if not handler and kind == "get":
            from . import xep

            handler = xep.handler(self, xmlns)
            if handler:
                self.on(kind, xmlns, handler)
        if not handler:
            return False
        if len(self._tasks) < self.max_handlers:
            self._spawn(handler, el, payload)
        else:
            self.dropped += 1
            self._refuse(el, "resource-constraint", "wait")
        return True

    def _spawn(self, *args):
        # The loop alone would not keep a task alive on CPython
        self._tasks.append(asyncio.create_task(self._handle(*args)))

    async def _handle(self, handler, el=None, payload=None):
        try:
            try:
                result = handler(el, payload) if el else handler()
                if hasattr(result, "send"):  # a coroutine
                    result = await result
            except StanzaError as e:
                result = e
            except Exception as e:
                self.log("{}: in a handler: {}".format(self.account, repr(e)))
                result = StanzaError("internal-server-error")
            if el and el.name == "iq":
                await self.send(_answer(el, result))
        except Exception:  # no session to answer in, or no memory
            self.dropped += 1
        finally:
            self._tasks.remove(asyncio.current_task())


def _answer(el, result):
    # To an IQ: None, the payload or a StanzaError
    kind = "result"
    if isinstance(result, StanzaError):
        kind = "error"
        error = Element(kind, None, {"type": result.kind})
        error.add(result.condition, STANZAS)
        if result.text:
            error.add("text", STANZAS, None, result.text)
        result = error
    attrs = {"type": kind, "id": el.get("id"), "to": el.get("from")}
    return Element("iq", None, attrs, [result] if result else None)
