# mypy: ignore-errors
# ruff: noqa: PTH123 - MicroPython has no pathlib
"""umqtt.simple over TLS that is verified: what a user of it writes before the connect."""

import sys

import config
import tls


class _SSL:
    # It asks for a module that this MicroPython has under another name, and that verifies nothing
    @staticmethod
    def wrap_socket(sock, server_hostname):
        ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        ctx.verify_mode = tls.CERT_REQUIRED
        with open(config.CA, "rb") as f:
            ctx.load_verify_locations(f.read())
        return ctx.wrap_socket(sock, server_hostname=server_hostname)


sys.modules["ussl"] = _SSL

from umqtt.simple import MQTTClient  # noqa: E402


def connected():
    client = MQTTClient(
        config.CLIENT, config.HOST, config.PORT, config.USER, config.PASSWORD,
        ssl=True, ssl_params={"server_hostname": config.DOMAIN},
    )  # fmt: skip
    client.connect()
    return client
