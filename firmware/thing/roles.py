"""How roles change: loaded for a change, and only as long."""

from uxmpp.client import StanzaError
from uxmpp.jid import prepare

from .access import ROLES


async def assign(access, asker, person, role):
    """Give a JID, as people write it, the role "viewer", "operator" or "owner", or take it, by
    "none"; what to say of it. Raises ValueError, with a text for people."""
    person = person.strip()
    if person[:5].lower() == "xmpp:":
        person = person[5:].partition("?")[0]
    person = prepare(person)
    if "@" not in person or "/" in person or len(person) > access.max_jid:
        raise ValueError("must be an address like name@domain")
    if person == access._client.account:
        raise ValueError("that is me")
    if role != "none" and role not in ROLES:
        raise ValueError("must be owner, operator, viewer or none, not " + role[:32])
    before = access.rank(person)
    if access.owners == [person] and role != ROLES[-1]:
        raise ValueError("there must be an owner, and there is no other")
    if not before and role in ROLES and len(access._ranks) >= access.max_people:
        raise ValueError("there are {} people already".format(len(access._ranks)))
    if before != (ROLES.index(role) + 1 if role in ROLES else 0):
        kept = dict(access.kept)
        kept[person] = role
        config = access._thing.config
        # Who is not in the configuration need not be taken out of it
        if role == "none" and not [r for r in ROLES if person in config[r + "s"]]:
            kept.pop(person)
        if not access.keep(kept, person, role):
            raise ValueError("it cannot be kept in flash; nothing has changed")
        access._client.log("{}: {}, by {}".format(person, role, asker.person))
        await follow(access, person, before)
    return "{}: {}".format(person, role)


async def follow(access, person, before):
    """Do what follows from a changed role of a bare JID: for the roster, and for whoever asked to
    be told. `before`: the rank until now."""
    try:
        if not before:
            access._apart.append(person)
            if access._shown:
                await access.show(person)
            if access.alone:
                await access.ask(person)
        elif not access.known(person):
            if person in access._apart:
                access._apart.remove(person)
            # They see it go, though the roster says nothing of them
            await access.send(person, "unavailable")
            if access.alone:
                # This needs no answer, and so cannot come to nothing
                await access.send(person, "unsubscribed")
                await access.remove(person)
    except (OSError, StanzaError) as e:
        # The next session begins with that; until then nothing goes to the roster
        access._apart = list(access._ranks)
        access.alone = None
        access._client.log("roster: {}: {}".format(person, access._thing.why(e)))
    for f in access.on_change:
        try:
            result = f(person)
            if hasattr(result, "send"):
                await result
        except Exception as e:
            access._thing.fault("role", e)
