"""Stream management (XEP-0198): which stanzas have arrived at the other side, and which are to be
sent again when the session goes on over another connection.

Pure: elements come in, bytes go out.
"""

XMLNS = "urn:xmpp:sm:3"
_MASK = 0xFFFFFFFF


class SMError(Exception):
    """The server acknowledges what was never sent, or the session that it goes on with."""


class Acks:
    """The two counters of a session, and the stanzas that the server has not acknowledged."""

    #: The most stanzas that are on their way at a time; further ones wait to be sent.
    max_unacked = 16

    #: Whether the server should keep a session that is cut: "true", or None.
    resume = "true"
    xmlns = XMLNS

    def __init__(self):
        #: Whether this stream counts at all.
        self.on = False
        #: What the session can be resumed by, or None.
        self.id = None
        #: How many stanzas were handled here, modulo 2 ** 32.
        self.h = 0
        #: (bytes, called when it is acknowledged or None, whether it is a message), oldest first.
        self.queue = []
        #: 0, or for how long the server has owed an answer to <r/>: others count it up.
        self.asked = 0
        #: How many stanzas were too large to be sent.
        self.dropped = 0
        #: How many of ours the server has handled, modulo 2 ** 32.
        self.acked = 0
        self._answer = self._ask = self._again = False
        self._later = False  # something was sent after the question that waits for its answer
        self._error = self._farewell = None

    def offer(self, ask, bind):
        """Add to SASL2's <authenticate/> and to its <bind/> what is wanted: resumption where there
        is something to resume, and a session that can be resumed (section 6)."""
        if self.id:
            ask.add("resume", XMLNS, {"h": str(self.h), "previd": self.id})
        bind.add("enable", XMLNS, {"resume": self.resume})

    def inline(self, success):
        """Take what SASL2's <success/> says of it: whether the session goes on."""
        resumed = False
        for part in (success, success.find("bound", "urn:xmpp:bind:0")):
            for el in part.elements() if part else ():
                if el.xmlns == XMLNS:
                    resumed = self.told(el)
        return resumed

    def told(self, el):
        """Take <enabled/>, <resumed/> or <failed/>: whether the session goes on. In a new one the
        messages of the old that did not arrive go first, but for those that somebody else keeps
        watch over. Raises SMError, ValueError."""
        id = self.id
        self._error = self._farewell = self.id = None
        if el.name == "failed":
            # Of a session that is gone some servers know how far it came
            if el.get("h"):
                self._trim(el.get("h"))
            self._error = None
            return False
        self.on = True
        self.asked = 0
        self._answer = self._ask = self._later = False
        self._again = True
        if el.name == "resumed":
            if not id:
                raise SMError("there is nothing to resume")
            self._trim(el.get("h"))
            if self._error:
                raise self._error
            self.id = id
            return True
        self.id = el.get("id") if el.get("resume") in ("true", "1") else None
        self.h = self.acked = 0
        self._keep_messages()
        return False

    def end(self):
        """The session is given up: of what is on its way messages are kept, for the next one."""
        self.id = None
        self._keep_messages()

    def _keep_messages(self):
        self.queue = [e for e in self.queue if e[2] and not e[1]]

    def rest(self):
        """For a session that counts nothing: the messages that did not arrive in the last, as
        bytes. They are forgotten."""
        self._keep_messages()
        rest = [e[0] for e in self.queue]
        self.queue = []
        return rest

    def heard(self, el):
        """Take <r/> or <a/>. Raises ValueError."""
        if el.name == "r":
            self._answer = True
        elif el.name == "a":
            before = self.acked
            self._trim(el.get("h"))
            self.asked = 0
            # A server that does not get on is not asked again at once
            self._ask = self._later or bool(self.queue) and self.acked != before

    def handled(self):
        """Count a stanza that came."""
        self.h = (self.h + 1) & _MASK

    def probe(self):
        """Ask with the next take(), whether or not something is on its way."""
        self._ask = True

    def take(self, queue):
        """What is due, as a list of bytes: stanzas to be sent again, as many of `queue` as may be
        on their way, an answer and a question. `queue`: Elements, which may have an attribute
        `acked`, a function called when the stanza is acknowledged; those taken leave it. Raises
        SMError after the last that the server is to be told."""
        if self._error:
            out = self._farewell
            if not out:
                raise self._error
            self._farewell = None
            return [out]
        mine = self.queue
        out = [e[0] for e in mine] if self._again else []
        self._again = False
        while queue and len(mine) < self.max_unacked:
            el = queue[0]
            acked = getattr(el, "acked", None)
            try:
                data = el.to_bytes("jabber:client")
            except MemoryError:
                # Nobody loses by it but who asked; it would cut one session after the other
                if el.name != "iq":
                    raise
                queue.pop(0)
                self.dropped += 1
                continue
            except Exception:
                # It is no stanza, and must not come up for ever
                queue.pop(0)
                raise
            mine.append((data, acked, el.name == "message"))
            queue.pop(0)
            out.append(data)
        if out and self.asked:
            self._later = True
        elif out:
            self._ask = True
        if self._answer:
            self._answer = False
            out.append("<a xmlns='{}' h='{}'/>".format(XMLNS, self.h).encode())
        if self._ask:
            self._ask = self._later = False
            self.asked = self.asked or 1
            out.append(b"<r xmlns='urn:xmpp:sm:3'/>")
        return out

    def _trim(self, h):
        h = int(h or "")
        count = (h - self.acked) & _MASK
        queue = self.queue
        if count > len(queue):
            sent = (self.acked + len(queue)) & _MASK
            self.id = None
            self._error = SMError("the server acknowledges {} of {} stanzas".format(h, sent))
            text = (
                "<stream:error>"
                "<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                "<handled-count-too-high xmlns='{}' h='{}' send-count='{}'/>"
                "</stream:error></stream:stream>"
            )
            self._farewell = text.format(XMLNS, h, sent).encode()
            return
        done = queue[:count]
        self.acked = h
        del queue[:count]
        for e in done:
            if e[1]:
                e[1]()
