"""What is named where an update is sent: devices, accounts, addresses, how the server is known."""

import re
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..provision.device_file import firmware
from .errors import SendError

#: The most devices of one call, and bytes of a list of them.
MAX_DEVICES = 10_000
MAX_LIST = 1 << 20


def authorities(path: Path | None) -> bytes:
    """Return the certificates of the CAs in the file, PEM or DER, as DER; without a file those
    that this computer trusts. Raises SendError."""
    paths = [path] if path else _system()
    found = []
    for each in paths:
        try:
            data = each.read_bytes()
        except OSError as e:
            if path:
                raise SendError(f"{path}: cannot be read: {e.strerror}") from None
            continue
        for pem in re.findall(
            rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", data, re.S
        ) or [data]:
            with suppress(ValueError):
                text = pem.decode("ascii", "replace")
                found.append(ssl.PEM_cert_to_DER_cert(text) if pem[:5] == b"-----" else pem)
    made = b"".join(dict.fromkeys(found))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=made)
    except (ssl.SSLError, ValueError):
        where = path or "this computer's list of authorities"
        raise SendError(
            f"{where}: no certificate of an authority in it: name the server's with --ca"
        ) from None
    return made


def _system() -> list[Path]:
    where = ssl.get_default_verify_paths()
    if where.cafile:
        return [Path(where.cafile)]
    for known in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        if Path(known).is_file():
            return [Path(known)]
    return sorted(Path(where.capath).glob("*.pem")) if where.capath else []


def devices(given: Sequence[str], listed: Path | None) -> list[str]:
    """Return the bare JIDs of devices, those in the file `listed` too (one a line, # begins a
    comment), each once. Raises SendError, which names the line."""
    found = [("--to", text) for text in given]
    if listed:
        try:
            with listed.open("rb") as f:
                data = f.read(MAX_LIST + 1)
            text = data.decode()
        except OSError as e:
            raise SendError(f"{listed}: cannot be read: {e.strerror}") from None
        except UnicodeDecodeError:
            raise SendError(f"{listed}: is not UTF-8") from None
        if len(data) > MAX_LIST:
            raise SendError(f"{listed}: is longer than {MAX_LIST} bytes")
        for number, line in enumerate(text.splitlines(), 1):
            line = line.partition("#")[0].strip()
            if line:
                found.append((f"{listed}:{number}", line))
    jids = {}
    for where, text in found:
        try:
            jids[account(text)] = True
        except SendError as e:
            raise SendError(f"{where}: {e}") from None
    if not jids:
        raise SendError("no device is named: --to NAME@DOMAIN, or --list FILE")
    if len(jids) > MAX_DEVICES:
        raise SendError(f"{len(jids)} devices, and {MAX_DEVICES} at most in one go")
    return list(jids)


def account(text: str) -> str:
    """Return the bare JID of an account, in normal form. Raises SendError."""
    try:
        jid = str(firmware("uxmpp.jid").prepare(text))
    except ValueError as e:
        raise SendError(str(e)) from None
    if "@" not in jid or "/" in jid:
        raise SendError(f"{text[:64]!r}: must be name@domain, without a resource")
    return jid


def check_url(url: str) -> None:
    """Raise SendError for an address that no device would fetch from: https alone."""
    try:
        firmware("uxmpp.http").parse(url)
    except ValueError as e:
        raise SendError(f"--url: {e}") from None


def pin(text: str) -> str:
    """Return a pin as devices have it: 64 small hexadecimal digits. Raises SendError."""
    made = text.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", made):
        raise SendError("--pin: must be the SHA-256 of the server's certificate, 64 hex digits")
    return made
