"""SASL mechanisms: SCRAM-SHA-1, SCRAM-SHA-256 (RFC 5802, RFC 7677), PLAIN (RFC 4616).

Pure: challenge in, response out, as bytes without base64. Long calculations are generators, so
that the caller's loop goes on between their steps.
"""

import hashlib
import os
from binascii import a2b_base64, b2a_base64

#: Fewer rounds than this are refused: the server, or somebody between, wants a weak hash.
MIN_ITERATIONS = 4096
#: More rounds than this are refused: they would keep a small processor busy for minutes.
MAX_ITERATIONS = 100000
#: Rounds between two steps of the calculation.
ROUNDS_A_STEP = 32


class SASLError(ValueError):
    """The other side does not keep to the mechanism, or cannot prove that it knows us."""


def choose(offered, plain=False):
    """The strongest mechanism among `offered` (names) that is implemented, or None; PLAIN only
    where `plain` says so."""
    for name in ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"):
        if name in offered and (plain or name != "PLAIN"):
            return name
    return None


def client(name, user, password, keys=None):
    """The client side of mechanism `name`. `keys`: what an earlier Scram's `keys` held. Raises
    SASLError."""
    if name == "PLAIN" and password is None:
        raise SASLError("no password")
    return Plain(user, password) if name == "PLAIN" else Scram(name, user, password, keys)


def b64(data):
    """Base64 of bytes, as bytes without a line end."""
    return b2a_base64(data)[:-1]


def _xor(a, b):
    return bytes([x ^ y for x, y in zip(a, b)])


def _pads(hash, key):
    # What HMAC hashes first, inside and outside
    if len(key) > 64:
        key = hash(key).digest()
    key += bytes(64 - len(key))
    return _xor(key, b"6" * 64), _xor(key, b"\\" * 64)


def hmac(hash, key, text):
    """HMAC (RFC 2104) of bytes, by a hash of 64-byte blocks such as hashlib.sha256."""
    inner, outer = _pads(hash, key)
    return hash(outer + hash(inner + text).digest()).digest()


class Plain:
    """PLAIN: the password itself, so only for a server that has nothing else. It has no challenge,
    and proves nothing of the server."""

    name = "PLAIN"
    keys = None

    def __init__(self, user, password):
        self.first = b"\0".join((b"", user.encode(), password.encode()))

    def verify(self, data):
        """Nothing."""


class Scram:
    """SCRAM without channel binding. Send `first`; run the generator `respond(challenge)` to its
    end and send `response`; `verify(data)` what comes with the success. All raise SASLError."""

    response = None

    def __init__(self, name, user, password, keys=None):
        self.name = name
        #: (mechanism, salt, iterations, client key, server key): these can stand in for the
        #: password as long as the server keeps its salt.
        self.keys = keys
        self._new = hashlib.sha256 if name.endswith("256") else hashlib.sha1
        self._password = password
        # A board's urandom may be raw oscillator bits: several times what is needed, hashed
        self._nonce = b64(hashlib.sha256(os.urandom(64)).digest()[:18])
        user = user.replace("=", "=3D").replace(",", "=2C").encode()
        self._bare = b"n=" + user + b",r=" + self._nonce
        self.first = b"n,," + self._bare

    def respond(self, challenge):
        """A generator; at its end `response` is set."""
        fields = _fields(challenge)
        try:
            nonce = fields[b"r"]
            salt = a2b_base64(fields[b"s"])
            rounds = int(fields[b"i"])
        except (KeyError, ValueError):
            raise SASLError("SCRAM: bad challenge")
        if b"m" in fields or not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise SASLError("SCRAM: the nonce is not ours")
        if not MIN_ITERATIONS <= rounds <= MAX_ITERATIONS:
            raise SASLError("SCRAM: {} iterations are refused".format(rounds))
        keys = self.keys
        if not keys or tuple(keys[:3]) != (self.name, salt, rounds):
            key = yield from self.salted(salt, rounds)
            keys = (self.name, salt, rounds)
            keys += (hmac(self._new, key, b"Client Key"), hmac(self._new, key, b"Server Key"))
            self.keys = keys
        final = b"c=biws,r=" + nonce
        text = b",".join((self._bare, challenge, final))
        self._signature = b64(hmac(self._new, keys[4], text))
        proof = _xor(keys[3], hmac(self._new, self._new(keys[3]).digest(), text))
        self.response = final + b",p=" + b64(proof)

    def verify(self, data):
        """Check the server's signature: it must know our keys too."""
        # Compared as it is written: what is no base64 is just as wrong
        if not self.response or _fields(data).get(b"v") != self._signature:
            raise SASLError("SCRAM: the server does not know the account")

    def salted(self, salt, rounds):
        """The salted password: PBKDF2 with one block (RFC 5802: Hi). A generator, for it takes
        its time."""
        if self._password is None:
            raise SASLError("no password")
        new = self._new
        key = self._password.encode()
        if hasattr(hashlib, "pbkdf2_hmac"):
            return hashlib.pbkdf2_hmac(new().name, key, salt, rounds)
        inner, outer = _pads(new, key)
        block = salt + b"\0\0\0\1"
        total = 0
        for i in range(rounds):
            block = new(outer + new(inner + block).digest()).digest()
            total ^= int.from_bytes(block, "big")
            if not i % ROUNDS_A_STEP:
                yield
        return total.to_bytes(len(block), "big")


def _fields(data):
    return {p[:1]: p[2:] for p in data.split(b",") if p[1:2] == b"="}
