"""Addresses (RFC 7622). A JID is a str here, in the normal form that the server gives it.

Pure. A device has no Unicode tables: ASCII letters are folded, anything else is taken as it
comes, so names beyond ASCII must be written in their prepared form.
"""


def split(jid):
    """(local part or "", domain, resource or "") of a JID."""
    bare, _, resource = jid.partition("/")
    local, at, domain = bare.partition("@")
    return (local, domain, resource) if at else ("", bare, resource)


def bare(jid):
    """The JID without its resource; "" for None."""
    return jid.partition("/")[0] if jid else ""


def prepare(text):
    """A JID typed by a person, in normal form. Raises ValueError, saying what is wrong."""
    address, slash, resource = text.strip().partition("/")
    # As bytes: so CPython too folds ASCII alone
    local, at, domain = address.encode().lower().decode().partition("@")
    if not at:
        local, domain = "", local
    if domain.endswith("."):
        domain = domain[:-1]
    for part, what in ((local, at), (domain, "@"), (resource, slash)):
        raw = part.encode()
        bad = what and not raw or len(raw) > 1023
        for c in raw:
            bad = bad or c < 32 or c == 127 or what == "@" and c in b" \"&'/:<>@"
        if bad:
            raise ValueError(repr(text[:64]) + ": not an address like name@domain")
    return local + at + domain + slash + resource
