"""`rp2` without hardware, on a virtual board."""

import json

from outside import path

_country = "XX"


def country(code=None):
    """As rp2.country: two letters."""
    global _country
    if code is None:
        return _country
    if len(code) != 2:
        raise ValueError
    _country = code
    return None


def bootsel_button():
    """As rp2.bootsel_button: 1 while it is pressed."""
    try:
        with open(path("pins.json")) as f:
            return json.load(f).get("bootsel", 0)
    except (OSError, ValueError):
        return 0
