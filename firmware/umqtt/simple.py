"""MQTTClient as umqtt.simple 1.3 has it, over XMPP: docs/umqtt.md says what became of what.

Each call drives the asyncio loop until it has its result, and the loop rests in between.
"""

import asyncio
import gc
import hashlib
import sys
from binascii import hexlify

from uxmpp.client import StanzaError
from uxmpp.reliable import ReliableClient
from uxmpp.stream import StreamError
from uxmpp.xml import Element

from . import forget, mapping
from .mapping import MappingError, MQTTException  # noqa: F401

# CONNACK's (MQTT 3.1.1, section 3.2.2.3)
_NO_SERVICE = 3
_NOT_AUTHORIZED = 5
_ECONNABORTED = 103
_ENOTCONN = 107
_ETIMEDOUT = 110


class _Line(ReliableClient):
    """A client that reads no further while there is no room for what it has read, as a socket
    would not, and that knows a session from the one it had begun with."""

    mine = None  # which session is the one of the last connect(), 0 when it was given up
    room = lost = None
    max_write = 512  # what makes a node is longer, goes alone, and is not copied

    async def read(self, stream):
        while True:
            el = await stream.read()
            self._silent = 0
            if el.truncated:
                self.dropped += 1
                self.log("skipped: longer than uxmpp.xml.Parser.max_stanza, or no memory")
            self._route(el)
            await asyncio.sleep(0)
            await self.room()

    async def send(self, el, acked=None):
        if self.mine == 0:  # nothing would come back
            raise OSError(_ECONNABORTED, "the session was lost")
        await super().send(el, acked)

    def on_line(self):
        self.lost = self.mine is not None and self.mine != self.sessions
        if self.lost:
            raise OSError(_ECONNABORTED, "the session was lost")


