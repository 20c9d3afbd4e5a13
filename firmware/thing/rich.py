"""The surface rich: answers also as XHTML-IM (XEP-0071), for clients that can show it."""

import asyncio

from uxmpp.client import StanzaError
from uxmpp.xml import Element

_DISCO = "http://jabber.org/protocol/disco#info"
_IM = "http://jabber.org/protocol/xhtml-im"
_XHTML = "http://www.w3.org/1999/xhtml"


class Rich:
    """Asks each client once whether it can. Until it has answered, its answers are plain."""

    #: The most clients, by full JID, whose answer is remembered; then the oldest is asked again.
    max_clients = 8
    #: The most questions at a time: the client has answers to others to wait for.
    max_asked = 2

    features = (_IM,)

    def __init__(self, thing):
        self._client = thing.client
        self._clients = []  # [full JID, whether it can, the task that asks]
        self._asked = 0

    def dress(self, jid, text):
        """What to put beside the body `text` for a full JID, as a list of Elements."""
        for known in self._clients:
            if known[0] == jid:
                return [_html(text)] if known[1] else []
        if self._asked >= self.max_asked:
            return []
        self._asked += 1
        known = [jid, False, None]
        known[2] = asyncio.create_task(self._ask(known))
        if len(self._clients) >= self.max_clients:
            self._clients.pop(0)
        self._clients.append(known)
        return []

    async def _ask(self, known):
        try:
            answer = await self._client.iq("get", Element("query", _DISCO), known[0])
            query = answer.find("query", _DISCO)
            known[1] = bool([e for e in query.elements() if e.get("var") == _IM])
        except (StanzaError, AttributeError):
            pass
        except OSError:  # where that was no fault of its own it is asked again
            if not self._client.online and known in self._clients:
                self._clients.remove(known)
        finally:
            self._asked -= 1


def _html(text):
    html = Element("html", _IM)
    place = html.add("body", _XHTML)
    lines = text.split("\n")
    if len(lines) > 1:
        place = place.add("ul")
    for line in lines:
        name, mark, rest = line.partition(": ")
        rest = mark + rest
        if line.startswith("*"):
            name, mark, rest = line[1:].partition("*")
        item = place.add("li" if len(lines) > 1 else "p")
        if mark and " " not in name:
            item.add("strong", None, None, name)
        else:
            rest = line
        item.children.append(rest)
    return html
