"""Updates of the device's program, into the slot that does not run (see `slots`). What takes them
is in `updating`, which is loaded for one and forgotten after it.

    "update": {"key": "<64 hex digits>", "confirm_s": 600}

`key`: the public key by which they are signed; `confirm_s`: seconds that a new program has for its
first login.
"""

import asyncio
import os
import sys

from .memory import forget

_NONE = "this device has no slots; it has to be flashed anew"


class Update:
    """As a surface of Thing: the word `update`, bundles `*.uxb` that owners offer in chat, and
    what is to be done with the first session after one."""

    #: Seconds that a new program has to log in; then it restarts.
    confirm_s = 600
    #: How often what was cut is tried again, where nothing came since; seconds before the second
    #: try, which double.
    tries = 3
    pause_s = 2
    #: A file that is left out: what is nearer than so many bytes is rather read than asked for.
    gap = 16384
    #: What is left free in flash at least.
    spare_bytes = 16384
    #: Seconds from the word that it is installed to the restart.
    settle_s = 3

    def __init__(self, thing):
        self.thing = thing
        self.confirm_s = thing.config["update"].get("confirm_s", self.confirm_s)
        #: Where the key, if it was changed, and what is under way are kept.
        self.path = thing.folder + "update.json"
        #: The version that runs, "" where the board has no slots.
        self.version = ""
        #: The updating.Bundle that comes, or what was put in its place until there is one.
        self.bundle = None
        #: What the first session told of a program that was given up, and a line feed.
        self.text = ""
        self._task = self._tried = slot = why = None
        try:
            import slots

            slot, self._tried, why = slots.state()
            if slot:
                self.version = slots.head(slot)["version"]
            slots.leave()
        except (ImportError, KeyError):  # flashed without
            pass
        #: Whether the first session has something to see to.
        self._due = self._tried is not None or why
        try:
            os.stat(self.path)
            self._due = True
        except OSError:  # nothing is under way
            pass

    async def run(self):
        """Give a new program up for this time that does not log in. It stays awake until then:
        each wake would count as a boot."""
        if self._tried is not None:
            self._stay(1)
            await asyncio.sleep(self.confirm_s)
            if self._tried is not None:
                self.thing.restart("no login in {} s".format(self.confirm_s))

    async def online(self):
        """Confirm the program that runs, and go on with what was under way."""
        if self._due and self.version:
            try:
                url = await self._load().call("settle", self)
            finally:
                self._unload()
            self._due = False
            if self._tried is not None:
                self._tried = None
                self._stay(-1)
            if url:
                self._begin(None, url)

    async def word(self, asker, url=""):
        """What `update` says; with an URL it begins to fetch."""
        if url:
            return self._begin(asker, url)
        if not self.version:
            return _NONE
        try:
            return await self._load().call("state", self)
        finally:
            self._unload()

    async def offered(self, files, asker, offer):
        """Take a bundle that a message offers: as receiving.run(). `offer`: (name, URL or None,
        size, SHA-256, id of a bytestream)."""
        forget("receiving")
        if not self.thing.access.allows(asker.person, "owner"):
            return "update refused: only for the role owner", False
        if offer[1]:
            return self._begin(asker, offer[1]), True
        refused = self._refused()
        if refused:
            return refused, False
        self.bundle = self
        try:
            text, installed = await self._load().take(self, files, asker, offer)
        finally:
            self.bundle = None
            self._unload()
        if installed:
            self._task = asyncio.create_task(self._restart())
        return text, installed

    def _stay(self, n):
        sleep = self.thing.surfaces.get("sleep")
        if sleep:
            sleep.busy += n

    def _refused(self):
        if not self.version:
            return "update refused: " + _NONE
        if self.bundle:
            return "update refused: another one is under way"
        if not self.thing.spare():
            return "update refused: no memory for it now; try again later"
        return None

    def _begin(self, asker, url):
        refused = self._refused()
        if not refused:
            self.bundle = self
            self._task = asyncio.create_task(self._fetch(asker, url))
        return refused or "update: I fetch it"

    async def _fetch(self, asker, url):
        try:
            if not await self._load().fetch(self, asker, url):
                return
        except Exception as e:
            self.thing.fault("update", e)
            return
        finally:
            self.bundle = self._task = None
            self._unload()
        await self._restart()

    async def _restart(self):
        await asyncio.sleep(self.settle_s)
        self.thing.restart("update")

    def _load(self):
        from . import updating

        return updating

    def _unload(self):
        if not self.bundle:
            sys.modules.pop("slots", None)
            forget("updating")