class MQTTClient:
    """As upstream; `server`: a PubSub service, or a domain that has one; `user`: the JID of the
    device's account, None for what device.json says; `ssl_params`: "ca", a file's name or the
    bytes of a certificate, or "pin", and "host", "port", "direct", "nameserver" as uxmpp.Client
    has them. TLS is always on and always verified."""

    #: Bare JIDs of those who share the topics that this client makes: they may read, write and
    #: manage them, and type them in a chat. None: the owners of device.json.
    people = None
    #: Whether lines of the log are printed.
    DEBUG = False
    #: The most messages that wait for the callback; no more are read then.
    max_waiting = 8
    #: How many may while a publish() with QoS 0, or a call by the callback, is under way: the
    #: callback is not called within that.
    max_behind = 64
    #: How often in a row a session may be cut soon, before it is given up.
    max_cuts = 3
    #: The most bytes of a message.
    max_bytes = 65536
    #: From so many bytes on a message may be above what a server takes: that is at least 10,000
    #: bytes, with all that is around it (RFC 6120, section 13.12).
    large = 4000

    def __init__(
        self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=False,
        ssl_params={},  # noqa: B006 (upstream's)
    ):  # fmt: skip
        self.client_id = client_id
        self.sock = None
        self.server = server
        self.port = port
        self.ssl = ssl
        self.ssl_params = ssl_params
        self.pid = 0
        self.cb = None
        self.user = user
        self.pswd = password
        self.keepalive = keepalive
        self.lw_topic = None
        self.lw_msg = None
        self.lw_qos = 0
        self.lw_retain = False
        #: The ReliableClient and the Topics underneath, from the first connect() on.
        self.client = None
        self.topics = None
        self._task = None  # that of the session
        self._error = None
        self._inbox = []
        self._quiet = False
        self._calls = 0  # of the callback, one in the other
        self._pongs = 0

    def set_callback(self, f):
        """`f(topic, msg)`, both bytes, is called for each message."""
        self.cb = f

    def set_last_will(self, topic, msg, retain=False, qos=0):
        """Have a message published when this client goes without disconnect(). To be set before
        connect()."""
        if qos not in (0, 1):
            raise MappingError(mapping.BAD_QOS, "QoS 2 is not there: QoS 1 and 0 are")
        mapping.topic_name(topic)
        self.lw_topic = topic
        self.lw_msg = msg
        self.lw_qos = qos
        self.lw_retain = retain

    def connect(self, clean_session=True, timeout=None):
        """Log in: 1 where the service knows subscriptions of an earlier session, 0 where not, or
        `clean_session` ends them. Raises MQTTException, with CONNACK's codes, and OSError."""
        if not self.client:
            self._setup()
        self._end()
        client = self.client
        client.failures = 0
        client.offline = not clean_session
        # A will is published when the line is cut, not when nobody has come back to it
        client.sm.resume = None if self.lw_topic else "true"
        if clean_session:
            client.sm.end()
            self._inbox = []
        client.mine = self._error = None
        if timeout:
            client.login_timeout_s = timeout
        self._task = _spawn(self._live())
        try:
            return self._run(self._begin(clean_session), True)
        except MQTTException:
            if client.online:
                self._task = None  # as in _leave()
                self._run(self._close())
            self._end()
            raise
        except OSError:  # what there is to resume is resumed with the next one
            self._end()
            raise

    def disconnect(self):
        """End the session; there is no last will then."""
        self._check()
        try:
            self._run(self._leave())
        finally:
            self.client.sm.end()
            self._end()

    def ping(self):
        """Ask the server whether it is there; wait_msg() returns when it has answered."""
        self._check()
        _spawn(self._ping())
        drive(_rounds(1))

    def publish(self, topic, msg, retain=False, qos=0):
        """Publish; with `qos` 1 it returns when the service has it. Raises MQTTException, and
        OSError where the connection is lost: it may have arrived or not."""
        self._do("publish", topic, msg, retain, qos)

    def subscribe(self, topic, qos=0):
        """Have what is published to a topic, or a filter, sent to the callback. Raises
        MQTTException, OSError."""
        if self.cb is None:
            raise AssertionError("Subscribe callback is not set")
        # As a broker does: first that it is so, then what is retained
        for found in self._do("subscribe", topic, qos):
            self._take(*found)

    def share(self, topic, *people):
        """Have a topic of one's own shared with exactly these bare JIDs, from now on. Raises
        MQTTException, OSError."""
        self._do("share", topic, people)

    def wait_msg(self):
        """Wait for a message and hand it to the callback. Raises OSError when the connection is
        lost."""
        while not self._inbox and not self._pongs:
            self._check()
            drive(self._stirred())
        self._deliver()

    def check_msg(self):
        """As wait_msg(), but returns at once where there is none."""
        if not self._inbox:
            self._check()
            # What has come has to be read, routed and handled
            drive(_rounds(6))
        if self._inbox or self._pongs:
            self._deliver()
        else:
            self._check()

    def _setup(self):
        from .settings import login

        options, keys, self.people, self.server = login(self)
        del login
        forget("settings")
        try:
            self.client = client = _Line(**options)
        except (ValueError, OSError) as e:  # its kind is another one on CPython
            raise MQTTException(_NOT_AUTHORIZED, "ca: is no certificate: {}".format(e))
        client.keys = keys
        client.room = self._room
        client.log = self._log
        if self.keepalive:
            client.silence_s = self.keepalive
        client.accepts = self._accepts
        id = self.client_id
        id = id if isinstance(id, bytes) else str(id).encode()
        # The same client is the same session, also after a restart: the earlier one ends
        n = hexlify(hashlib.sha256(client.account.encode() + b"\0" + id).digest()).decode()
        client.state["agent"] = "-".join(
            (n[:8], n[8:12], "5" + n[12:15], "a" + n[15:18], n[18:30])
        )
        self._stir = asyncio.Event()

    # In the loop

    async def _live(self):
        # A session, and what it is resumed by where the line is cut
        client = self.client
        cuts = 0
        while True:
            beats = client.beats
            try:
                await client.session()
            except Exception as e:
                error = e
            if isinstance(error, StreamError):
                client.sm.end()
            # One that lasted begins the count anew
            cuts = cuts + 1 if client.beats - beats < 5 else 1
            if client.failures > 1 or cuts > self.max_cuts or client.lost or not client.sm.id:
                break
        self._error = error
        client.mine = 0
        for entry in client.iqs.values():
            entry[1].set()
        self._stir.set()

    async def _begin(self, clean):
        client = self.client
        while not client.online:
            if self._error:
                raise _why(self._error)
            await asyncio.sleep(0.01)
        client.mine = client.sessions
        topics = self.topics
        if not topics:
            # The login takes much memory, and leaves it: these are loaded after it
            gc.collect()
            from .topics import Topics

            self.topics = topics = Topics(client, self.server, self.people)
            topics.max_bytes = self.max_bytes
            topics.on_message = self._take
            if self.people:
                client.on("message", None, self._said)
        try:
            there = await topics.session(clean)
        except StanzaError as e:
            e = topics.refused(e, "no PubSub service")
            if isinstance(e, OSError):
                raise e
            from .service import find

            topics.service = found = await find(client, self.server)
            if not found:
                topics.service = self.server
                raise MQTTException(_NO_SERVICE, e.args[1])
            there = await topics.session(clean)
        except OSError:
            # Some services say nothing where a node has gone to which there was a subscription
            if not client.online:
                raise
            ask = Element("query", "http://jabber.org/protocol/disco#info")
            await client.iq("get", ask, topics.service)
            there = 0
        if self.lw_topic:
            from .will import leave

            await leave(topics, self.lw_topic, self.lw_msg, self.lw_retain, self.lw_qos)
        return 1 if there and not clean else 0

    async def _leave(self):
        if self.lw_topic:
            from .will import take_back

            await take_back(self.topics, self.lw_topic)
        if not self.client.offline:
            await self.topics.forget()
        await self.client.send(Element("presence", None, {"type": "unavailable"}))
        self._task = None  # it ends by itself, and that is no error
        await self._close()

    async def _close(self):
        from uxmpp.suspend import close

        await close(self.client)

    async def _sent(self):
        # Where the line has been cut, there is another one, or none for good
        client = self.client
        while not self._error and (client.queue or client.rest or not client.online):
            await asyncio.sleep(0 if client.online else 0.005)
        if self._error and self._task:
            raise _why(self._error)
        await asyncio.sleep(0)

    async def _boxed(self, coro, box):
        try:
            box[0] = await coro
            await self._sent()
            box.append(None)
        except Exception as e:
            box.append(e)
        self._stir.set()

    async def _stirred(self, box=None, least=1):
        # Until there is a message; a result in the box or, without one, an answer, or no session.
        # Nothing may come between a look and the wait
        while len(self._inbox) < least and not (
            len(box) > 1 if box else self._pongs or self._error
        ):
            self._stir.clear()
            await self._stir.wait()

    async def _there(self):
        try:
            await self.client.iq("get", Element("ping", "urn:xmpp:ping"))
        except StanzaError:  # it is
            pass

    async def _ping(self):
        try:
            await self._there()
        except OSError:
            return
        self._pongs += 1
        self._stir.set()

    async def _room(self):
        while len(self._inbox) >= (self.max_behind if self._quiet else self.max_waiting):
            await asyncio.sleep(0.005)

    def _take(self, topic, msg):
        self._inbox.append((topic, msg))
        self._stir.set()

    def _accepts(self, jid, el):
        topics = self.topics
        return topics is not None and (jid in topics.people or topics.accepts(jid))

    def _said(self, el, _):
        body = el.find("body")
        if not body or (el.get("from") or "").split("/")[0] not in self.topics.people:
            return None
        from .chat import answer

        return answer(self.topics, el, body.text)

    # Outside of it

    def _do(self, name, *args):
        # The line may have been cut while the program was busy: that has to be seen first
        drive(_rounds(6))
        self._check()
        try:
            return self._run(getattr(self.topics, name)(*args), name == "publish" and not args[3])
        except OSError as e:
            client = self.client
            if self._error or not client.online:
                # A session whose line is cut is resumed, unless the server had enough of it
                if name == "publish" and (client.lost or isinstance(self._error, StreamError)):
                    self._too_large(e, *args)
                raise
            if e.args[0] != _ECONNABORTED:  # it cannot be reached now
                raise
            # With another line it would be the same, unless the server is as silent
            self._run(self._there())
            raise MQTTException(mapping.REFUSED, e.args[-1])

    def _run(self, coro, quiet=False):
        # The callback is called here, as it may do the same. But within itself only where nothing
        # more can be read otherwise: a stack is soon full
        quiet = quiet or self._calls
        before = self._quiet
        self._quiet = quiet
        box = [None]  # and then what is raised, or None
        _spawn(self._boxed(coro, box))
        try:
            while True:
                drive(self._stirred(box, self.max_behind if quiet else 1))
                if quiet and len(box) < 2:
                    drive(_rounds(9))  # it may need no answer
                if len(box) > 1:
                    break
                self._deliver()
        finally:
            self._quiet = before
        e = box[1]
        if isinstance(e, (OSError, StanzaError)):
            e = _why(self._error or e)  # what the session ended with says more
        if e:
            raise e
        return box[0]

    def _too_large(self, e, topic, msg, *_):
        if len(msg) > self.large:
            text = "a message of {} bytes, which may be above the server's limit: {}"
            raise MQTTException(mapping.TOO_LARGE, text.format(len(msg), e.args[-1]))

    def _check(self):
        if not self._task:
            raise OSError(_ENOTCONN, "not connected")
        if self._error:
            raise _why(self._error)

    def _deliver(self):
        if self._inbox:
            topic, msg = self._inbox.pop(0)
            self._calls += 1
            try:
                self.cb(topic.encode(), msg)
            finally:
                self._calls -= 1
        else:
            self._pongs -= 1

    def _end(self):
        if self._task:
            self._task.cancel()
            self._task = None
            drive(_rounds(1))
        if self.topics:
            self.topics.close()

    def _log(self, text):
        if self.DEBUG:
            print(text)


