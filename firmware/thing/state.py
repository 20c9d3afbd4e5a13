"""What the client learnt, login keys and tokens, in a file. To lose it costs a longer login."""

import json
import os
from binascii import hexlify, unhexlify

VERSION = 1
_LISTS = (("keys", [str, bytes, int, bytes, bytes]), ("token", [str, str]))


def load(path, account, log):
    """The state kept for `account` in the file `path`; {}, with one line for `log`, where that
    cannot be used, and without one where there is none."""
    try:
        with open(path) as f:
            kept = json.load(f)
        if kept["version"] != VERSION:
            why = "of version {}, not {}".format(kept["version"], VERSION)
        elif kept["account"] != account:
            why = "of another account"
        else:
            state = {name: _read(value) for name, value in kept["state"].items()}
            for name, kinds in _LISTS:
                if name in state and [type(v) for v in state[name]] != kinds:
                    raise ValueError
            return state
    except OSError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        why = "damaged"
    log("{}: {}: the next login is from scratch".format(path, why))
    return {}


def save(path, account, state, log):
    """Keep `state`, a dict of texts, numbers, bytes and lists of these. What was there before
    stays whole until it is written. Logs where that fails."""
    beside = path + ".new"
    try:
        with open(beside, "w") as f:
            if hasattr(os, "chmod"):
                os.chmod(beside, 0o600)
            values = {name: _plain(value) for name, value in state.items()}
            json.dump({"version": VERSION, "account": account, "state": values}, f)
        os.rename(beside, path)
    except OSError as e:
        log("{}: cannot be written: {}".format(path, e))


def _plain(value):
    # JSON has no bytes
    if isinstance(value, bytes):
        return {"hex": hexlify(value).decode()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _read(value):
    if isinstance(value, dict):
        return unhexlify(value["hex"])
    if isinstance(value, list):
        return [_read(v) for v in value]
    return value
