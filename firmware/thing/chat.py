"""The chat surface: the manners of messages. What is said is for `words`."""

import asyncio
import os
from binascii import hexlify

from uxmpp.xml import Element

from . import words

_DELAY = "urn:xmpp:delay"
_CARBONS = "urn:xmpp:carbons:2"
_RECEIPTS = "urn:xmpp:receipts"
_MARKERS = "urn:xmpp:chat-markers:0"
_STATES = "http://jabber.org/protocol/chatstates"
_RESPONSE = "urn:xmpp:tmp:quick-response"


class Chat:
    """Answers chat messages from people with a role. Everything it can say comes from the
    registry."""

    #: The most characters of an answer.
    max_answer = 2000
    #: After so many seconds one is told that the work goes on.
    slow_s = 2

    features = (_RECEIPTS, _MARKERS, _STATES, words.CORRECT, "urn:xmpp:styling:0")

    def __init__(self, thing):
        self._thing = thing
        self._done = words.Done()
        self._pending = words.Pending()
        thing.client.on("message", None, self._message)

    async def _message(self, stanza, payload):
        thing = self._thing
        sender = stanza.get("from")
        asker = thing.asker(sender, "chat")
        body = stanza.find("body")
        files = thing.surfaces.get("files")
        offer = files and files.offered(stanza)
        if (
            stanza.get("type") in ("groupchat", "headline")
            or not asker.rank
            or not (body or offer or stanza.truncated)
            or self._copied(stanza, asker)
            or not thing.access.allow(asker.person)
        ):
            return
        id = stanza.get("id")
        done = self._done
        act = done.of(asker.person, stanza)
        entry = args = choices = None
        text = words.too_long
        if act[1]:
            text = words.again.format(act[1])
        elif offer:
            entry = "file"
            text = offer
        elif body:
            try:
                meant = words.understand(thing, body.text, asker, self._pending)
            except MemoryError:
                meant = None, None, "I have no memory for that now.", None
            entry, args, text, choices = meant
            if not text:
                return
        acts = words.writes(entry, args) or entry and offer
        if acts:
            # But what was written to it while it slept, as it had said, is meant for now
            sleep = thing.surfaces.get("sleep")
            if stanza.find("delay", _DELAY) and not (sleep and sleep.covers(stanza)):
                entry = None
                line = words.plain(text)[: words.max_echo]
                text = "I was away when you wrote: {}. Write it again if you still want it."
                text = text.format(line)
            else:
                done.keep(act, text)
        # So far nothing was awaited: all this is done in the order of arrival
        states = [_STATES for e in stanza.elements() if e.xmlns == _STATES]
        if id and stanza.find("request", _RECEIPTS):
            await self._send(sender, [Element("received", _RECEIPTS, {"id": id})])
        if id and stanza.find("markable", _MARKERS):
            await self._send(sender, [Element("displayed", _MARKERS, {"id": id})])
        if entry:
            if states:
                await self._send(sender, [Element("composing", _STATES)])
            slow = asyncio.create_task(self._slow(sender, getattr(entry, "name", entry)))
            try:
                if offer:
                    text, effect = await files.receive(stanza, asker)
                else:
                    # It may take long, and memory: what was read of the message can go
                    stanza.children = body = ()
                    text, effect = await words.perform(thing, entry, args, asker, choices)
            finally:
                slow.cancel()
            if acts and not effect:
                done.forget(act)
        text = text[: self.max_answer]
        more = [Element("active", xmlns) for xmlns in states[:1]]
        for value, label in choices or ():
            more.append(Element("response", _RESPONSE, {"value": value, "label": label}))
        rich = thing.surfaces.get("rich")
        if rich:
            more += rich.dress(sender, text)
        await self._send(sender, [Element("body", None, None, [text])] + more)

    def _copied(self, stanza, asker):
        # Whether it is somebody's copy of a message (XEP-0280), or was not meant for the device
        # by the person it shares an account with
        client = self._thing.client
        if [e for e in stanza.elements() if e.xmlns == _CARBONS and e.name != "private"]:
            return True
        return asker.person == client.account and (
            stanza.get("to") != client.jid or asker.jid in (client.jid, client.account)
        )

    async def _slow(self, to, name):
        await asyncio.sleep(self.slow_s)
        try:
            await self._send(to, [Element("body", None, None, [name + ": I am at it."])])
        except OSError:  # offline again
            pass

    async def _send(self, to, children):
        attrs = {"to": to, "type": "chat", "id": hexlify(os.urandom(6)).decode()}
        await self._thing.client.send(Element("message", None, attrs, children))