def _why(e):
    # What upstream raises, with a code and a text
    if isinstance(e, MQTTException):
        return e
    text = str(e) or repr(e)
    if isinstance(e, asyncio.TimeoutError):
        return OSError(_ETIMEDOUT, "the login took too long")
    if type(e).__name__ in ("AuthError", "SASLError"):
        return MQTTException(_NOT_AUTHORIZED, text)
    if isinstance(e, OSError) and len(e.args) > 1:
        return e
    return OSError(_ECONNABORTED, text)


async def _rounds(n):
    # Of the loop
    for _ in range(n):
        await asyncio.sleep(0)


def drive(coro):
    """Run the loop until `coro` has ended. Tasks of the same loop may call it, also while it runs
    for another one."""
    global _depth
    core = asyncio.core
    task = core.cur_task
    _depth += 1
    try:
        asyncio.get_event_loop().run_until_complete(_within(coro, _depth))
    finally:
        _depth -= 1
        core.cur_task = task
    e = task and task.data
    if e:  # it was cancelled meanwhile, which would be forgotten with its next wait
        task.data = None
        raise e


async def _within(coro, depth):
    # The loop of an outer call would not see that it has ended in that of an inner one
    await coro
    while _depth > depth:
        await asyncio.sleep(0.002)


_depth = 0
_spawn = asyncio.create_task

if sys.implementation.name != "micropython":
    from .drive_cpython import drive, spawn as _spawn  # noqa: F401, F811
