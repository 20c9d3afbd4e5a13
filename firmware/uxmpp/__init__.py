"""uxmpp: a streaming XMPP client for MicroPython and CPython."""

__version__ = "0.1.0"
