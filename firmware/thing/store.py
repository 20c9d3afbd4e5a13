"""Small JSON files that the device keeps: settings, roles, schedules."""

import json
import os

VERSION = 1


def load(path, log):
    """The dict that save() wrote to the file `path`; {} where there is none, and with one line for
    `log` where it cannot be used."""
    why = "damaged"
    try:
        with open(path) as f:
            kept = json.load(f)
        if isinstance(kept, dict) and "version" in kept:
            if kept.pop("version") == VERSION:
                return kept
            why = "of another version"
    except OSError:
        return {}
    except ValueError:
        pass
    log("{}: {}: not used".format(path, why))
    return {}


def save(path, values, log):
    """Keep a dict of what JSON can hold; whether that went well. What was there before stays whole
    until it is written. Logs where that fails."""
    values["version"] = VERSION
    beside = path + ".new"
    try:
        with open(beside, "w") as f:
            if hasattr(os, "chmod"):
                os.chmod(beside, 0o600)
            json.dump(values, f)
        os.rename(beside, path)
        return True
    except OSError as e:
        log("{}: cannot be written: {}".format(path, e))
        return False
