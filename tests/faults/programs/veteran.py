"""A device that comes back often: it tells what is free of its heap, and echoes."""

import gc

from thing import Thing

thing = Thing()
# It is asked more than people ask
thing.access.owner_burst = 1000000
thing.client.first_pause_s = 0.02
thing.client.max_pause_s = 0.1
thing.guard.reset_after = 0


@thing.sensor("level", unit="cm")
def level():
    return 20


@thing.command("echo")
def echo(*words):
    return " ".join([str(w) for w in words])


@thing.command("heap")
def heap():
    gc.collect()
    return "{} bytes free".format(gc.mem_free() if hasattr(gc, "mem_free") else 0)


thing.run()
