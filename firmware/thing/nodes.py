"""Nodes that are as they should be, for those who may see them; forgotten after use."""

from uxmpp.client import StanzaError
from uxmpp.jid import bare
from uxmpp.xep.pubsub import XMLNS, form, query

_OWNER = XMLNS + "#owner"


async def prepare(thing, to, node, access, role=None, items=1, more=()):
    """Have `node` of the service `to`, None for the own account, made or configured: it keeps one
    item, or none, `access` is "presence" or "whitelist", never open to all; `more`: as form() has
    it. People with a role are its members, or with `role` those of at least that one publishers;
    others who were become outcasts without a subscription. Raises StanzaError, OSError."""
    client = thing.client
    member = "publisher" if role else "member"
    who = thing.access
    people = [p for p, _ in who.people() if p != client.account]
    if role:
        people = [p for p in people if who.allows(p, role)]
    wanted = form("#node_config", access, items, more)
    ask, change = query(_OWNER, "configure", node)
    change.children.append(wanted)
    try:
        await client.iq("set", ask, to)
    except StanzaError as e:
        # Some services say "forbidden" of what is not there
        if e.condition not in ("item-not-found", "forbidden"):
            raise
        ask, _ = query(XMLNS, "create", node)
        ask.add("configure").children.append(wanted)
        await client.iq("set", ask, to)
    # Sections 8.8 and 8.9: an outcast would still get what they subscribed to
    out = None
    for kind in ("subscription", "affiliation", "subscription"):
        none = "outcast" if kind == "affiliation" else "none"
        ask, change = query(_OWNER, kind + "s", node)
        try:
            told = (await client.iq("get", ask, to)).find("pubsub", _OWNER)
        except StanzaError as e:
            if e.condition == "feature-not-implemented":
                continue
            raise
        told = told and told.find(kind + "s")
        if not told:
            raise StanzaError("policy-violation")  # too long
        missing = people[:] if none == "outcast" else []
        for el in told.elements():
            person = el.get("jid")
            has = el.get(kind)
            if bare(person) not in people:
                # An owner, too: they may have made it before us, and us one
                if has not in ("none", "outcast") and bare(person) != client.account:
                    out = {"jid": person, kind: none, "subid": el.get("subid")}
                    change.add(kind, None, out)
            elif person in missing and has in (member, "owner"):
                missing.remove(person)
        for person in missing:
            change.add(kind, None, {"jid": person, kind: member})
        if change.children:
            await client.iq("set", ask, to)
        if not out and none == "outcast":  # else somebody may have subscribed again in between
            break
