"""Client State Indication (XEP-0352): the server may hold back what nobody is there to see."""

XMLNS = "urn:xmpp:csi:0"


class Csi:
    """Tells the server of a ReliableClient whether anybody is interested. To be made before the
    client runs."""

    def __init__(self, client):
        self._client = client
        #: Whether the server can do it, as far as that is known.
        self.can = False
        self._told = (0, True)  # a stream begins active, one that resumes a session too
        self._features = client.fast.features
        client.fast.features = self._offer
        client.on("features", XMLNS, self._offered)

    def tell(self, active):
        """Have the server know; whether there was something to tell, and a server to be told."""
        client = self._client
        cuts, told = self._told
        if not (self.can and client.online and client.sm.on):
            return False
        if active == (told or cuts != client.cuts):
            return False
        self._told = (client.cuts, active)
        # No stanza: it must not be counted
        text = "<{} xmlns='urn:xmpp:csi:0'/>".format("active" if active else "inactive")
        client.rest = client.rest + [text.encode()]
        client._moved.set()
        return True

    def _offer(self, features):
        # After a login by SASL they are read before there is a session
        self._features(features)
        self.can = bool(features.find("csi", XMLNS))

    def _offered(self, stanza, payload):
        self.can = True
