"""SCRAM against a server's side that is written with hashlib and hmac alone."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uxmpp import sasl

HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
salts = st.binary(min_size=1, max_size=40)


class Server:
    """One login (RFC 5802 section 3); it knows the password of one user."""

    def __init__(self, mechanism, user, password, salt, rounds=4096):
        self.hash = HASHES[mechanism]
        self.user = user
        self.salt = salt
        self.rounds = rounds
        self.salted = hashlib.pbkdf2_hmac(self.hash, password.encode(), salt, rounds)

    def challenge(self, first):
        header, user, nonce = first.decode().split(",", 2)[0], *first.decode().split(",")[2:]
        assert header == "n" and first.startswith(b"n,,")
        assert user.startswith("n=") and nonce.startswith("r=")
        assert user[2:].replace("=2C", ",").replace("=3D", "=") == self.user
        self.nonce = nonce[2:] + "ext%$!"
        self.bare = first[3:]
        self.first = (
            f"r={self.nonce},s={base64.b64encode(self.salt).decode()},i={self.rounds}".encode()
        )
        return self.first

    def verdict(self, final):
        """The server's final message, or None for a wrong proof."""
        without, _, proof = final.rpartition(b",p=")
        assert without == b"c=" + base64.b64encode(b"n,,") + b",r=" + self.nonce.encode()
        message = self.bare + b"," + self.first + b"," + without
        stored = hashlib.new(self.hash, self.mac(self.salted, b"Client Key")).digest()
        signature = self.mac(stored, message)
        key = bytes(
            a ^ b for a, b in zip(base64.b64decode(proof, validate=True), signature, strict=True)
        )
        if hashlib.new(self.hash, key).digest() != stored:
            return None
        server_key = self.mac(self.salted, b"Server Key")
        return b"v=" + base64.b64encode(self.mac(server_key, message))

    def mac(self, key, text):
        return hmac.digest(key, text, self.hash)


def login(client, server):
    for _ in client.respond(server.challenge(client.first)):
        pass
    return server.verdict(client.response)


@given(st.sampled_from(sorted(HASHES)), words, words, salts, st.integers(4096, 4200))
def test_login(mechanism, user, password, salt, rounds):
    client = sasl.client(mechanism, user, password)
    verdict = login(client, Server(mechanism, user, password, salt, rounds))
    assert verdict
    client.verify(verdict)
    # Again with the keys, and nothing else
    again = sasl.client(mechanism, user, None, client.keys)
    verdict = login(again, Server(mechanism, user, password, salt, rounds))
    assert verdict
    again.verify(verdict)
    # The verdict on one login is none on another
    with pytest.raises(sasl.SASLError):
        client.verify(verdict)


@given(st.sampled_from(sorted(HASHES)), words, words, words)
def test_wrong_password(mechanism, user, password, other):
    if password != other:
        client = sasl.client(mechanism, user, other)
        assert login(client, Server(mechanism, user, password, b"salt")) is None


@given(words, words, salts, salts)
def test_new_salt(user, password, salt, other):
    client = sasl.client("SCRAM-SHA-256", user, password)
    login(client, Server("SCRAM-SHA-256", user, password, salt))
    again = sasl.client("SCRAM-SHA-256", user, password, client.keys)
    verdict = login(again, Server("SCRAM-SHA-256", user, password, other))
    again.verify(verdict)
    assert (again.keys == client.keys) == (salt == other)


def test_keys_are_the_client_and_the_server_key():
    # Documented, so that the host can compute them beforehand
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", b"salt", 5000)
    keys = ("SCRAM-SHA-256", b"salt", 5000) + tuple(
        hmac.digest(salted, label, "sha256") for label in (b"Client Key", b"Server Key")
    )
    client = sasl.client("SCRAM-SHA-256", "user", None, keys)
    verdict = login(client, Server("SCRAM-SHA-256", "user", "pencil", b"salt", 5000))
    client.verify(verdict)
    assert client.keys == keys


@given(st.binary(max_size=60), st.booleans())
def test_any_challenge_is_a_sasl_error_or_fine(rest, own):
    client = sasl.client("SCRAM-SHA-256", "u", "p")
    nonce = client.first.split(b"r=")[1]
    try:
        for _ in client.respond((b"r=" + nonce if own else b"") + rest):
            pass
    except sasl.SASLError:
        assert client.response is None


@given(st.sampled_from([b"", b"v=", b"e=", b",v="]), st.binary(max_size=40))
def test_any_verdict_is_a_sasl_error(start, rest):
    client = sasl.client("SCRAM-SHA-256", "u", "p")
    login(client, Server("SCRAM-SHA-256", "u", "p", b"salt"))
    with pytest.raises(sasl.SASLError):
        client.verify(start + rest)
