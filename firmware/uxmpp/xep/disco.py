"""Service Discovery (XEP-0030), as far as others ask about this client. Set `client.identity` to
say what it is, (category, type, name), `client.features` to a list of further namespaces, and
`client.caps` to the node of its entity capabilities (XEP-0115), "node#ver"."""

from ..client import StanzaError
from ..xml import Element
from . import ANSWERS


def identity(client):
    """(category, type, name) of a client."""
    return getattr(client, "identity", ("client", "bot", "uxmpp"))


def answer(client, query):
    """Who this is, and what it can do: the features sorted, each once."""
    node = query.get("node")
    if node and node != getattr(client, "caps", None):
        raise StanzaError("item-not-found")
    category, kind, name = identity(client)
    result = Element("query", query.xmlns, {"node": node})
    result.add("identity", None, {"category": category, "type": kind, "name": name})
    for feature in sorted(set(list(ANSWERS) + getattr(client, "features", []))):
        result.add("feature", None, {"var": feature})
    return result
