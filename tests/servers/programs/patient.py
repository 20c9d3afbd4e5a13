"""The program `station`, that may be asked more at a time, and whose presence follows sooner: also
that for who comes online."""

from thing.access import Access
from thing.presence import Presence

Access.owner_burst = Access.burst = Access.total_burst = 10000
Access.show_s = 0
Presence.min_s = 0.05

import station  # noqa: E402, F401 - it runs
