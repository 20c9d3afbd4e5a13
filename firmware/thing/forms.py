"""The surface of ad-hoc commands (XEP-0050): what may be set and done, as menus and forms. What
answers is loaded with a question, and unloaded after it."""

from uxmpp.client import StanzaError
from uxmpp.xml import Element

from .memory import forget
from .registry import Command

XMLNS = "http://jabber.org/protocol/commands"
_INFO = "http://jabber.org/protocol/disco#info"
_ITEMS = "http://jabber.org/protocol/disco#items"


class Written(Element):
    """Elements, as bytes: those of a long list would take six times the room. Here, as its class
    would keep the whole of `adhoc` in memory for each answer that waits to be sent."""

    def _write(self, out, xmlns):
        out.append(self.name)


class Forms:
    """A command node for each control and command that the asker may use, with its name, and one
    for all that can be read. A control shows a form with its value, a command one for its params,
    if it has any; what asks first has a second page for that. What is wrong with a value is said
    in the form, which comes again; what is no answer to the form is an error. A first IQ with a
    form in it is refused: nobody was shown what it answers. xml:lang is not looked at."""

    features = (XMLNS, "jabber:x:data", _ITEMS)
    #: The most sessions; a new one ends that which was idle longest, but of nobody with a higher
    #: role.
    max_sessions = 4
    #: Seconds that a session waits for its next stage.
    session_s = 300
    #: The most characters of a note, and of the values that wait for their confirmation.
    max_answer = 2000

    def __init__(self, thing):
        self.thing = thing
        #: [uptime at which it ends or -1 where it has, texts that wait for their confirmation or
        #: None, (id, full JID), entry], that of the last answer last
        self.sessions = []
        #: What stands for all that can be read.
        self.all = Command("read", None, (), role="viewer")
        self._busy = 0
        on = thing.client.on
        on("get", _INFO, self._asked)
        on("get", _ITEMS, self._asked)
        on("set", XMLNS, self._asked)

    async def _asked(self, stanza, payload):
        if not self.thing.spare():
            raise StanzaError("resource-constraint", "wait")
        self._busy += 1
        try:
            from . import adhoc

            if payload.xmlns == XMLNS:
                return await adhoc.command(self, stanza, payload)
            return adhoc.disco(self, stanza, payload)
        except MemoryError:  # what is free is in pieces just now
            raise StanzaError("resource-constraint", "wait")
        finally:
            self._busy -= 1
            if not self._busy:
                forget("adhoc")
                forget("dataform")
