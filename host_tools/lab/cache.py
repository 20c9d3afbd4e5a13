"""Where fetched programs are kept between runs, and the lock around fetching them."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LabError


def cache_dir() -> Path:
    """Return the folder of kept files: `$UXMPP_CACHE`, else `uxmpp` in the user's cache folder.

    The folder need not exist yet.
    """
    own = os.environ.get("UXMPP_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache").absolute() / "uxmpp"


@contextmanager
def locked(name: str, timeout_s: float = 600.0) -> Iterator[Path]:
    """Hold the lock `name` of the cache against every other process; yield the cache folder.

    Raises LabError when the cache cannot be written or the lock is not free after `timeout_s`.
    """
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / f"{name}.lock").open("w")
    except OSError as e:
        raise LabError(
            f"cannot write the cache {folder}: {e.strerror}; set UXMPP_CACHE to another folder"
        ) from e
    with handle:
        # The kernel drops this lock when its holder dies, so a killed fetch blocks nobody.
        end = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise LabError(
                        f"another process has held {handle.name} for {timeout_s:.0f} s; "
                        "let it end or stop it, then try again"
                    ) from None
                time.sleep(0.05)
        yield folder
