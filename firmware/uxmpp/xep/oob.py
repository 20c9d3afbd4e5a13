"""Out of Band Data (XEP-0066): an URL beside a message's text."""

from ..xml import Element

XMLNS = "jabber:x:oob"


def element(url, text=None):
    """<x/> for a message; `text` describes what is there."""
    made = Element("x", XMLNS)
    made.add("url", None, None, url)
    if text:
        made.add("desc", None, None, text)
    return made


def parse(el):
    """The URL in <x/>, or None."""
    url = el.find("url")
    return url and url.text.strip() or None
