"""What answers the questions of ad-hoc commands (XEP-0050): loaded by `forms` for each."""

import os
from binascii import hexlify

from uxmpp.client import STANZAS, StanzaError
from uxmpp.xml import Element

from . import dataform
from .forms import Written, XMLNS
from .registry import Command, Control, show


def _find(forms, asker, node):
    # The entries behind a node: those that `asker` may use
    thing = forms.thing
    return [
        e
        for e in thing.registry.entries + [forms.all]
        if node in (XMLNS, e.name) and e.role and thing.may(e, asker)
    ]


def disco(forms, stanza, query):
    """What answers disco#info and disco#items (XEP-0030) about the commands."""
    node = query.get("node")
    client = forms.thing.client
    found = _find(forms, forms.thing.asker(stanza.get("from"), "forms"), node)
    result = Element("query", query.xmlns, {"node": node})
    if query.xmlns.endswith("#info"):
        if not found:
            from uxmpp.xep.disco import answer

            return answer(client, query)
        attrs = {"category": "automation", "type": "command-list"}
        if node != XMLNS:
            attrs["type"] = "command-node"
            attrs["name"] = _title(found[0])
        result.add("identity", None, attrs)
        for feature in forms.features[:2]:
            result.add("feature", None, {"var": feature})
    elif node == XMLNS:
        items = []
        for e in found:
            attrs = {"jid": client.jid, "node": e.name, "name": _title(e)}
            items.append(Element("item", None, attrs).to_bytes())
        result.children.append(Written(b"".join(items)))
    elif node and not found:
        raise StanzaError("item-not-found")
    return result


async def command(forms, stanza, command):
    """What answers a stage of a command."""
    thing = forms.thing
    asker = thing.asker(stanza.get("from"), "forms")
    if not thing.access.allow(asker.person):
        raise StanzaError("resource-constraint", "wait")
    # In every stage anew: roles change
    node = command.get("node")
    found = _find(forms, asker, node)
    if not found or node == XMLNS:
        raise StanzaError("item-not-found")
    try:
        id, status, kind, said, form, actions = await _stage(forms, asker, found[0], command)
    except (StanzaError, ValueError) as e:
        # The client knows nothing of conditions of ours
        condition = getattr(e, "condition", "bad-payload")
        if condition == "resource-constraint":
            raise
        ended = condition == "session-expired"
        error = Element("error", None, {"type": "cancel" if ended else "modify"})
        error.add("not-allowed" if ended else "bad-request", STANZAS)
        error.add("text", STANZAS, None, thing.why(e))
        error.add(condition, XMLNS)
        attrs = {"type": "error", "id": stanza.get("id"), "to": asker.jid}
        await thing.client.send(Element("iq", None, attrs, [error]))
        stanza.name = None  # it is answered: the client is not to
        return None
    result = Element("command", XMLNS, {"node": node, "sessionid": id, "status": status})
    if actions:
        allowed = result.add("actions", None, {"execute": actions[-1]})
        for action in actions:
            allowed.add(action)
    if said:
        result.add("note", None, {"type": kind}, said[: forms.max_answer])
    if form:
        result.children.append(form)
    return result


async def _stage(forms, asker, entry, command):
    # (session id, status, type and text of the note, form, actions) to answer; raises
    # StanzaError for a condition of XEP-0050, ValueError with what is wrong with the payload
    thing = forms.thing
    sessions = forms.sessions
    params = entry.params
    action = command.get("action") or "execute"
    if action not in ("execute", "next", "complete", "prev", "cancel"):
        raise StanzaError("malformed-action")
    x = command.find("x", dataform.XMLNS)
    now = thing.clock.uptime_s()
    id = command.get("sessionid")
    asked = kept = said = None
    if id is None:
        if action != "execute":
            raise StanzaError("bad-sessionid")
        if x:
            raise ValueError("execute it first, without a form")
        id = hexlify(os.urandom(12)).decode()
        session = [0, None, (id, asker.jid), entry]
        if isinstance(entry, Control):
            values = [entry.value]
        else:
            values = [p.default for p in params]
        ready = not params
    else:
        session = [s for s in sessions if s[2:] == [(id, asker.jid), entry]]
        if not session:
            raise StanzaError("bad-sessionid")
        session = session[0]
        if now > session[0]:
            raise StanzaError("session-expired")
        if action == "cancel":
            session[:2] = -1, None
            return id, "canceled", None, None, None, None
        values = session[1]
        asked = values is not None
        ready = action != "prev"
        if not asked:
            if not ready or action == "complete" and entry.confirm:
                raise StanzaError("bad-action")
            if not x:
                raise ValueError("the form is missing")
            values = dataform.read(x, params)
        elif ready and x:
            dataform.read(x, ())
        elif not ready and not params:
            raise StanzaError("bad-action")
    if ready:
        try:
            words = [text for text in values if text is not None]
            if None in values[: len(words)]:
                raise ValueError(params[values.index(None)].name + " is missing")
            if asked or not entry.confirm:
                # Ended now: who sends it twice has it done once
                session[:2] = -1, None
                if entry is forms.all:
                    return id, "completed", None, None, await _read(forms), None
                said = await thing.act(entry, words, asker)
                return id, "completed", "info", said, None, None
            args = entry.arguments(words)
            if len(str(words)) > forms.max_answer:
                raise ValueError("too long")
            kept = values
        except Exception as e:
            said = thing.why(e)
            if None in values and isinstance(e, TypeError):
                e = ValueError()  # what has no default was left out
                said = "a value is missing"
            if not params or not isinstance(e, ValueError):
                return id, "completed", "error", said, None, None
    kind = "error"
    actions = ("next" if entry.confirm else "complete",)
    if kept is not None:
        kind = "warn"
        said = "To be done: " + " ".join([entry.name] + [show(a) for a in args])
        actions = ("prev", "complete") if params else ("complete",)
        params = ()
    session[:2] = now + forms.session_s, kept
    if session in sessions:
        sessions.remove(session)
    elif len(sessions) >= forms.max_sessions:
        sessions.remove(_victim(thing, asker, sessions, now))
    sessions.append(session)
    form = dataform.form(params, values, _title(entry), None if params else said)
    return id, "executing", kind, said, form, actions


def _victim(thing, asker, sessions, now):
    # The session that makes room: one that has ended, else of whoever may least, first the
    # asker's own, that which was idle longest. Raises StanzaError for those who may less yet
    def order(session):
        other = thing.asker(session[2][1], "forms")
        return session[0] >= now, other.rank, other.person != asker.person, session[0]

    victim = min(sessions, key=order)
    if order(victim)[:2] > (True, asker.rank):
        raise StanzaError("resource-constraint", "wait")
    return victim


async def _read(forms):
    # A form with all that can be read
    thing = forms.thing
    x = Element("x", dataform.XMLNS, {"type": "result"})
    x.add("title", None, None, thing.config["name"])
    fields = []
    for e in thing.registry.entries:
        if not isinstance(e, Command):
            await thing.read(e)
            field = Element("field", None, {"var": e.name})
            field.add("value", None, None, e.state())
            fields.append(field.to_bytes())
    x.children.append(Written(b"".join(fields)))
    return x


def _title(entry):
    return "Read everything" if entry.name == "read" else entry.name.replace("_", " ")
