"""XMPP Ping (XEP-0199)."""


def answer(client, query):
    """An empty result."""
