"""What a Thing begins with: loaded at the start, and gone after it."""

import sys

from uxmpp.reliable import ReliableClient

from . import state
from .config import ConfigError, load


def begin(path, state_path, log):
    """(configuration, client, WiFi or None) of the device.json at `path`. What is wrong there is
    printed, and ends the program, or on a board raises ConfigError."""
    try:
        config = load(path)
        client = _client(config)
    except (ConfigError, OSError, ValueError) as e:
        if not isinstance(e, ConfigError):
            e = ConfigError("{}: ca: not a certificate: {}".format(path, e))
        print(e)
        # A board would restart for ever; there the error leads to the prompt
        if sys.platform in ("linux", "darwin", "win32"):
            sys.exit(1)
        raise e
    client.log = log
    client.identity = ("client", "bot", config["name"])
    client.state.update(state.load(state_path, client.account, log))
    client.keys = config.get("keys")
    wifi = config.get("wifi")
    if wifi is not None:
        from .store import load as kept
        from .wifi import Wifi

        # What was handed over has the last word
        wifi = kept("{}wifi.json".format(path[: path.rfind("/") + 1]), log) or wifi
        wifi = Wifi(wifi.get("ssid"), wifi.get("password"))
    return config, client, wifi


def _client(config):
    return ReliableClient(
        config["jid"],
        config.get("password"),
        config.get("ca"),
        config.get("pin"),
        config.get("host"),
        config.get("port"),
        config.get("direct", False),
        config.get("plain", False),
        config.get("nameserver"),
    )
