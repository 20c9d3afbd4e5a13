"""The host side of uxmpp: runs on a computer, under CPython only."""
