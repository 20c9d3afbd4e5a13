"""Bundles: a version of a device's program as one signed file, `*.uxb`.

    8 bytes    magic
    4 bytes    length of the manifest, big-endian
    n bytes    the manifest: what it is, and each file's size, SHA-256 and path
    64 bytes   Ed25519 signature of CONTEXT and the manifest's SHA-256
    …          the files, in the manifest's order, and nothing after them

The same manifest stands in a slot of the device. Whatever is not exactly as build() makes it is
refused, as it is by the device (firmware/thing/updating.py).
"""

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UxmppError
from . import keys

SUFFIX = ".uxb"
MAGIC = b"UXMPPUP1"
#: What is signed begins with it, so that no signature of something else is one of a manifest.
CONTEXT = b"uxmpp update 1\n"
SIGNATURE = 64
#: The most bytes of a manifest and of a bundle, files, and characters of a path.
MAX_MANIFEST = 16384
MAX_BYTES = 1 << 20
MAX_FILES = 256
MAX_PATH = 64
#: The most numbers of a version, each below MAX_NUMBER.
MAX_NUMBERS = 4
MAX_NUMBER = 65536

_FIRST = "uxmpp 1"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,31}")
_NUMBER = r"(?:0|[1-9][0-9]{0,6})"
_VERSION = re.compile(rf"{_NUMBER}(?:\.{_NUMBER}){{0,{MAX_NUMBERS - 1}}}")
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_FILE = re.compile(rf"file ({_NUMBER}) ([0-9a-f]{{64}}) (\S+)")
_HEX = re.compile(r"[0-9a-f]{64}")


class BundleError(UxmppError):
    """A bundle, a manifest or a version cannot be used; the text says why."""


@dataclass(frozen=True)
class Entry:
    """A file of a bundle: its path in the slot, size in bytes, SHA-256 in hexadecimal digits."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle or a slot holds. `mpy`: the version of its bytecode; `key`: the public key
    that what comes after it has to be signed with, or None for the one there was."""

    app: str
    version: str
    board: str
    mpy: int
    files: tuple[Entry, ...]
    key: str | None = None

    def data(self) -> bytes:
        """Return it as it is written. Raises BundleError for what no device would take."""
        lines = [
            _FIRST,
            f"app {self.app}",
            f"version {self.version}",
            f"board {self.board}",
            f"mpy {self.mpy}",
        ]
        lines += [f"key {self.key}"] if self.key is not None else []
        lines += [f"file {e.size} {e.sha256} {e.path}" for e in self.files]
        made = "".join(f"{text}\n" for text in lines).encode()
        if parse(made) != self:
            raise BundleError("the manifest cannot be written: a blank or a line end in a name")
        return made


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read: its manifest, the files by path, and whether the signature was
    found to be right; None where no key was given to check it with."""

    manifest: Manifest
    files: Mapping[str, bytes]
    signed: bool | None


def version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, MAX_NUMBERS of them (1.2 is 1.2.0.0), for comparisons.
    Raises BundleError."""
    if _VERSION.fullmatch(text):
        numbers = [int(n) for n in text.split(".")]
        if max(numbers) < MAX_NUMBER:
            return tuple(numbers + [0] * (MAX_NUMBERS - len(numbers)))
    raise BundleError(
        f"version {text[:40]!r}: must be 1 to {MAX_NUMBERS} numbers below {MAX_NUMBER} with dots "
        "between them, like 1.2.0"
    )


def parse(data: bytes) -> Manifest:
    """Return the manifest in `data`. Raises BundleError, which names the line."""
    if len(data) > MAX_MANIFEST:
        raise BundleError(
            f"the manifest has {len(data)} bytes, and may have {MAX_MANIFEST}: too many files"
        )
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise BundleError("the manifest is not ASCII") from None
    if lines.pop():
        raise BundleError("the manifest's last line does not end")
    told: dict[str, str] = {}
    files: list[Entry] = []
    if lines[:1] != [_FIRST]:
        raise BundleError(f"manifest, line 1: must be {_FIRST!r}")
    fields = ["app", "version", "board", "mpy"]
    for number, text in enumerate(lines[1:], 2):
        word, _, value = text.partition(" ")
        try:
            if fields or word == "key" and not (files or "key" in told):
                expected = fields.pop(0) if fields else "key"
                if word != expected:
                    raise BundleError(f"must begin with {expected!r}")
                told[word] = _checked(word, value)
            else:
                files.append(_entry(text, files))
        except BundleError as e:
            raise BundleError(f"manifest, line {number}: {e}") from None
    if fields:
        raise BundleError(f"the manifest does not say its {fields[0]}")
    if not files:
        raise BundleError("the manifest has no file")
    return Manifest(
        told["app"],
        told["version"],
        told["board"],
        int(told["mpy"]),
        tuple(files),
        told.get("key"),
    )


