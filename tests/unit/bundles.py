"""Signed bundles for the tests of updates; the signer is another way to the same numbers. Runs on
CPython and on MicroPython."""

import hashlib
from binascii import hexlify

from thing.sha512 import sha512

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Y = 4 * pow(5, P - 2, P) % P
X = pow((Y * Y - 1) * pow(D * Y * Y + 1, P - 2, P) % P, (P + 3) // 8, P)
if (X * X * (D * Y * Y + 1) - (Y * Y - 1)) % P:
    X = X * pow(2, (P - 1) // 4, P) % P
X = P - X if X & 1 else X
CONTEXT = b"uxmpp update 1\n"


def add(p, q):
    """The sum of two points, (x, y, z) each: projective, by the curve's own equation."""
    x, y, z = p
    u, v, w = q
    a = z * w % P
    b = a * a % P
    c = x * u % P
    d = y * v % P
    e = D * c * d % P
    f = (b - e) % P
    g = (b + e) % P
    x = a * f * ((x + y) * (u + v) - c - d) % P
    return x, a * g * (d + c) % P, f * g % P


def times(n, point=(X, Y, 1)):
    """A point n times."""
    total = (0, 1, 1)
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def packed(point):
    """A point as RFC 8032 has it, 32 bytes."""
    x, y, z = point
    z = pow(z, P - 2, P)
    return (y * z % P | (x * z % P & 1) << 255).to_bytes(32, "little")


_secrets = {}


def _secret(seed):
    # (the number, what is hashed for others, the public key)
    if seed not in _secrets:
        h = sha512(seed)
        a = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
        _secrets[seed] = a, h[32:], packed(times(a))
    return _secrets[seed]


def public(seed):
    """The public key of a secret one, 32 bytes both."""
    return _secret(seed)[2]


def sign(seed, message):
    """The signature of bytes by a secret key (RFC 8032 section 5.1.6)."""
    a, prefix, key = _secret(seed)
    r = int.from_bytes(sha512(prefix + message), "little") % L
    first = packed(times(r))
    h = int.from_bytes(sha512(first + key + message), "little")
    return first + ((r + h * a) % L).to_bytes(32, "little")


def manifest(files, version="1.2.0", app="sensor", board="esp32", mpy=6, key=None):
    """The manifest of files, {path: bytes}."""
    lines = ["uxmpp 1", "app " + app, "version " + version, "board " + board, "mpy " + str(mpy)]
    if key:
        lines.append("key " + hexlify(key).decode())
    for path in sorted(files):
        sha = hexlify(hashlib.sha256(files[path]).digest()).decode()
        lines.append("file {} {} {}".format(len(files[path]), sha, path))
    return "".join([line + "\n" for line in lines]).encode()


def bundle(text, files, seed):
    """A bundle with the manifest `text`, signed."""
    signature = sign(seed, CONTEXT + hashlib.sha256(text).digest())
    data = b"".join([files[path] for path in sorted(files)])
    return b"UXMPPUP1" + len(text).to_bytes(4, "big") + text + signature + data
