"""Software Version (XEP-0092)."""

import sys

from .. import __version__
from ..xml import Element
from .disco import identity


def answer(client, query):
    """The name of the client, the library's version, the interpreter."""
    result = Element("query", query.xmlns)
    result.add("name", None, None, identity(client)[2])
    result.add("version", None, None, __version__)
    number = ".".join([str(n) for n in sys.implementation.version[:3]])
    result.add("os", None, None, sys.implementation.name + " " + number)
    return result
