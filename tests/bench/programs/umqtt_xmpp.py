# mypy: ignore-errors
"""Our umqtt.simple over XMPP: what a user of it writes before the connect."""

import config
from umqtt.simple import MQTTClient


def connected():
    client = MQTTClient(
        config.CLIENT, config.SERVICE, config.PORT, config.USER, config.PASSWORD,
        ssl=True, ssl_params={"ca": config.CA, "host": config.HOST, "direct": config.DIRECT},
    )  # fmt: skip
    client.connect()
    return client
