"""SHA-512, and signatures: the vectors of RFC 8032, what it leaves open, and what nobody may take
for one."""

import asyncio
import hashlib
from binascii import unhexlify

import bundles
from bundles import L, P, packed, sign, times
from helper import MICROPYTHON, assert_none
from thing.ed25519 import verify
from thing.sha512 import sha512

HEAP = "200k"

# RFC 8032 section 7.1: secret key, public key, message, signature
VECTORS = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
)
# What is said of "abc", FIPS 180-4's example, and of 896 bits
ABC = (
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
)
LONG = (
    b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
    b"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
)
LONG_HASH = (
    "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
    "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"
)
# The keys of small order, as they should be written and as they should not (y + p): whoever has
# one of them as a key would take a signature of all and everything
SMALL = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
)


def right(key, message, signature):
    return asyncio.run(verify(key, message, signature))


def test_sha512():
    assert sha512(b"abc") == unhexlify(ABC)
    assert sha512(LONG) == unhexlify(LONG_HASH)
    if hasattr(hashlib, "sha512"):
        for n in range(300):
            data = bytes([i * 7 & 255 for i in range(n)])
            assert sha512(data) == hashlib.sha512(data).digest(), n


def test_vectors():
    for vector in VECTORS:
        secret, key, message, signature = [unhexlify(text) for text in vector]
        assert bundles.public(secret) == key and sign(secret, message) == signature
        assert right(key, message, signature)
        assert not right(key, message + b"\0", signature)


def test_what_is_no_signature():
    secret, key, message, signature = [unhexlify(text) for text in VECTORS[2]]
    number = int.from_bytes(signature[32:], "little")
    wrong = []
    for i in range(0, 64, 5):
        wrong.append(signature[:i] + bytes([signature[i] ^ 1 << i % 8]) + signature[i + 1 :])
    wrong += [signature[:63], signature + b"\0", b"", bytes(64), b"\xff" * 64]
    # The same number in another form, which is the same signature to whoever is not strict
    wrong += [signature[:32] + (number + n * L).to_bytes(32, "little") for n in (1, 2, 15)]
    # R in another form, as far as there is one: y + p
    wrong += [(2**255 - 19 + 1).to_bytes(32, "little") + signature[32:]]
    assert_none([s if right(key, message, s) else None for s in wrong])
    other = bundles.public(b"x" * 32)
    assert not right(other, message, signature)
    assert not right(key[:31], message, signature) and not right(key + b"\0", message, signature)
    # No point of the curve: half of all y
    none = [(y).to_bytes(32, "little") for y in (2, 7, 8, 11)]
    assert_none([k if right(k, message, signature) else None for k in none])


def test_keys_of_small_order():
    # With such a key a signature can be made of anything: R = s B, whatever is signed
    for s in (0, 1):
        signature = packed(times(s)) + s.to_bytes(32, "little")
        for text in SMALL:
            for message in (b"", b"a", b"b", b"c"):
                assert not right(unhexlify(text), message, signature), text
                if MICROPYTHON:
                    break


def test_signature_of_a_key_with_a_small_part():
    # Both sides of the equation have to be equal, not only eight times each (RFC 8032 allows both)
    small = None
    y = int.from_bytes(unhexlify(SMALL[5]), "little")
    u, v = (y * y - 1) % P, (bundles.D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P) % P, (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    small = (x, y, 1)
    a = int.from_bytes(sha512(b"a"), "little") % L
    key = packed(bundles.add(times(a), small))
    seen = set()
    for i in range(8 if MICROPYTHON else 40):
        message = b"message " + str(i).encode()
        first = packed(times(i + 1))
        h = int.from_bytes(sha512(first + key + message), "little") % L
        signature = first + ((i + 1 + h * a) % L).to_bytes(32, "little")
        # h times the small part is nothing every eighth time
        seen.add((right(key, message, signature), h % 8 == 0))
    assert seen <= {(True, True), (False, False)} and (False, False) in seen


if not MICROPYTHON:

    def test_as_cryptography_has_it():
        import random

        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (
            Ed25519PrivateKey,
            Ed25519PublicKey,
        )

        chosen = random.Random(25519)
        for i in range(60):
            seed = chosen.randbytes(32)
            private = Ed25519PrivateKey.from_private_bytes(seed)
            key = private.public_key().public_bytes_raw()
            message = chosen.randbytes(chosen.randrange(200))
            signature = bytearray(private.sign(message))
            assert right(key, message, bytes(signature)) and sign(seed, message) == signature
            signature[chosen.randrange(64)] ^= 1 << i % 8
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(bytes(signature), message)
                raise AssertionError(signature)
            except InvalidSignature:
                assert not right(key, message, bytes(signature))
