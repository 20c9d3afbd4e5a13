"""One device: its account, and the login keys written into its own device.toml."""

from pathlib import Path

from ..errors import UxmppError
from . import accounts, device_file, secret, toml_text
from .accounts import Method, Order
from .batch import Keep
from .box import PASSWORD
from .device_file import DeviceFile
from .journal import Secrets, alone, write_private
from .session import Place


async def provision(
    device: DeviceFile, method: Method, invitation: str | None = None, keep: Keep = Keep.nowhere
) -> list[str]:
    """Have the server make the account of a device.toml, and write the login keys into that file,
    which is then for its owner alone. Returns what was done, a line each; [] where the file has
    login keys already. Raises UxmppError.

    The password is in the folder `.secrets` beside it until then, so that nothing is lost where
    this is interrupted: the next time goes on with it. Two at once would overwrite each other's.
    """
    with alone(device.path):
        # Another one may have been at it since it was read
        device = device_file.read(device.path)
        return await _provision(device, method, invitation, keep)


async def _provision(
    device: DeviceFile, method: Method, invitation: str | None, keep: Keep
) -> list[str]:
    if device.values.get("keys"):
        return []
    if device.values.get("password"):
        raise UxmppError(
            f"{device.path}: has a password: an account that is there needs no new one; take it "
            "out to have an account made, with a password of its own"
        )
    path = device.path
    secrets = Secrets(path.parent.absolute())
    kept = secrets.get(device.jid)
    asked = kept is not None
    if kept is None:
        kept = {"password": accounts.password()}
        secrets.put(device.jid, kept)
    order = Order(device.jid, kept["password"], Place.of(device), invitation)
    try:
        keys, new = await accounts.ensure(
            method, order, asked=asked, unmade=lambda: secrets.drop(device.jid)
        )
    finally:
        secrets.close()
        await method.close()
    said = [f"{device.jid}: the account is {'made' if new else 'there, with our password'}"]
    if keep is Keep.keyring:
        secret.keep(device.jid, order.password)
        said.append("its password is in the keyring")
    elif keep is Keep.file:
        beside = path.with_name(f"{path.stem}.{PASSWORD}")
        write_private(beside, f"{order.password}\n".encode())
        said.append(f"its password is in {beside}")
    _add(device, f"keys = {toml_text.value(keys)}")
    secrets.drop(device.jid)
    secrets.close()
    said.append(f"its login keys are in {path}, which nobody else can read")
    return said


def _add(device: DeviceFile, line: str) -> None:
    """Add a line to the file, before that of `jid`: so it is above the first [table]."""
    path: Path = device.path.resolve()
    # Somebody may have written into it meanwhile
    now = device_file.read(path)
    if now.jid != device.jid or now.values.get("keys"):
        raise UxmppError(
            f"{path}: its jid or keys were changed meanwhile: take that back, and start the same "
            "command again"
        )
    try:
        lines = path.read_bytes().decode().split("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise UxmppError(f"{path}: cannot be read: {e}") from None
    at = now.lines[("jid",)] - 1
    write_private(path, "\n".join([*lines[:at], line, *lines[at:]]).encode())
