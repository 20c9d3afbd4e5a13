"""A device that does not stay out of a room for long."""

from thing.rooms import Rooms

Rooms.rejoin_s = 1

import everything  # noqa: E402, F401
