"""Publish-Subscribe (XEP-0060), as a publisher: nodes that hold one item, at a service or, as
personal events (XEP-0163), at one's own account."""

from ..xml import Element

XMLNS = "http://jabber.org/protocol/pubsub"


async def publish(client, to, node, payload, id, access):
    """Publish the Element `payload` as item `id` of `node`, at the service `to` or None for the
    own account, where `access` is its access model, "presence" or "whitelist"; it is made if the
    service does that by itself. Raises StanzaError, "conflict" for another model; OSError."""
    ask, change = query(XMLNS, "publish", node)
    change.add("item", None, {"id": id}).children.append(payload)
    ask.add("publish-options").children.append(form("#publish-options", access))
    await client.iq("set", ask, to)


def query(xmlns, name, node):
    """(<pubsub/> in `xmlns`, <`name`/> for `node` in it)."""
    ask = Element("pubsub", xmlns)
    return ask, ask.add(name, None, {"node": node})


def form(kind, access, items=1, more=()):
    """What a node should be like, as a form of type `kind`, "#node_config": it keeps so many
    items, or none; `more`: further fields, as (name, value). Nothing in it is escaped."""
    fields = (
        ("FORM_TYPE", XMLNS + kind),
        ("pubsub#persist_items", "1" if items else "0"),
        ("pubsub#max_items", str(items or 1)),  # some services refuse 0
        ("pubsub#access_model", access),
    )
    return _Form("x", "jabber:x:data", None, fields + more)


class _Form(Element):
    # A tree of fields would take some KB, more than all else in a session

    def _write(self, out, xmlns):
        out.append(b"<x xmlns='jabber:x:data' type='submit'>")
        for field in self.children:
            out.append("<field var='{}'><value>{}</value></field>".format(*field).encode())
        out.append(b"</x>")
