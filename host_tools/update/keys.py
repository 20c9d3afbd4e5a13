"""The keys that updates are signed with: Ed25519 (RFC 8032), the private one in a file of its
owner's alone (PEM, PKCS #8), the public one as 64 hexadecimal digits in device.toml.

Above the PEM stands, as plain text that other tools skip, which key comes next while a fleet is
being moved to it ("Next: …").
"""

import getpass
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UxmppError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VARIABLE = "UXMPP_KEY_PASSPHRASE"
#: The most bytes of a file with a key.
MAX_BYTES = 16384

_BEGIN = b"-----BEGIN "
_NEXT = re.compile(rb"^Next: ([0-9a-f]{64})$", re.M)


class KeyFileError(UxmppError):
    """A key cannot be made, read or used; the text says which file, why, and what to do."""


@dataclass(frozen=True)
class Key:
    """A private key, the `path` it was read from, and the public key that comes `next`, or
    None."""

    path: Path
    private: "Ed25519PrivateKey"
    next: str | None = None

    @property
    def public(self) -> str:
        """The public key: 64 hexadecimal digits."""
        return _public(self.private)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`, 64 bytes."""
        return self.private.sign(data)


def new(path: Path, passphrase: str | None = None) -> Key:
    """Make a key and its file, for its owner alone, encrypted if there is a passphrase. Raises
    KeyFileError, also where there is such a file already."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Key(path, Ed25519PrivateKey.generate())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(
            f"{path}: is there already: a key that is overwritten is lost; take another name"
        ) from None
    except OSError as e:
        raise KeyFileError(f"{path}: the key cannot be written: {e.strerror}") from None
    try:
        _write(handle, _pem(made, passphrase))
    except OSError as e:
        path.unlink(missing_ok=True)
        raise KeyFileError(f"{path}: the key cannot be written: {e.strerror}") from None
    return made


def read(path: Path, ask: Callable[[str], str | None] | None = None) -> Key:
    """Return the private key in the file. `ask(what)`: where its passphrase comes from, if it has
    one; None: passphrase(). Raises KeyFileError, also for a file that others can read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _data(path)
    secret = None
    if b"ENCRYPTED" in data:
        secret = (ask or passphrase)(f"Passphrase of {path}: ")
        if not secret:
            raise KeyFileError(
                f"{path}: is encrypted, and there is no passphrase: type it at a terminal, or "
                f"set {VARIABLE}"
            )
    try:
        found = load_pem_private_key(data, secret.encode() if secret else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = "the passphrase is wrong, or it" if secret else "it"
        raise KeyFileError(
            f"{path}: {why} is no private key (PEM): uxmpp keys new makes one"
        ) from None
    if not isinstance(found, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: is a key of another kind: updates are signed with Ed25519")
    head = data[: data.find(_BEGIN)]
    follows = _NEXT.search(head)
    return Key(path, found, follows[1].decode() if follows else None)


def rotate(old: Key, path: Path, passphrase: str | None = None) -> Key:
    """Make the key that comes after `old`, in a file of its own, and note it in that of `old`:
    what is signed by the old one then carries the new one. Raises KeyFileError, also where `old`
    has a successor already."""
    if old.next:
        raise KeyFileError(
            f"{old.path}: another key comes after it already, {old.next[:16]}…: rotate that one"
        )
    made = new(path, passphrase)
    note = b"Next: %s\n" % made.public.encode()
    try:
        # Where it is a link, what it leads to
        _replace(old.path.resolve(), note + _data(old.path))
    except (OSError, KeyFileError) as e:
        # Nothing knows of it yet
        path.unlink(missing_ok=True)
        if isinstance(e, KeyFileError):
            raise
        raise KeyFileError(f"{old.path}: cannot be written: {e.strerror}") from None
    return made


def public(text: str) -> str:
    """Return the public key that `text` gives: 64 hexadecimal digits, or the path of a file with
    the private one. Raises KeyFileError."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return text.lower()
    path = Path(text)
    if not path.exists():
        raise KeyFileError(
            f"{text[:80]!r}: neither a public key, which is 64 hexadecimal digits, nor a file"
        )
    return read(path).public


def line(public: str) -> str:
    """Return what stands in device.toml for a public key."""
    return f'[update]\nkey = "{public}"'


def passphrase(prompt: str, *, again: bool = False) -> str | None:
    """Return the passphrase of a key: from the environment, or typed at the terminal, twice with
    `again`; None where there is none. Raises KeyFileError where the two differ."""
    # Kept, unlike a password: rotate() asks for two
    given = os.environ.get(VARIABLE)
    if given:
        return given
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    try:
        typed = getpass.getpass(prompt)
        if typed and again and getpass.getpass("Once more: ") != typed:
            raise KeyFileError("the two passphrases differ: nothing was made")
    except EOFError:
        return None
    return typed or None


def verify(public: str, signature: bytes, data: bytes) -> bool:
    """Whether `signature` is that of `data` by the public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _public(private: "Ed25519PrivateKey") -> str:
    return private.public_key().public_bytes_raw().hex()


def _pem(key: Key, secret: str | None) -> bytes:
    from cryptography.hazmat.primitives import serialization as forms

    how: forms.KeySerializationEncryption = forms.NoEncryption()
    if secret:
        how = forms.BestAvailableEncryption(secret.encode())
    return key.private.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, how)


def _data(path: Path) -> bytes:
    try:
        with path.open("rb") as f:
            mode = os.fstat(f.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError(f"{path}: is no file")
            if os.name != "nt" and mode & 0o077:
                raise KeyFileError(f"{path}: others can read this key: chmod 600 {path}")
            data = f.read(MAX_BYTES + 1)
    except OSError as e:
        raise KeyFileError(f"{path}: the key cannot be read: {e.strerror}") from None
    if len(data) > MAX_BYTES or _BEGIN not in data:
        raise KeyFileError(f"{path}: is no private key (PEM): uxmpp keys new makes one")
    return data


def _write(handle: int, data: bytes) -> None:
    with os.fdopen(handle, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


def _replace(path: Path, data: bytes) -> None:
    # Beside and renamed: the only copy of a key is never half written
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        _write(handle, data)
        Path(beside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(beside).unlink()
        raise
