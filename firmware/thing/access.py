"""Who may do what, how often, and who sees the device: people with a role, and nobody else."""

import asyncio

from uxmpp.client import StanzaError
from uxmpp.jid import bare
from uxmpp.xml import Element

from .memory import forget
from .store import load, save

ROSTER = "jabber:iq:roster"
#: The roles, the least first; each may do what those before it may.
ROLES = ("viewer", "operator", "owner")
_OWNER = 3
_IQ = "/iq"  # whose questions by program are counted apart


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
    """Roles by bare JID: those of the configuration and, over them, those given since, which are
    kept in roles.json. The roster follows from them: people with a role may see the device's
    presence; other contacts are removed, and their requests met with silence. On an account that
    is shared with a person, that person is an owner, and the roster is theirs."""

    #: The most people with a role, but for what the configuration has; and how long a JID may be.
    max_people = 32
    max_jid = 255
    #: Where more contacts than these have no role, the account looks like a person's own: it is
    #: left as it is, and presence goes to people with a role only.
    max_removed = 4
    #: How much one may ask at once, and then once in so many seconds.
    burst = 10
    pause_s = 2
    #: The same for each owner, and for all others together; then so often in a second.
    owner_burst = 40
    total_burst = 30
    rate = 2
    #: Of the client's handlers so many are for owners only.
    spare = 2
    #: Seconds in which whoever comes online is shown the device once, however often they come.
    show_s = 0.5

    def __init__(self, thing):
        self._thing = thing
        self._client = client = thing.client
        config = thing.config
        #: Functions of a bare JID whose role has changed; coroutine functions, too.
        self.on_change = []
        #: Functions of the bare JID and the stanza of somebody who is no owner: whether to let it
        #: in. To others than people with a role the device is not there.
        self.guests = []
        self.path = thing.folder + "roles.json"
        self._ranks = {}
        # Bare JID, or that and _IQ -> [when all may be asked at once again, when a flood is over]
        self._used = {}
        for role in ROLES:
            for person in config[role + "s"]:
                self.give(person, role)
        #: What is in roles.json: the role by bare JID, or "none"; "pair": see pairing.
        self.kept = load(self.path, client.log)
        for person, role in self.kept.items():
            if "@" in person:
                self.give(person, role)
        self._shared = config.get("shared")
        if self._shared:
            self.give(client.account, ROLES[-1])
        self._apart = []  # people with a role who do not get what goes to the roster
        self._came = []  # those of them who came online, and are to see the device
        self._greeting = None
        #: Whether nobody without a role gets what goes to the roster; None while that is not
        #: known, False where the roster is left as it is.
        self.alone = None
        self._ahead = False  # consent may be given in advance
        self._shown = None
        self._total = 0
        if not self.owners and "pair" in config:
            from .pairing import Pairing

            Pairing(self, thing)
        client.accepts = self._accepts
        client.on("presence", None, self.presence)
        client.on("set", ROSTER, self._push)
        client.on("features", "urn:xmpp:features:pre-approval", self._offer)

    def give(self, person, role):
        """Have a bare JID hold a role, or none, until the next start; assign() does all of it."""
        if role in ROLES:
            self._ranks[person] = ROLES.index(role) + 1
        else:
            self._ranks.pop(person, None)
            for key in (person, person + _IQ):
                self._used.pop(key, None)

    def keep(self, kept, person=None, role=None):
        """Write `kept` to flash and, where that went well, have it hold: the role of a bare JID in
        it, too. Whether it went well."""
        if not save(self.path, kept, self._client.log):
            return False
        self.kept = kept
        if person:
            self.give(person, role)
        return True

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
        return [person for person, rank in self._ranks.items() if rank == _OWNER]

    def allows(self, person, role):
        """Whether a bare JID may do what needs `role`."""
        return self.rank(person) > ROLES.index(role)

    def allow(self, person, key=None):
        """Whether a bare JID may ask for one thing more now. To be called once for a request,
        before anything is done for it. After a no, say nothing: who asks too much is told so
        here, once. `key`: what is counted by itself, if not what people do."""
        rank = self.rank(person)
        if not rank:
            return False
        # Times in units of 1 / rate s: no fractions
        now = self._thing.clock.uptime_s() * self.rate
        cost, room, total = 1, self.owner_burst, self._total
        if rank < _OWNER:
            cost, room = self.pause_s * self.rate, self.burst
            total = max(total, now) + 1
        room *= cost
        used = self._used.setdefault(key or person, [0, -1])
        full = max(used[0], now) + cost
        if full - now <= room and total - now <= self.total_burst:
            used[0] = full
            self._total = total
            return True
        self._client.dropped += 1
        if now > used[1]:
            self._client.log(person + ": too many messages")
            # CPython forgets a task that nobody keeps
            self._task = asyncio.create_task(
                self.say(person, "Too many messages; I am silent for a while.")
            )
        used[1] = now + room
        return False

    async def say(self, to, text):
        """Send a chat message, where there is a session."""
        try:
            await self._thing.say(to, text)
        except OSError:  # no session, nobody to tell
            pass

    async def assign(self, asker, person, role):
        """As roles.assign()."""
        from .roles import assign

        try:
            return await assign(self, asker, person, role)
        finally:
            forget("roles")

    async def settle(self):
        """Bring the server's roster in line, before the first presence of a session."""
        self._apart = list(self._ranks)
        self.alone = False
        if not self._shared:
            self.alone = None
            from .roster import settle

            await settle(self)
            forget("roster")

    async def announce(self, children):
        """Send presence, with `children` as its elements, to everybody with a role: through the
        roster, and apart to those who did not subscribe."""
        self._shown = children
        for to in [None] + self._apart if self.alone else self._apart:
            await self.show(to)

    async def show(self, to):
        """Send the presence to a JID alone; None: to the roster."""
        await self._client.send(Element("presence", None, {"to": to}, self._shown))

    async def remove(self, person):
        """Take a bare JID out of the roster. Raises OSError, StanzaError."""
        # Not only "unsubscribed": consent that was given in advance would outlive it
        query = Element("query", ROSTER)
        query.add("item", None, {"jid": person, "subscription": "remove"})
        await self._client.iq("set", query)

    async def send(self, to, kind):
        """Send presence of type `kind` to a JID."""
        await self._client.send(Element("presence", None, {"to": to, "type": kind}))

    async def ask(self, person):
        """Ask a bare JID for its contact, and give ours."""
        await self.send(person, "subscribe")
        if self._ahead:  # RFC 6121 section 3.4
            await self.send(person, "subscribed")

    def _offer(self, stanza, payload):
        self._ahead = True

    def _accepts(self, person, el):
        rank = heard = self.rank(person)
        if rank < _OWNER:
            client = self._client
            for f in self.guests:
                heard = f(person, el) or heard
            if (
                len(client._tasks) >= client.max_handlers - self.spare
                # Who looks around by program can still chat
                or el.name == "iq"
                and not self._streamed(el)
                and not self.allow(person, person + _IQ)
            ):
                if rank:
                    client._refuse(el, "resource-constraint", "wait")
                    el.name = None  # it is answered: the client is not to
                return False
        # Whose message made them an owner has had the answer
        return heard and rank == self.rank(person)

    def _streamed(self, el):
        # Whether it goes on with a bytestream that was let in: as fast as it is acknowledged
        streams = getattr(self._client, "streams", None)
        for e in el.elements() if streams else ():
            return e.xmlns[-4:] == "/ibb" and (el.get("from"), e.get("sid")) in streams.open
        return False

    async def presence(self, stanza, payload):
        """Handle a presence: of people with a role, the client has dropped that of others."""
        sender = stanza.get("from")
        person = bare(sender)
        if stanza.get("type") == "subscribe":
            if not self._shared and self.allow(person):
                await self.send(person, "subscribed")
                if person in self._apart and self.alone:
                    self._apart.remove(person)
        elif stanza.get("type") is None and person in self._apart and sender != self._client.jid:
            # They came online, and the server does not tell them of us. No handler waits for
            # that, and a flood is answered by one stanza now and then.
            if person not in self._came:
                self._came.append(person)
            if not self._greeting:
                self._greeting = asyncio.create_task(self._greet())

    async def _greet(self):
        try:
            while self._came:
                await asyncio.sleep(self.show_s)
                came = self._came
                self._came = []
                for person in came:
                    if person in self._apart and self._shown:
                        await self.show(person)
        except (OSError, MemoryError):
            self._came = []  # a new session begins with showing it
        finally:
            self._greeting = None

    async def _push(self, stanza, payload):
        # RFC 6121 section 2.1.6: anybody but the server would have no business here
        if stanza.get("from") not in (None, self._client.account):
            raise StanzaError("service-unavailable")
        for item in payload.elements():
            person = item.get("jid")
            if item.get("subscription") in ("from", "both"):
                if not self.known(person):
                    if self.alone is not False:
                        await self.remove(person)
                elif person in self._apart and self.alone:
                    self._apart.remove(person)
        client = self._client
        if len(client.queue) >= client.max_queue // 2:
            # Contacts can have it push a lot, and it does not wait for an answer
            stanza.name = None
