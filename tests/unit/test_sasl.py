"""SASL mechanisms, the client's side."""

from helper import MICROPYTHON, raises
from uxmpp import sasl

# RFC 5802 section 5, RFC 7677 section 3: mechanism, client nonce, server-first, client-final,
# server-final; user and password are the same in both.
VECTORS = (
    (
        "SCRAM-SHA-1",
        b"fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        "SCRAM-SHA-256",
        b"rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
)

# Passwords, and the proofs that CPython's hashlib.pbkdf2_hmac and hmac make of them
LONG_PASSWORDS = (
    ("x" * 64, b"vywVZWFr2r4EioFLAx/wHy4uP1z4nlwbQkgwqwQPG5U="),
    ("x" * 65, b"rEPBe1VFmxlPfJ+MpMKR5tQGLQwI8r4lVUcNthgQBNc="),
    ("y" * 200, b"4QoubDkNBRn19u+fJRmo4fse8YY2gic6qq51Fu9PVrE="),
    ("gr\xfcn \u20ac\U0001f600", b"LeCJWf3V/DnNsz+UkNKEd+IXA2qMCnC+hvsi3hOOYPw="),
    ("", b"tPbr4ksznL34eCCOqZheSI7+G2n6DDu3dNtzNGHfhZo="),
)


def nonce_of(client):
    return client.first.split(b",r=")[1]


def with_nonce(client, nonce):
    """`client`, as if it had drawn `nonce`: wherever its own stands, this one is put."""
    drawn = nonce_of(client)
    for name in dir(client):
        value = getattr(client, name)
        if isinstance(value, bytes) and drawn in value:
            setattr(client, name, value.replace(drawn, nonce))
    assert nonce_of(client) == nonce
    return client


def run(steps):
    """The number of times that a generator yields."""
    return len(list(steps))


def start(vector=VECTORS[1], keys=None, user="user", password="pencil"):
    return with_nonce(sasl.client(vector[0], user, password, keys), vector[1])


def refused(challenge, vector=VECTORS[1]):
    client = start(vector)
    raises(sasl.SASLError, run, client.respond(challenge))
    # Nothing was worked out that could be sent, or believed
    assert not client.response
    raises(sasl.SASLError, client.verify, vector[4])


def test_vectors():
    for vector in VECTORS:
        client = start(vector)
        assert client.first == b"n,,n=user,r=" + vector[1]
        steps = run(client.respond(vector[2]))
        assert client.response == vector[3], client.response
        client.verify(vector[4])
        if MICROPYTHON:
            # The loop goes on in between
            assert steps >= 4096 // sasl.ROUNDS_A_STEP // 2, steps


def test_nonces_are_new():
    nonces = [nonce_of(sasl.client("SCRAM-SHA-256", "u", "p")) for _ in range(20)]
    for nonce in nonces:
        assert len(nonce) >= 22, nonce
        assert not [c for c in nonce if not 33 <= c <= 126 or c == 44], nonce
    assert len(set(nonces)) == 20


def test_names_with_equals_sign_and_comma():
    for user, written in (("a=b,c", b"a=3Db=2Cc"), ("=2C", b"=3D2C"), (",,", b"=2C=2C")):
        client = sasl.client("SCRAM-SHA-256", user, "p")
        assert client.first.startswith(b"n,,n=" + written + b",r="), client.first
    client = sasl.client("SCRAM-SHA-256", "gr\xfcn", "p")
    assert client.first.startswith("n,,n=gr\xfcn,r=".encode())


def test_keys_stand_in_for_the_password():
    for vector in VECTORS:
        client = start(vector)
        assert not client.keys
        run(client.respond(vector[2]))
        keys = client.keys
        assert keys[0] == vector[0] and keys[2] == 4096
        again = start(vector, keys, password=None)
        assert run(again.respond(vector[2])) == 0
        assert again.response == vector[3]
        again.verify(vector[4])
        assert again.keys == keys
        # What is kept in a file comes back as a list
        again = start(vector, list(keys), password=None)
        assert run(again.respond(vector[2])) == 0
        assert again.response == vector[3]
        assert again.keys == list(keys)


def test_keys_of_another_salt_are_not_used():
    other, vector = VECTORS[0], VECTORS[1]
    client = start(vector)
    assert client.name == vector[0]
    run(client.respond(vector[2].replace(b"s=W", b"s=X")))
    keys = client.keys
    for wrong in (keys, keys[:1] + start_keys()[1:2] + (4097,) + keys[3:], (other[0],) + keys[1:]):
        again = start(vector, wrong)
        run(again.respond(vector[2]))
        assert again.response == vector[3]
        assert again.keys[:3] == start_keys()[:3]


def start_keys():
    client = start()
    run(client.respond(VECTORS[1][2]))
    return client.keys


def test_no_keys_that_fit_and_no_password():
    # The device may have only the keys of a salt that is gone
    client = start(keys=start_keys(), password=None)
    raises(sasl.SASLError, run, client.respond(VECTORS[1][2].replace(b"s=W", b"s=X")))
    assert not client.response
    # Or those of another mechanism, or none
    client = start(VECTORS[0], start_keys(), password=None)
    raises(sasl.SASLError, run, client.respond(VECTORS[0][2]))
    client = start(password=None)
    raises(sasl.SASLError, run, client.respond(VECTORS[1][2]))
    for keys in (None, start_keys()):
        raises(sasl.SASLError, sasl.client, "PLAIN", "user", None, keys)


def test_wrong_password_is_not_ours_to_see():
    client = start(password="pencils")
    run(client.respond(VECTORS[1][2]))
    assert client.response != VECTORS[1][3]
    raises(sasl.SASLError, client.verify, VECTORS[1][4])


def test_long_and_foreign_passwords():
    for password, final in LONG_PASSWORDS:
        client = start(password=password)
        run(client.respond(VECTORS[1][2]))
        assert client.response.endswith(b",p=" + final), (password, client.response)


def test_server_signature():
    good = VECTORS[1][4]
    client = start()
    run(client.respond(VECTORS[1][2]))
    client.verify(good)
    client.verify(good + b",x=later")
    for wrong in (
        b"v=" + b"A" * 43 + b"=",
        good[:-5] + b"A4E=",
        VECTORS[0][4],
        b"v=" + b"A" * 40,
        good[2:],
        b"V" + good[1:],
        b"v=",
        b"v",
        b"",
        b"x=y",
        b"e=invalid-proof",
        b"e=",
    ):
        raises(sasl.SASLError, client.verify, wrong)


def test_server_signature_that_is_no_base64():
    good = VECTORS[1][4]
    client = start()
    run(client.respond(VECTORS[1][2]))
    for wrong in (good[:-4], good[:-1], b"v=x", b"v=xyzab", b"v=\xff\xff", b"e=\xff"):
        raises(sasl.SASLError, client.verify, wrong)


def test_verify_before_the_challenge():
    for data in (b"", b"v=", VECTORS[1][4]):
        raises(sasl.SASLError, start().verify, data)


def test_server_nonce():
    nonce, rest = VECTORS[1][1], b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    for theirs in (
        nonce, nonce[:-1], b"", b"x" + nonce, nonce.lower() + b"more", b"%hvYDpWUa2RaTCAfuxFIlj",
    ):  # fmt: skip
        refused(b"r=" + theirs + rest)
    refused(rest[1:])


def test_iterations():
    head = b"r=" + VECTORS[1][1] + b"more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i="
    for rounds in (
        b"0", b"1", b"-4096", b"%d" % (sasl.MIN_ITERATIONS - 1), b"%d" % (sasl.MAX_ITERATIONS + 1),
        b"4294967296", b"18446744073709555712", b"9" * 5000, b"", b"x", b"4096x", b"0x1000",
        b"4096.0", b"1e4",
    ):  # fmt: skip
        refused(head + rounds)
    refused(head[:-3])
    client = start()
    run(client.respond(head + b"%d" % sasl.MIN_ITERATIONS))
    assert client.response


def test_the_limits_can_be_set():
    head = b"r=" + VECTORS[1][1] + b"more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i="
    least, most = sasl.MIN_ITERATIONS, sasl.MAX_ITERATIONS
    assert least >= 4096
    try:
        sasl.MIN_ITERATIONS, sasl.MAX_ITERATIONS = 10, 20
        for rounds in (9, 21, 4096):
            refused(head + b"%d" % rounds)
        client = start()
        run(client.respond(head + b"10"))
        assert client.response
    finally:
        sasl.MIN_ITERATIONS, sasl.MAX_ITERATIONS = least, most


def test_malformed_challenges():
    good = VECTORS[1][2]
    for challenge in (
        b"", b",", b"=", b"r", b"e=other-error", b"e=server-does-support-channel-binding",
        b"m=ext," + good, good + b",m=ext", good.replace(b",s=", b",m=ext,s="),
        good.replace(b",s=", b",S="), good.replace(b",s=W22ZaJ0SNY7soEsUEjb6gQ==", b""),
        good.replace(b"gQ==", b"g"), good.replace(b",", b";"), b"\xff" * 40, b"\0" + good,
    ):  # fmt: skip
        refused(challenge)


def test_unknown_attributes_are_ignored_but_signed():
    client = start()
    run(client.respond(VECTORS[1][2] + b",t=0304,x"))
    assert client.response.startswith(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="
    )
    # The proof covers them, so it is another one
    assert client.response != VECTORS[1][3]
    raises(sasl.SASLError, client.verify, VECTORS[1][4])


def test_plain():
    client = sasl.client("PLAIN", "gr\xfcn", "pen cil\u20ac")
    assert client.first == "\0gr\xfcn\0pen cil\u20ac".encode()
    assert client.name == "PLAIN"
    assert not client.keys
    client.verify(b"")


def test_choose():
    sha256, sha1 = "SCRAM-SHA-256", "SCRAM-SHA-1"
    assert sasl.choose([sha1, sha256, "PLAIN"]) == sha256
    assert sasl.choose(["PLAIN", sha1]) == sha1
    assert sasl.choose([sha1, sha256, "PLAIN"], plain=True) == sha256
    assert sasl.choose(["PLAIN"]) is None
    assert sasl.choose(["PLAIN"], plain=True) == "PLAIN"
    assert sasl.choose(["DIGEST-MD5", "SCRAM-SHA-512", "X-OAUTH2", "EXTERNAL"], plain=True) is None
    assert sasl.choose([]) is None
    assert sasl.choose([sha256 + "-PLUS", sha1.lower(), "ANONYMOUS"]) is None
    assert sasl.choose({sha1, "PLAIN"}) == sha1


def test_b64():
    for data, text in ((b"", b""), (b"a", b"YQ=="), (b"ab", b"YWI="), (b"\xff\xfe\xfd", b"//79")):
        assert sasl.b64(data) == text
    # No line breaks in what is long
    assert sasl.b64(bytes(300)) == b"A" * 400
