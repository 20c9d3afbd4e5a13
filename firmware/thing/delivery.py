"""From the outbox to the owners: each report once, in order, and gone when it has arrived."""

import asyncio

from uxmpp.jid import bare
from uxmpp.xml import Element

from .clock import stamp

_RECEIPTS = "urn:xmpp:receipts"


class Delivery:
    """Sends what is in an Outbox. It has arrived when the server has acknowledged it (XEP-0198),
    or, where the server cannot do that, when the owners' clients have (XEP-0184)."""

    #: The most reports that are on their way at a time.
    max_out = 8
    #: A report that is older, in seconds, says when it was made (XEP-0203).
    late_s = 10
    #: Seconds after which a report without a receipt has arrived all the same, if the session it
    #: was sent in is still alive: some clients send none.
    receipt_s = 300
    #: Seconds until it tries again, where memory or flash fail.
    again_s = 1

    def __init__(self, thing, outbox):
        self._thing = thing
        self._client = client = thing.client
        self.outbox = outbox
        self._wake = outbox.filled  # all that the loop waits for
        # Of each that is on its way: [id, who has not confirmed it, uptime, lost]
        self._out = []
        self._session = self._item = None
        self._people = []  # who has yet to be sent _item
        self._notice = None  # what tells of lost reports
        self._noticed = False
        client.on_line = self._wake.set
        client.on("message", _RECEIPTS, self._receipt)

    async def run(self):
        """Until cancelled."""
        client = self._client
        outbox = self.outbox
        wake = self._wake
        clock = self._thing.clock
        while True:
            if self._session != client.sessions:
                # What was on its way in another session is sent again
                self._settle()
                self._session = client.sessions
                outbox.rewind()
                self._out = []
                self._noticed = False
                self._item = None
            try:
                self._settle(self._patient())
                # What was made before the time was known is stamped when it is
                timed = clock.now() is not None or self._thing.timed == self._session
                if client.online and timed and not self._item and len(self._out) < self.max_out:
                    self._people = list(self._thing.access.owners)
                    self._item = self._next() if self._people else None
                if client.online and self._item:
                    await self._send(self._people[0], self._item, len(self._people) == 1)
                    self._people.pop(0)
                    if not self._people:
                        self._item = None
                    continue
            except (OSError, MemoryError):
                # No session, flash that cannot be read, no memory
                if client.online:
                    await asyncio.sleep(self.again_s)
                continue
            wake.clear()
            if self._patient():
                try:
                    await asyncio.wait_for(wake.wait(), self.receipt_s / 10)
                except asyncio.TimeoutError:
                    pass
            else:
                await wake.wait()

    def _next(self):
        outbox = self.outbox
        if outbox.lost and not self._noticed:
            # In the place of those that are missing
            if not self._notice:
                text = "up to {} reports were lost: there was no room for them"
                self._notice = (outbox.lost_id(), text.format(outbox.lost), None, outbox.lost)
            self._noticed = True
            return self._notice
        item = outbox.next()
        return item and item + (0,)

    async def _send(self, to, item, last):
        id, text, when, lost = item
        client = self._client
        clock = self._thing.clock
        message = Element("message", None, {"to": to, "type": "chat", "id": id})
        message.add("body", None, None, text)
        now = clock.now()
        if when is not None and now is not None and now - when > self.late_s:
            message.add("delay", "urn:xmpp:delay", {"from": client.account, "stamp": stamp(when)})
        entry = [id, [client], clock.uptime_s(), lost]
        acked = None
        if not client.acks():
            message.add("request", _RECEIPTS)
            entry[1] = list(self._thing.access.owners)
        elif last:
            acked = lambda: self._arrived(entry)  # noqa: E731 - no more names
        else:
            # Not to be sent again by others either
            acked = self._wake.set
        if last:
            self._out.append(entry)
        try:
            await client.send(message, acked)
        except Exception:
            if last:
                self._out.remove(entry)
            raise

    def _arrived(self, entry):
        # There need not be memory for this
        entry[1] = ()
        self._wake.set()

    def _patient(self):
        # Whether some may never be confirmed, although they are there
        return self._out and self._client.online and not self._client.acks()

    def _settle(self, patient=False):
        # They leave in order
        out = self._out
        now = self._thing.clock.uptime_s()
        while out and (not out[0][1] or patient and now - out[0][2] > self.receipt_s):
            lost = out[0][3]
            if lost:
                self.outbox.told(lost)
                self._notice = None
                self._noticed = False
            else:
                self.outbox.done()
            out.pop(0)

    def _receipt(self, stanza, payload):
        person = bare(stanza.get("from"))
        for entry in self._out:
            if entry[0] == payload.get("id") and person in entry[1] and payload.name == "received":
                entry[1].remove(person)
                self._wake.set()
