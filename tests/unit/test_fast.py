"""FAST: proofs by token, and which mechanism and which token are used when."""

import hashlib
from binascii import a2b_base64

from helper import raises
from uxmpp.fast import XMLNS, Fast, Ht, names
from uxmpp.sasl import Scram
from uxmpp.xml import Element

NONE, ENDP = "HT-SHA-256-NONE", "HT-SHA-256-ENDP"
SASL2, BIND2, SM = "urn:xmpp:sasl:2", "urn:xmpp:bind:0", "urn:xmpp:sm:3"
# What real servers offer beside tokens
ALL = [BIND2, SM, XMLNS, NONE, ENDP]

# Token, channel binding, and what CPython's hmac makes of them: Initiator's proof, Responder's.
# The first two answers were given by Prosody and by ejabberd.
VECTORS = (
    (
        "secret-token:fast-yFTjMHWP8IHs0SUONPp_HRHF_3UBl91sYbQU",
        b"",
        b"lbkU+KS6B4dzQ5ZQ4SQokCxZLeqD4gFiVAUQxz+HZ1c=",
        b"VkYFc45TsxyqW5b4Ksir8Kqa0FLlmiZl4YXW6wn0tfs=",
    ),
    (
        "1Bl6EXlwPiw4dJdD5DgZLoJFGMZ48a2XFBHsSx+0QcM=",
        b"",
        b"BTKFsntzEUY7AOPFqhJAzjArJUI1pDC98XonSwf4rf4=",
        b"jVriM9DLNUjpu0CuwHxxFGutBgmEQv7t4xJ1h/7GgIk=",
    ),
    (
        "t\xf6k\u20acn",
        bytes(range(32)),
        b"h/UFC3b5PeGXi2lDj20EWNE7tlm8EheHjbTppHH4nIw=",
        b"Zt4llliq7w0PAJWIal9iGCZ1LYmHzgd58uNk2F2BPJ8=",
    ),
    (
        "x" * 64,
        b"cb",
        b"72dFpqApj8d1McQpZaqsgspE9AZeg/jhfAeM6UoTbTM=",
        b"NlJpw7UsHQDfZYpFfYYLcoHsl/agA6XBZDN29o+k7ls=",
    ),
    (
        "y" * 65,
        b"cb",
        b"Q2J2BQdcPbHWSSR/RvMWTxYbZzdWcyljCr2/KnX3giM=",
        b"epi6Lf5tnvqcOUqdlNt6acHO8xH+kP4yfMZJCCnI1YM=",
    ),
    (
        "z" * 200,
        b"\0",
        b"K0zBbvcbTzwWWXuZ1qK5NM0MMdGCrpNBgpUL539TfYY=",
        b"QyestX8eAAUHNCJyId/WsrnxoYfkOEt/q6tKF5L0bjY=",
    ),
)

# As they stand in certificates: an algorithm's identifier, and something around it
SHA256_CERTS = (
    b"\x30\x82\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03\x48",
    b"\x30\x82\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
)
OTHER_CERTS = (
    b"\x30\x82\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03\x03\x48",  # ecdsa-with-SHA384
    b"\x30\x82\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00",  # with RSA
    b"\x30\x82\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00",  # SHA-1
    b"\x30\x05\x06\x03\x2b\x65\x70",  # Ed25519 has no hash of that kind
    b"",
)


def fast(state=None, cert=SHA256_CERTS[0]):
    found = Fast({} if state is None else state)
    found.certificate(cert)
    return found


def asked(found, mechanism="SCRAM-SHA-256", offered=ALL):
    """What offer() added: (name, xmlns, attrs) of each."""
    ask = Element("authenticate", SASL2, {"mechanism": mechanism})
    found.offer(ask, offered)
    return [(e.name, e.xmlns, e.attrs) for e in ask.elements()]


def success(token=None):
    found = Element("success", SASL2)
    if token:
        found.add("token", XMLNS, {"token": token, "expiry": "2026-12-22T10:32:11Z"})
    return found


def scram():
    return Scram("SCRAM-SHA-256", "dev", "pencil")


# The mechanism


def test_vectors():
    for token, binding, initiator, responder in VECTORS:
        for user in ("dev", "gr\xfcn"):
            ht = Ht(ENDP, user, token, binding)
            assert ht.name == ENDP and ht.keys is None
            assert ht.first == user.encode() + b"\0" + a2b_base64(initiator), token
            ht.verify(a2b_base64(responder))


def test_wrong_answers():
    # A login in the same process, of an earlier test, has the module loaded anew
    from uxmpp.sasl import SASLError

    for token, binding, initiator, responder in VECTORS:
        ht = Ht(NONE, "dev", token, binding)
        good = a2b_base64(responder)
        for wrong in (
            b"",
            good[:-1],
            good + b"\0",
            bytes([good[0] ^ 1]) + good[1:],
            good[:31] + bytes([good[31] ^ 128]),
            a2b_base64(initiator),
            responder,
            ht.first,
            bytes(32),
        ):
            raises(SASLError, ht.verify, wrong)
        ht.verify(good)


