"""Who the device is, for people's contact lists: nickname (XEP-0172), where it is (XEP-0080), a
picture (XEP-0084). Published once, and again when it has changed in the configuration:

    "profile": {"nick": "Greenhouse", "location": {"lat": 52.5, "lon": 13.4, "text": "Behind the
        house"}, "avatar": "avatar.png"}

Each is optional; what was published and is left out now is taken back. The picture is a PNG beside
device.json. What cannot be used is left out, with a line in the log. On an account that is a
person's, too, nothing is published: it is theirs.
"""

import hashlib
import json
import sys
from binascii import hexlify

from .memory import forget
from .store import load, save


class Profile:
    """Publishes the profile where it is new, and leaves memory."""

    features = ()

    def __init__(self, thing):
        self._thing = thing

    async def online(self):
        """A session began. Raises OSError where it ends too soon."""
        thing = self._thing
        path = thing.folder + "profile.json"
        profile = thing.config.get("profile", {})
        digest = hashlib.sha1(json.dumps(profile).encode())
        picture = str(profile.get("avatar"))
        picture = picture if picture.startswith("/") else thing.folder + picture
        try:
            with open(picture, "rb") as f:
                # As far as a picture may be long, and some more
                for _ in range(32):
                    digest.update(f.read(512))
        except OSError:  # whoever publishes it will say so
            pass
        digest = hexlify(digest.digest()).decode()
        before = load(path, thing.log).get("hash")
        if before != digest:
            if thing.config.get("shared") or not thing.access.alone:
                thing.log("profile: not published: the account is a person's, too")
            else:
                from .card import publish

                if await publish(thing, profile, picture, before):
                    save(path, {"hash": digest}, thing.log)
        # Whoever goes through the surfaces now misses no name
        thing.surfaces["profile"] = None
        for name in ("card", "nodes", "profile"):
            forget(name)
        if "pubsub" not in thing.surfaces:
            sys.modules.pop("uxmpp.xep.pubsub", None)
            sys.modules["uxmpp.xep"].__dict__.pop("pubsub", None)
