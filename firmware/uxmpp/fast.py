"""FAST (XEP-0484): a token from the server instead of the password, and with it a login in one
round trip, whose assumptions the server can refute (XEP-0509). Pure: elements in and out."""

import hashlib
import os
from binascii import hexlify

XMLNS = "urn:xmpp:fast:0"
_IAP = "urn:xmpp:iap:0"
_HT = "HT-SHA-256-"
# What a login in one go takes, as names in the server's offer
_NEEDED = (XMLNS, "urn:xmpp:bind:0", "urn:xmpp:sm:3")
# In a certificate that was signed with SHA-256: ecdsa-with-SHA256, sha256WithRSAEncryption
_SHA256 = (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b")


class Ht:
    """HT-SHA-256 (draft-schmaus-kitten-sasl-ht): proves with one hash that we have the token, and
    checks that the server has it. `binding`: the channel binding's data, b"" for none."""

    response = keys = None

    def __init__(self, name, user, token, binding):
        self.name = name
        self._token = token.encode()
        self._binding = binding
        self.first = user.encode() + b"\0" + self._proof(b"Initiator")

    def _proof(self, who):
        from .sasl import hmac  # only here while somebody logs in

        return hmac(hashlib.sha256, self._token, who + self._binding)

    def verify(self, data):
        """Check what came with the success. Raises SASLError."""
        if data != self._proof(b"Responder"):
            from .sasl import SASLError

            raise SASLError("FAST: the server does not know the token")


def names(inline):
    """What SASL2's <inline/> offers, as a list of namespaces and mechanisms."""
    found = []
    for el in inline.elements() if inline else ():
        found.append(el.xmlns)
        found += [c.text for c in el.elements()]
    return found


class Fast:
    """The tokens of one account. `state` is what is kept over a restart: "agent", who we are
    (XEP-0388 section 2.4); "token", [mechanism, secret]; "pipeline", whether the server can be
    told all at once; "config", the version of what it offered then, as attributes."""

    def __init__(self, state):
        self.state = state
        #: The data of each kind of channel binding that there is.
        self.bindings = {"NONE": b""}
        #: The last login came to nothing: the next one waits for what the server offers.
        self.careful = False
        #: A token was refused since this was last looked at.
        self.forgot = False
        self._asked = self._config = None

    def features(self, features):
        """Take the stream's features."""
        version = features.find("config-version", _IAP)
        self._config = version and version.attrs

    def certificate(self, der):
        """Take the server's certificate, or b"" as long as it is not known: for
        tls-server-end-point (RFC 5929 section 4.1)."""
        self.bindings = {"NONE": b""}
        if _SHA256[0] in der or _SHA256[1] in der:
            self.bindings["ENDP"] = hashlib.sha256(der).digest()

    def waits(self):
        """Whether the login can begin as soon as the server's certificate is known."""
        token = self.state.get("token")
        return token and token[0].endswith("ENDP") and self._may_begin()

    def _may_begin(self):
        return not self.careful and self.state.get("pipeline")

    def mechanism(self, user, offered=None):
        """The Ht to log in by, or None. `offered`: names(), None before the server said it."""
        name, token = self.state.get("token") or ("", None)
        binding = self.bindings.get(name[len(_HT) :])
        if binding is None:
            return None
        if offered is None:
            if not self._may_begin():
                return None
        elif name not in offered:
            return None
        return Ht(name, user, token, binding)

    def offer(self, ask, offered):
        """Complete SASL2's <authenticate/>: it is by token, or asks for one."""
        state = self.state
        if "agent" not in state:
            # A random UUID (RFC 9562 section 5.4)
            n = hexlify(hashlib.sha256(os.urandom(64)).digest()).decode()
            state["agent"] = "-".join((n[:8], n[8:12], "4" + n[12:15], "a" + n[15:18], n[18:30]))
        ask.add("user-agent", None, {"id": state["agent"]}).add("software", None, None, "uxmpp")
        self._asked = None
        if ask.get("mechanism").startswith(_HT):
            ask.add("fast", XMLNS)
            if state.get("config"):
                ask.add("config-version", _IAP, dict(state["config"]))
            return
        for kind in ("ENDP", "NONE"):
            if kind in self.bindings and _HT + kind in offered:
                self._asked = _HT + kind
                ask.add("request-token", XMLNS, {"mechanism": self._asked})
                break

    def told(self, success, offered, mechanism, resumed):
        """Take the server's <success/> to a login by `mechanism`."""
        token = success.find("token", XMLNS)
        token = token and token.get("token")
        name = self._asked or mechanism.name
        # With each session that is resumed some servers offer a new token. The old one stays good
        # until the new one is used, and flash is spared
        if token and name.startswith(_HT) and (self._asked or not resumed):
            self.state["token"] = [name, token]
        self.state["pipeline"] = not [n for n in _NEEDED if n not in offered]
        self._learn()
        self.careful = False

    def _learn(self):
        if self._config:
            self.state["config"] = self._config
        else:
            self.state.pop("config", None)

    def refused(self, mechanism, failure=None):
        """Whether it was a login by token that failed, and there are other ways: its token is
        forgotten, unless the server only offers something new."""
        if not isinstance(mechanism, Ht):
            return False
        if failure and failure.find("config-version-mismatch", _IAP):
            self._learn()
            return True
        self.state.pop("token", None)
        self.forgot = True
        return True
