# mypy: ignore-errors
"""A device that connects, says how long that took, and no more."""

import time

import umqtt_tls


def main():
    begin = time.ticks_ms()
    umqtt_tls.connected()
    print("ms", time.ticks_diff(time.ticks_ms(), begin))
