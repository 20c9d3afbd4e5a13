"""The first owner: whoever writes the pairing code. Loaded only while there is none."""

import asyncio
import os

from .memory import forget

# 32 of them, none like another, so five bits choose one and all codes are equally likely
_SIGNS = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Pairing:
    """Looks at what people write for `pair CODE`; whoever has the code becomes the owner. It is
    the configuration's `pair` or, where that is "", made anew at each start and shown on the
    console. All others get no answer, whatever they write and however often."""

    #: After so many wrong codes, of all people together, the code is good for nothing any more.
    #: Those for a code of the configuration are counted over restarts.
    max_attempts = 10
    #: For so many seconds after a wrong code none is looked at; they double, up to so many.
    space_s = 2
    max_space_s = 3600
    #: The fewest letters and digits of a code, and how much of a message is looked at.
    min_code = 6
    max_text = 64

    def __init__(self, access, thing):
        self._access = access
        self._thing = thing
        shown = "as provided"
        code = thing.config["pair"]
        self._made = not code
        if not code:
            code = bytes([_SIGNS[n & 31] for n in os.urandom(8)]).decode()
            shown = code[:4] + "-" + code[4:]
        self._code = code = plain(code)
        #: The wrong codes so far.
        self.attempts = 0
        kept = access.kept.get("pair")
        if isinstance(kept, list) and len(kept) == 2 and kept[0] == code.decode():
            self.attempts = kept[1] if isinstance(kept[1], int) else self.max_attempts
        if len(code) < self.min_code or self.attempts >= self.max_attempts:
            thing.client.log("pair: the code is too short, or used up: provide another")
            forget("pairing")
        else:
            self._wait()
            access.guests.append(self)
            # Not for the log, which operators may read
            said = "pairing code: {}; write `pair {}` to {}"
            print(said.format(shown, shown if self._made else "CODE", thing.client.account))

    def __call__(self, person, el):
        """Look at a stanza of a bare JID; it is never let in."""
        body = el.find("body")
        if (
            not body
            or el.name != "message"
            or el.get("type") not in (None, "normal", "chat")
            # A room must not become the owner, for those who are in it
            or el.find("x", "http://jabber.org/protocol/muc#user")
            or "@" not in person
        ):
            return
        words = body.text[: self.max_text].strip().lstrip("/!").split(None, 1)
        if len(words) < 2 or words[0].lower() != "pair":
            return
        if self._thing.clock.uptime_s() < self._until:
            return
        code = self._code
        text = plain(words[1])
        differ = len(text) ^ len(code)
        # As long, whatever they have in common
        for i in range(len(code)):
            differ |= code[i] ^ (text + code)[i]
        if not differ:
            before = self._access.rank(person)
            if self._keep(self.max_attempts, person, "owner"):
                self._close(person + ": owner, by the code")
                self._task = asyncio.create_task(self._greet(person, el.get("from"), before))
            return
        self.attempts += 1
        self._wait()
        if not self._made:
            self._keep(self.attempts)
        why = "pair: a wrong code, {} of {}".format(self.attempts, self.max_attempts)
        if self.attempts < self.max_attempts:
            self._thing.client.log(why)
        else:
            self._close(why)

    def _keep(self, attempts, *person):
        kept = dict(self._access.kept)
        kept["pair"] = (self._code.decode(), attempts)
        if person:
            kept[person[0]] = person[1]
        return self._access.keep(kept, *person)

    def _wait(self):
        space = min(self.space_s << self.attempts >> 1, self.max_space_s)
        self._until = self._thing.clock.uptime_s() + space if self.attempts else 0

    async def _greet(self, person, jid, before):
        await self._access.say(jid, "You are my owner now. Try help.")
        from .roles import follow

        await follow(self._access, person, before)
        forget("roles")

    def _close(self, why):
        self._thing.client.log(why)
        self._access.guests.remove(self)
        forget("pairing")


def plain(text):
    """The letters and digits of a code, as bytes in capitals: how people space them is theirs."""
    return bytes([c for c in text.upper().encode() if 48 <= c <= 57 or 65 <= c <= 90])
