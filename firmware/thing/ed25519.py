"""Ed25519 signatures (RFC 8032 section 5.1), verified alone: loaded for one. Nothing secret is in
it, so time may tell what it likes."""

import asyncio

from .sha512 import sha512

_BITS = (1 << 255) - 1
_P = _BITS - 18
_L = (1 << 252) + 27742317777372353535851937790883648493
_D = 37095705934669439343138083508754565189542113879843219016388785533085940283555
# The base point
_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960
#: So many of the 253 steps are done before the loop gets its turn.
STEPS = 4


async def verify(key, message, signature):
    """Whether `signature`, 64 bytes, is one of bytes by the public key `key`, 32 bytes. Refused
    are, too, points and numbers that are not in their only form, and keys of small order."""
    if len(key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    point = _point(key)
    if s >= _L or not point:
        return False
    small = point
    for _ in range(3):
        small = _twice(*small)
    if not small[0] % _P:
        return False
    await asyncio.sleep(0)
    h = int.from_bytes(sha512(signature[:32] + key + message), "little") % _L
    await asyncio.sleep(0)
    # s B - h A, from the top down, both at once
    x, y, z, t = point
    tables = _table(_P - x, y, z, _P - t), _table(_X, _Y, 1, _X * _Y % _P)
    digits = _digits(h), _digits(s)
    x, y, z, t = 0, 1, 1, 0
    for i in range(255, -1, -1):
        if not i % STEPS:
            await asyncio.sleep(0)
        x, y, z, t = _twice(x, y, z, t)
        for each, table in zip(digits, tables):
            n = each[i] - 4
            if n > 0:
                x, y, z, t = _plus(x, y, z, t, *table[n >> 1])
            elif n:
                less, more, t2, z2 = table[-n >> 1]
                x, y, z, t = _plus(x, y, z, t, more, less, -t2, z2)
    await asyncio.sleep(0)
    z = pow(z % _P, _P - 2, _P)
    y = y * z % _P | (x * z % _P & 1) << 255
    # RFC 8032 has the points compared; in their only form it is the same
    return y == int.from_bytes(signature[:32], "little")


def _mod(n):
    # n, made smaller than 2**255 + 2**20: dividing would take longer
    n = (n & _BITS) + 19 * (n >> 255)
    return (n & _BITS) + 19 * (n >> 255)


def _point(data):
    # RFC 8032 section 5.1.3: (x, y, z, t), x = x / z, y = y / z, x y = t / z; None for no point
    y = int.from_bytes(data, "little")
    odd = y >> 255
    y &= _BITS
    if y >= _P:
        return None
    u = (y * y - 1) % _P
    v = (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P) % _P, (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
        if v * x * x % _P != u:
            return None
    if x & 1 != odd:
        x = _P - x
    return (x, y, 1, x * y % _P) if x < _P else None  # of zero there is but one


def _twice(x, y, z, t):
    a = _mod(x * x)
    b = _mod(y * y)
    h = a + b
    x += y
    e = h - _mod(x * x)
    g = a - b
    f = _mod(2 * z * z) + g
    return _mod(e * f), _mod(g * h), _mod(f * g), _mod(e * h)


def _plus(x, y, z, t, less, more, t2, z2):
    # The second as _table() has it
    a = _mod((y - x) * less)
    b = _mod((y + x) * more)
    t = _mod(t * t2)
    z = _mod(z * z2)
    e = b - a
    f = z - t
    z += t
    b += a
    return _mod(e * f), _mod(z * b), _mod(f * z), _mod(e * b)


def _table(*point):
    # The point once and three times: y - x, y + x, 2 d t, 2 z
    kept = _kept(*point)
    return kept, _kept(*_plus(*_twice(*point), *kept))


def _kept(x, y, z, t):
    return y - x, y + x, _mod(2 * _D * t), 2 * z


def _digits(n):
    # n as a sum of d * 2**i, the d -3, -1, 1 or 3, or 0, mostly: each d + 4 in a byte
    digits = bytearray(b"\x04" * 256)
    i = 0
    while n:
        if n & 1:
            d = n & 7
            if d > 4:
                d -= 8
            digits[i] = d + 4
            n -= d
        n >>= 1
        i += 1
    return digits