def _checked(word: str, value: str) -> str:
    if word == "version":
        version(value)
    elif word == "mpy":
        if not re.fullmatch(r"[1-9][0-9]?", value):
            raise BundleError("mpy must be a number of one or two digits")
    elif word == "key":
        if not _HEX.fullmatch(value):
            raise BundleError("key must be 64 small hexadecimal digits")
    elif not _NAME.fullmatch(value):
        raise BundleError(f"{word} must be 1 to 32 of A-Z a-z 0-9 _ - ., no dot in front")
    return value


def _entry(text: str, before: list[Entry]) -> Entry:
    found = _FILE.fullmatch(text)
    if not found:
        raise BundleError("must be 'file', a size, a SHA-256 and a path")
    size, digest, path = int(found[1]), found[2], found[3]
    if len(before) >= MAX_FILES:
        raise BundleError(f"more than {MAX_FILES} files")
    if size > MAX_BYTES:
        raise BundleError(f"a file of more than {MAX_BYTES} bytes")
    if len(path) > MAX_PATH or not _PATH.fullmatch(path):
        raise BundleError(
            f"a path is 1 to {MAX_PATH} of A-Z a-z 0-9 _ - . /, with no dot in front of a name"
        )
    if path in ("manifest", "manifest.new"):
        raise BundleError(f"{path!r} is a name of the manifest itself")
    if path.startswith("slots."):
        raise BundleError(f"{path!r} is a name of the loader, which no update may replace")
    if before and not before[-1].path < path:
        raise BundleError("the files must be sorted by path, each of them there once")
    # Sorted, a folder does not always stand right before what is in it ("a", "a-b", "a/c")
    folders = [path[:i] for i, c in enumerate(path) if c == "/"]
    if any(e.path in folders for e in before):
        raise BundleError("a file and a folder of one name")
    return Entry(path, size, digest)


def build(manifest: bytes, files: Mapping[str, bytes], key: keys.Key) -> bytes:
    """Return the bundle of `files`, signed. `manifest`: theirs, as content.manifest() makes it; it
    is given the line `key`: the one that the next bundle will be signed with, which is `key` or
    what is noted to come after it. Raises BundleError."""
    told = replace(parse(manifest), key=key.next or key.public)
    head = told.data()
    parts = [MAGIC, struct.pack(">I", len(head)), head, key.sign(_signed(head))]
    for entry in told.files:
        if entry.path not in files:
            raise BundleError(f"{entry.path}: is in the manifest, but not among the files")
        parts.append(files[entry.path])
    made = b"".join(parts)
    # Nothing leaves the host that a device would refuse
    if dict(read(made, key.public).files) != dict(files):
        raise BundleError("there are files that the manifest does not know")
    return made


def read(data: bytes, public: str | None = None) -> Bundle:
    """Return the bundle in `data`. `public`: the public key (64 hexadecimal digits) that it has to
    be signed with; None: only all else is checked. Raises BundleError."""
    if len(data) > MAX_BYTES:
        raise BundleError(f"it has more than {MAX_BYTES} bytes, the most that a bundle may have")
    if data[: len(MAGIC)] != MAGIC:
        raise BundleError("it is no bundle: it does not begin with " + MAGIC.decode())
    at = len(MAGIC) + 4
    if len(data) < at:
        raise BundleError("it ends too early")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    if length > MAX_MANIFEST:
        raise BundleError(f"its manifest has more than {MAX_MANIFEST} bytes")
    head = data[at : at + length]
    at += length
    signature = data[at : at + SIGNATURE]
    at += SIGNATURE
    if len(data) < at:
        raise BundleError("it ends too early")
    # Before anything in it is believed
    if public is not None and not keys.verify(public, signature, _signed(head)):
        raise BundleError(
            f"its signature is not of the key {public[:16]}…: signed by another one, or changed"
        )
    manifest = parse(head)
    files = {}
    for entry in manifest.files:
        piece = data[at : at + entry.size]
        at += entry.size
        if len(piece) < entry.size:
            raise BundleError(f"it ends too early, in {entry.path}")
        if hashlib.sha256(piece).hexdigest() != entry.sha256:
            raise BundleError(f"{entry.path}: its hash is wrong: it is not what was signed")
        files[entry.path] = piece
    if at != len(data):
        raise BundleError("there is more after its last file")
    return Bundle(manifest, files, None if public is None else True)


def load(path: Path, public: str | None = None) -> tuple[bytes, Bundle]:
    """Return the bytes of the file, and the bundle in it. Raises BundleError as read() does, and
    where it cannot be read."""
    try:
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
    except OSError as e:
        raise BundleError(f"{path}: cannot be read: {e.strerror}") from None
    try:
        return data, read(data, public)
    except BundleError as e:
        raise BundleError(f"{path}: {e}") from None


def _signed(manifest: bytes) -> bytes:
    return CONTEXT + hashlib.sha256(manifest).digest()
