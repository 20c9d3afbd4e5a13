"""Entity Time (XEP-0202)."""

import time

from ..client import StanzaError
from ..xml import Element


def stamp(seconds=None):
    """A time as XEP-0082 writes it, in UTC; None where the clock was never set. `seconds`: of the
    interpreter's own epoch, now by default."""
    t = time.gmtime() if seconds is None else time.gmtime(seconds)
    # A board without a battery wakes up in 2000 or 2021
    return "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*t[:6]) if t[0] > 2024 else None


def answer(client, query):
    """The time in UTC. A device keeps no time zone."""
    utc = stamp()
    if not utc:
        raise StanzaError("service-unavailable")
    result = Element("time", query.xmlns)
    result.add("tzo", None, None, "+00:00")
    result.add("utc", None, None, utc)
    return result


async def ask(client, to):
    """The time that `to` tells, as XEP-0082 writes it; "" where it tells none. Raises StanzaError,
    OSError."""
    answer = await client.iq("get", Element("time", "urn:xmpp:time"), to=to)
    told = answer.find("time", "urn:xmpp:time")
    utc = told and told.find("utc")
    return utc.text if utc else ""
