"""Which certificates are believed, where the interpreter asks about each of a chain."""

import hashlib
from binascii import hexlify

from helper import MICROPYTHON
from uxmpp.net import Context

LEAF, OTHER, ISSUER = b"the server's", b"another", b"the issuer's"
PIN = hexlify(hashlib.sha256(LEAF).digest()).decode()


def chain(context, *certificates):
    # mbedtls shows them from the top, and goes on as long as the answer is 0
    for depth in range(len(certificates) - 1, -1, -1):
        if context._verify(memoryview(certificates[depth]), depth):
            return False
    return True


def test_pin_and_a_chain():
    if not MICROPYTHON:  # CPython's ssl has no such question: see net_cpython
        assert not hasattr(Context(None, PIN), "_verify")
        return
    context = Context(None, PIN)
    context.der = b""
    found = [chain(context, leaf, ISSUER) for leaf in (LEAF, OTHER, LEAF, LEAF)]
    assert found == [True, False, True, True], found
    assert context.der == LEAF


def test_a_server_is_never_just_believed():
    """Without CA and pin there is no context."""
    for ca, pin in ((None, None), (b"", None), (None, ""), (b"", "")):
        try:
            Context(ca, pin)
            raise AssertionError((ca, pin))
        except (TypeError, ValueError, OSError):
            pass
