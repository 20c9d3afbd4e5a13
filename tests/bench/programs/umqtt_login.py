# mypy: ignore-errors
"""A device that connects, and no more."""

import umqtt_tls


def main():
    umqtt_tls.connected()
