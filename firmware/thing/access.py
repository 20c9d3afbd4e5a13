"""Who may do what, and who sees the device: only people with a role, and nobody else."""

from uxmpp.client import StanzaError
from uxmpp.jid import bare
from uxmpp.xml import Element

_ROSTER = "jabber:iq:roster"
#: The roles, the least first; each may do what those before it may.
ROLES = ("viewer", "operator", "owner")


class Asker:
    """Somebody who wants something: `jid`, full; `person`, the bare one; `via`: how they came,
    "chat", "forms", "iot", "room" or "schedule"."""

    def __init__(self, access, jid, via):
        self.jid = jid
        self.person = bare(jid)
        self.via = via
        self._access = access

    @property
    def rank(self):
        """0 without a role, 1 viewer, 2 operator, 3 owner; as things stand now."""
        return self._access.rank(self.person)


class Access:
    """Roles by bare JID, and the roster that follows from them: people with a role may see the
    device's presence; other contacts are removed, and their requests met with silence."""

    #: Where more contacts than these have no role, the account looks like a person's own: it is
    #: left as it is, and presence goes to people with a role only.
    max_removed = 4

    def __init__(self, thing):
        self._client = client = thing.client
        config = thing.config
        self._ranks = {}
        for rank, role in enumerate(ROLES):
            for person in config[role + "s"]:
                self._ranks[person] = rank + 1
        self._apart = []  # people with a role who do not get what goes to the roster
        self._all = False  # nobody else gets what goes to the roster
        self._shown = None
        client.accepts = self.known
        client.on("presence", None, self._presence)
        client.on("set", _ROSTER, self._push)

    def known(self, person):
        """Whether a bare JID has a role."""
        return person in self._ranks

    def rank(self, person):
        """The rank of a bare JID's role, 1 to 3 as in ROLES; 0 without one."""
        return self._ranks.get(person, 0)

    def people(self):
        """(bare JID, role) of everybody with a role, owners first."""
        found = [(-rank, person) for person, rank in self._ranks.items()]
        found.sort()
        return [(person, ROLES[-rank - 1]) for rank, person in found]

    @property
    def owners(self):
        """The bare JIDs of all owners, as a list."""
        return [person for person, rank in self._ranks.items() if rank == len(ROLES)]

    def allows(self, person, role):
        """Whether a bare JID may do what needs `role`."""
        return self._ranks.get(person, 0) > ROLES.index(role)

    async def settle(self):
        """Bring the server's roster in line, before the first presence of a session."""
        client = self._client
        self._apart = list(self._ranks)
        self._all = False
        try:
            answer = await client.iq("get", Element("query", _ROSTER))
            query = answer.find("query", _ROSTER)
            if not query:
                raise StanzaError("too long")
            items = query.elements()
            others = [i.get("jid") for i in items if not self.known(i.get("jid"))]
            if len(others) > self.max_removed:
                raise StanzaError("{} contacts have no role".format(len(others)))
            for person in others:
                await self._remove(person)
        except StanzaError as e:
            # Who else would see us is not known, or not to be changed
            client.log("roster: {}: presence goes to people with a role only".format(e.condition))
            return
        ask = list(self._ranks)
        for item in items:
            person = item.get("jid")
            state = item.get("subscription")
            if state in ("from", "both") and person in self._apart:
                self._apart.remove(person)
            if (state in ("to", "both") or item.get("ask")) and person in ask:
                ask.remove(person)
        for person in ask:
            await self._send(person, "subscribe")
        self._all = True

    async def announce(self, children):
        """Send presence, with `children` as its elements, to everybody with a role: through the
        roster, and apart to those who did not subscribe."""
        self._shown = children
        for to in [None] + self._apart if self._all else self._apart:
            await self._show(to)

    async def _show(self, to):
        await self._client.send(Element("presence", None, {"to": to}, self._shown))

    async def _remove(self, person):
        # Not only "unsubscribed": consent that was given in advance would outlive it
        query = Element("query", _ROSTER)
        query.add("item", None, {"jid": person, "subscription": "remove"})
        await self._client.iq("set", query)

    async def _send(self, to, kind):
        await self._client.send(Element("presence", None, {"to": to, "type": kind}))

    async def _presence(self, stanza, payload):
        # From people with a role only; the client has dropped all others
        sender = stanza.get("from")
        person = bare(sender)
        if stanza.get("type") == "subscribe":
            await self._send(person, "subscribed")
            if person in self._apart and self._all:
                self._apart.remove(person)
        elif stanza.get("type") is None and person in self._apart and self._shown:
            # They came online, and the server does not tell them of us
            await self._show(sender)

    async def _push(self, stanza, payload):
        # RFC 6121 section 2.1.6: anybody but the server would have no business here
        if stanza.get("from") not in (None, self._client.account):
            raise StanzaError("service-unavailable")
        for item in payload.elements():
            person = item.get("jid")
            if not self.known(person) and item.get("subscription") in ("from", "both"):
                await self._remove(person)
