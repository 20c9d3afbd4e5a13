"""Sensor data (XEP-0323) and control (XEP-0325): what is declared, for machines. What answers is
loaded with a question, and unloaded after it."""

from uxmpp.client import STANZAS, StanzaError
from uxmpp.xml import Element

from .memory import forget

XMLNS = "urn:xmpp:iot:sensordata"
CONTROL = "urn:xmpp:iot:control"
_CODES = {"forbidden": "InsufficientPrivileges", "item-not-found": "NotFound"}


class Iot:
    """Answers requests of people with a role. Refusals are stanza errors, as the last versions of
    both documents have it; beside the error is the element of earlier versions, as some clients
    (slixmpp 1.17) hear of nothing else."""

    features = (XMLNS, CONTROL)
    #: The most readouts that are not done; owners may have one more.
    max_readouts = 2
    #: The most fields, or errors, in a message. While it is made each takes 1 KB of heap.
    max_fields = 4
    #: The most characters of an error.
    max_text = 200
    #: A readout is given up when a message was on its way for so many seconds.
    send_timeout_s = 60

    def __init__(self, thing):
        self.thing = thing
        #: The readouts that are not done, see readout.py; the first is at it, the others wait,
        #: lest several fill the heap.
        self.readouts = []
        self.task = None
        self._busy = 0
        thing.client.on("get", XMLNS, self._asked)
        for kind in ("get", "set", "message"):
            thing.client.on(kind, CONTROL, self._asked)

    async def _asked(self, stanza, payload):
        thing = self.thing
        sender = stanza.get("from")
        asker = thing.asker(sender, "iot")
        name = thing.config["name"]
        self._busy += 1
        try:
            if not asker.rank:  # the server, or one's own account
                raise StanzaError("forbidden", "cancel", "no role")
            if not thing.access.allow(asker.person) or not thing.spare():
                raise StanzaError("resource-constraint", "wait", "too many requests")
            for el in payload.elements():
                if el.name == "node" and el.get("nodeId") != name:
                    raise StanzaError("item-not-found", "cancel", "the only node is " + name)
            if payload.xmlns == CONTROL:
                from .control import answer
            else:
                from .readout import answer
            return await answer(self, stanza, payload, asker)
        except StanzaError as e:
            if stanza.name != "iq":  # nobody is told
                return None
            error = Element("error", None, {"type": e.kind})
            error.add(e.condition, STANZAS)
            error.add("text", STANZAS, None, e.text)
            if payload.xmlns == CONTROL:
                code = _CODES.get(e.condition, "OtherError")
                beside = Element("setResponse", CONTROL, {"responseCode": code})
                if hasattr(e, "var"):
                    error.add("paramError", CONTROL, {"var": e.var}, e.text)
            else:
                beside = Element("rejected", XMLNS, {"seqnr": (payload.get("seqnr") or "")[:11]})
                beside.add("error", None, None, e.text)
            attrs = {"type": "error", "id": stanza.get("id"), "to": sender}
            stanza.name = "error"  # it is answered: the client is not to
            await thing.client.send(Element("iq", None, attrs, [beside, error]))
            return None
        finally:
            self._busy -= 1
            self.forget()

    def forget(self):
        """Unload what answers, as long as nobody asks: it takes 8 KB of heap."""
        if not self._busy and not self.readouts:
            for name in ("readout", "control", "dataform", "fields"):
                forget(name)
