"""What a session begins with: loaded for that, and only as long."""

from uxmpp.client import StanzaError
from uxmpp.xml import Element

from .access import ROSTER


async def settle(access):
    """As Access.settle(), for an account of its own."""
    client = access._client
    try:
        answer = await client.iq("get", Element("query", ROSTER))
        query = answer.find("query", ROSTER)
        if not query:
            raise StanzaError("too long")
        items = query.elements()
        others = [i.get("jid") for i in items if not access.known(i.get("jid"))]
        if len(others) > access.max_removed:
            raise StanzaError("{} contacts have no role".format(len(others)))
        for person in others:
            await access.remove(person)
    except StanzaError as e:
        # Who else would see us is not known, or not to be changed
        client.log("roster: {}: presence goes to people with a role only".format(e.condition))
        access.alone = False
        return
    apart = access._apart
    ask = list(apart)
    for item in items:
        person = item.get("jid")
        state = item.get("subscription")
        if state in ("from", "both") and person in apart:
            apart.remove(person)
        if (state in ("to", "both") or item.get("ask")) and person in ask:
            ask.remove(person)
    for person in ask:
        await access.ask(person)
    access.alone = True