# Which one, and when


def test_binding_of_the_certificate():
    for der in SHA256_CERTS:
        found = fast(cert=der)
        assert found.bindings == {"NONE": b"", "ENDP": hashlib.sha256(der).digest()}
    for der in OTHER_CERTS:
        assert fast(cert=der).bindings == {"NONE": b""}, der
    # Nothing is known before the handshake
    assert Fast({}).bindings == {"NONE": b""}


def test_what_is_asked_for():
    for cert, offered, mechanism in (
        (SHA256_CERTS[0], ALL, ENDP),
        (SHA256_CERTS[1], [XMLNS, ENDP, NONE], ENDP),
        (SHA256_CERTS[0], [XMLNS, NONE, "HT-SHA-256-EXPR"], NONE),
        (SHA256_CERTS[0], [XMLNS, ENDP], ENDP),
        (OTHER_CERTS[0], ALL, NONE),
        (OTHER_CERTS[0], [XMLNS, ENDP], None),
        (SHA256_CERTS[0], [XMLNS, "HT-SHA-256-EXPR", "HT-SHA-256-UNIQ"], None),
        (SHA256_CERTS[0], ["HT-SHA-512-NONE", "HT-SHA-256-NONE2"], None),
        (SHA256_CERTS[0], [BIND2, SM], None),
        (SHA256_CERTS[0], [], None),
    ):
        found = asked(fast(cert=cert), offered=offered)
        assert found[0][:2] == ("user-agent", SASL2)
        expected = [("request-token", XMLNS, {"mechanism": mechanism})] if mechanism else []
        assert found[1:] == expected, offered


def test_a_login_by_token_asks_for_none():
    for name in (NONE, ENDP):
        found = asked(fast({"token": [name, "t"]}), name)
        assert [e[:2] for e in found] == [("user-agent", SASL2), ("fast", XMLNS)]
        assert not found[1][2]


def test_agent():
    found = fast()
    agents = [asked(found)[0][2]["id"] for _ in range(3)]
    assert agents[0] == agents[1] == agents[2] == found.state["agent"]
    # Kept over a restart, whatever it is
    assert asked(fast({"agent": "kept"}))[0][2] == {"id": "kept"}
    ids = [asked(fast())[0][2]["id"] for _ in range(20)]
    assert len(set(ids)) == 20
    for id in ids:
        parts = id.split("-")
        assert [len(p) for p in parts] == [8, 4, 4, 4, 12], id
        for p in parts:
            assert not [c for c in p.encode() if c not in b"0123456789abcdef"], id
        # Random, of the variant that RFC 9562 describes
        assert parts[2].startswith("4") and parts[3][:1] in "89ab", id


def test_a_token_is_for_its_own_mechanism():
    for own, other in ((NONE, ENDP), (ENDP, NONE)):
        found = fast({"token": [own, "t"], "pipeline": True})
        assert found.mechanism("dev", ALL).name == own
        assert found.mechanism("dev").name == own
        assert found.mechanism("dev", [n for n in ALL if n != own]) is None
        assert found.mechanism("dev", [XMLNS, other]) is None
    # Nor is it used where there is not what its mechanism binds to
    found = fast({"token": [ENDP, "t"], "pipeline": True}, OTHER_CERTS[0])
    assert found.mechanism("dev", ALL) is None
    assert found.mechanism("dev") is None
    for name in ("HT-SHA-256-EXPR", "SCRAM-SHA-256", ""):
        found = fast({"token": [name, "t"], "pipeline": True})
        assert found.mechanism("dev", ALL + [name]) is None
        assert found.mechanism("dev") is None


def test_what_a_token_is_bound_to():
    der = SHA256_CERTS[0]
    bindings = {NONE: b"", ENDP: hashlib.sha256(der).digest()}
    for name in (NONE, ENDP):
        ht = fast({"token": [name, "t\xf6k"]}, der).mechanism("dev", ALL)
        assert ht.first == Ht(name, "dev", "t\xf6k", bindings[name]).first


def test_no_token():
    for state in ({}, {"pipeline": True}, {"token": None, "pipeline": True}):
        found = fast(state)
        assert found.mechanism("dev") is None
        assert found.mechanism("dev", ALL) is None


# All at once, and only then


