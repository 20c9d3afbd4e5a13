"""Login keys (RFC 5802): what a device has in place of its password. They are made of the password
and of salt and iterations, which only the server knows: so who wants them has to ask it."""

import asyncio

from . import session
from .device_file import DeviceFile

#: What a mechanism's name, salt, iterations, client key and server key are.
Keys = list[str | int]


class LoginKeysError(session.ServerError):
    """There are no login keys; the text says why, and what else can be done."""


def derive(device: DeviceFile, password: str) -> Keys:
    """Log in to the device's server by the password, as the device itself will, and return the
    `keys` of its device.json: [mechanism, salt, iterations, client key, server key], bytes in
    base64. They hold until the server takes another salt or the password changes.

    Raises LoginKeysError where the server is not reached or has no SCRAM, WrongPassword where it
    does not take the password.
    """
    return asyncio.run(ask(device, password))


async def ask(device: DeviceFile, password: str) -> Keys:
    """As derive(), in a loop that runs already."""
    try:
        return await session.login_keys(device.jid, password, session.Place.of(device))
    except session.WrongPassword:
        raise session.WrongPassword(
            f"{device.jid}: the server does not take the password, or there is no such account"
        ) from None
    except session.ServerError as e:
        raise LoginKeysError(
            f"{device.jid}: no login keys: {e}; try again where the server can be reached, or "
            "give --keep-password: then the password itself stands in the device's flash, for "
            "whoever reads that"
        ) from None