def test_all_at_once_needs_a_server_that_showed_it():
    token = {"token": [NONE, "t"]}
    assert fast(dict(token)).mechanism("dev") is None
    assert fast(dict(token, pipeline=False)).mechanism("dev") is None
    assert fast(dict(token, pipeline=True)).mechanism("dev")
    for missing in (None, XMLNS, BIND2, SM):
        found = fast(dict(token))
        offered = [n for n in ALL if n != missing]
        found.told(success(), offered, scram(), False)
        assert found.state["pipeline"] is (missing is None)
        assert bool(found.mechanism("dev")) is (missing is None)
        assert bool(found.mechanism("dev", offered))
        # A server that lost it is not told all at once any more
        found.told(success(), ALL, scram(), False)
        found.told(success(), offered, scram(), False)
        assert bool(found.mechanism("dev")) is (missing is None)


def test_careful():
    found = fast({"token": [NONE, "t"], "pipeline": True})
    found.careful = True
    assert found.mechanism("dev") is None
    assert found.mechanism("dev", ALL)
    found.told(success(), ALL, found.mechanism("dev", ALL), False)
    assert not found.careful
    assert found.mechanism("dev")


# Tokens come and go


def test_token_that_was_asked_for():
    for offered, name in ((ALL, ENDP), ([XMLNS, NONE], NONE)):
        for resumed in (False, True):
            found = fast()
            asked(found, offered=offered)
            found.told(success("new"), offered, scram(), resumed)
            assert found.state["token"] == [name, "new"]
            assert found.mechanism("dev", offered).name == name


def test_token_that_was_not_given():
    found = fast()
    asked(found)
    found.told(success(), ALL, scram(), False)
    assert "token" not in found.state


def test_rotation():
    # A new session: the server's reason is that the old one gets old
    for name in (NONE, ENDP):
        found = fast({"token": [name, "old"]})
        ht = found.mechanism("dev", ALL)
        asked(found, name)
        found.told(success("new"), ALL, ht, False)
        assert found.state["token"] == [name, "new"]
    # Prosody has one for each session that is resumed: the old one is as good
    found = fast({"token": [NONE, "old"]})
    ht = found.mechanism("dev", ALL)
    asked(found, NONE)
    kept = found.state["token"]
    found.told(success("new"), ALL, ht, True)
    assert found.state["token"] is kept and kept == [NONE, "old"]
    # None at all is no reason to forget
    found.told(success(), ALL, ht, False)
    assert found.state["token"] == [NONE, "old"]


def test_token_that_nobody_asked_for():
    for state in ({}, {"token": [NONE, "old"]}):
        found = fast(dict(state))
        asked(found, offered=[BIND2, SM])
        found.told(success("new"), ALL, scram(), False)
        assert found.state.get("token") == state.get("token")
    # It was asked for, but by an earlier login that came to nothing
    found = fast({"token": [NONE, "old"]})
    asked(found, offered=[XMLNS, ENDP])
    ht = found.mechanism("dev", ALL)
    asked(found, NONE)
    found.told(success("new"), ALL, ht, False)
    assert found.state["token"] == [NONE, "new"]


def test_token_without_a_secret():
    for attrs in ({}, {"token": ""}):
        found = fast()
        asked(found)
        told = success()
        told.add("token", XMLNS, attrs)
        found.told(told, ALL, scram(), False)
        # Whatever becomes of it, the next login is not to fail by it
        found.mechanism("dev", ALL)
        found.mechanism("dev")


def test_refused():
    found = fast({"token": [NONE, "t"], "agent": "a", "pipeline": True})
    # By password there is nothing else to try
    assert found.refused(scram()) is False
    assert found.state["token"] == [NONE, "t"]
    assert found.refused(found.mechanism("dev")) is True
    assert "token" not in found.state and found.state["agent"] == "a"
    assert found.mechanism("dev", ALL) is None
    assert found.refused(Ht(NONE, "dev", "t", b"")) is True
    assert "token" not in found.state


def test_state_is_of_plain_values():
    found = fast()
    asked(found)
    found.told(success("new"), ALL, scram(), False)
    assert sorted(found.state) == ["agent", "pipeline", "token"]
    assert isinstance(found.state["agent"], str) and isinstance(found.state["token"], list)
    # What was kept and read again does the same
    again = fast(dict(found.state))
    assert again.mechanism("dev").first == found.mechanism("dev").first


def test_names():
    inline = Element("inline", SASL2, None, ["\n"])
    assert names(None) == [] and names(inline) == []
    inline.add("sm", SM)
    inline.add("bind", BIND2).add("inline").add("feature", None, {"var": SM})
    offer = inline.add("fast", XMLNS)
    offer.add("mechanism", None, None, NONE)
    offer.add("mechanism", None, None, ENDP)
    found = names(inline)
    for name in (SM, BIND2, XMLNS, NONE, ENDP):
        assert name in found, found
    # Bind 2 alone says nothing of resumption
    inline.children.pop(1)
    assert SM not in names(inline)
