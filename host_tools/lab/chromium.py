"""A web browser without a screen: Chromium, the machine's or Debian's, driven by Playwright."""

import base64
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from . import debian
from .cache import locked
from .certs import Certificate
from .errors import LabError, LabTimeout
from .part import Part

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAIT_LIMIT_S = 60.0

#: What an installed browser is called.
NAMES = ("chromium", "chromium-headless-shell", "chromium-browser")
#: Where the packages below have it.
HEADLESS = "usr/lib/chromium/chromium-headless-shell"

# Without what only a screen, a sound card, a printer or OpenGL would need
PACKAGES = debian.PackageSet(
    "chromium",
    (
        "chromium-common",
        "chromium-headless-shell",
        "fonts-dejavu-core",
        "libasound2t64",
        "libasyncns0",
        "libatk1.0-0t64",
        "libatomic1",
        "libatspi2.0-0t64",
        "libblkid1",
        "libbrotli1",
        "libbz2-1.0",
        "libc6",
        "libcap2",
        "libdav1d7",
        "libdbus-1-3",
        "libdouble-conversion3",
        "libdrm2",
        "libexpat1",
        "libffi8",
        "libflac14",
        "libfontconfig1",
        "libfreetype6",
        "libgbm1",
        "libgcc-s1",
        "libglib2.0-0t64",
        "libgraphite2-3",
        "libharfbuzz-subset0",
        "libharfbuzz0b",
        "libjpeg62-turbo",
        "libminizip1t64",
        "libmount1",
        "libmp3lame0",
        "libmpg123-0t64",
        "libnspr4",
        "libnss3",
        "libogg0",
        "libopenh264-8",
        "libopus0",
        "libpcre2-8-0",
        "libpng16-16t64",
        "libpulse0",
        "libselinux1",
        "libsndfile1",
        "libsqlite3-0",
        "libstdc++6",
        "libsystemd0",
        "libudev1",
        "libvorbis0a",
        "libvorbisenc2",
        "libx11-6",
        "libx11-xcb1",
        "libxau6",
        "libxcb1",
        "libxcomposite1",
        "libxdamage1",
        "libxdmcp6",
        "libxext6",
        "libxfixes3",
        "libxi6",
        "libxkbcommon0",
        "libxnvctrl0",
        "libxrandr2",
        "libxrender1",
        "libzstd1",
        "zlib1g",
    ),
    "chromium",
)

ARGUMENTS = (
    "--no-sandbox",  # as root, in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""
_PT_INTERP = 3
_PROGRAM_HEADER = "<IIQQQQQQ"  # of a 64-bit ELF file: type, flags, offset, addresses, sizes


@dataclass(frozen=True)
class Program:
    """A browser's file, and of Debian's the folder that it was unpacked into."""

    path: Path
    prefix: debian.Prefix | None = None

    def environment(self, folder: Path) -> dict[str, str]:
        """Return what it is started with; `folder` is for files of its own."""
        if self.prefix is None:
            return dict(os.environ)
        libraries = self.prefix.libraries
        fonts = folder / "fonts.conf"
        try:
            fonts.write_text(
                _FONTS.format(fonts=self.prefix.root / "usr/share/fonts", cache=folder)
            )
        except OSError as e:
            raise LabError(f"cannot write {fonts}: {e.strerror}") from e
        return {
            **os.environ,
            "FONTCONFIG_FILE": str(fonts),
            "LD_LIBRARY_PATH": f"{libraries}:{libraries / 'pulseaudio'}",
        }


@cache
def find() -> Program:
    """Return the machine's browser, or else Debian's. Raises LabError."""
    for name in NAMES:
        if found := shutil.which(name):
            return Program(Path(found))
    prefix = debian.prefix(PACKAGES, 64)
    path = prefix.root / HEADLESS
    with locked("chromium"):
        # It starts itself again for its parts, so that it cannot be started by way of the loader
        set_loader(path, Path(prefix.argv(HEADLESS)[0]))
    return Program(path, prefix)


def set_loader(path: Path, loader: Path) -> bool:
    """Have the 64-bit program `path` started by the loader `loader`; return whether it was not
    before. Raises LabError for what is no such program."""
    try:
        with path.open("r+b") as f:
            head = f.read(64)
            if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
                raise LabError(f"{path} is no 64-bit program")
            (first,) = struct.unpack_from("<Q", head, 32)
            size, count = struct.unpack_from("<HH", head, 54)
            for n in range(count):
                at = first + n * size
                f.seek(at)
                kind, flags, offset, *addresses, stored, held, align = struct.unpack(
                    _PROGRAM_HEADER, f.read(struct.calcsize(_PROGRAM_HEADER))
                )
                if kind == _PT_INTERP:
                    break
            else:
                raise LabError(f"{path} needs no loader")
            wanted = os.fsencode(loader) + b"\0"
            f.seek(offset)
            if f.read(stored) == wanted:
                return False
            # The new name stands at the end of the file: there is no room in the old one's place
            offset = f.seek(0, os.SEEK_END)
            f.write(wanted)
            f.flush()
            f.seek(at)
            changed = (kind, flags, offset, *addresses, len(wanted), held, align)
            f.write(struct.pack(_PROGRAM_HEADER, *changed))
    except (OSError, struct.error) as e:
        raise LabError(f"cannot set the loader of {path}: {e}") from e
    return True


class Chromium(Part):
    """`with Chromium(hosts={"lab.example": "127.0.0.2"}, trusted=[certificate]) as browser:`; a
    browser with nothing kept from before.

    `hosts` are the only names that it finds, and their addresses; by number it reaches 127.* only.
    It accepts the certificates `trusted` besides those that every browser does. Raises LabError.
    """

    def __init__(
        self, *, hosts: Mapping[str, str] | None = None, trusted: Sequence[Certificate] = ()
    ) -> None:
        rules = [f"MAP {name} {address}" for name, address in (hosts or {}).items()]
        rules += ["MAP * ~NOTFOUND", "EXCLUDE 127.*"]
        self._arguments = [*ARGUMENTS, f"--host-resolver-rules={', '.join(rules)}"]
        if trusted:
            keys = ",".join(_key_hash(certificate) for certificate in trusted)
            self._arguments.append(f"--ignore-certificate-errors-spki-list={keys}")
        self._stack = ExitStack()

    def start(self) -> Self:
        """Start it. Raises LabError."""
        program = find()
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise LabError("Playwright is missing: install the package playwright") from None
        with ExitStack() as stack, failures("Chromium does not start"):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="uxmpp-chromium-"))
            driver = stack.enter_context(sync_playwright())
            self._browser = driver.chromium.launch(
                executable_path=program.path,
                args=self._arguments,
                env=dict(program.environment(Path(folder))),
                timeout=WAIT_LIMIT_S * 1000,
            )
            stack.callback(self._browser.close)
            self._stack = stack.pop_all()
        return self

    def close(self) -> None:
        """End it."""
        self._stack.close()

    def page(self, url: str, width: int = 900, height: int = 700) -> "Page":
        """Return the page at `url`, in a window of its own of so many pixels."""
        with failures(url):
            page = self._browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(WAIT_LIMIT_S * 1000)
            page.goto(url)
        return page


@contextmanager
def failures(what: str) -> Iterator[None]:
    """Within it an error of Playwright is a LabError, or LabTimeout: one line about `what`."""
    from playwright.sync_api import Error, TimeoutError

    try:
        yield
    except Error as e:
        line = " ".join(e.message.split("Call log:")[0].split())
        raise (LabTimeout if isinstance(e, TimeoutError) else LabError)(f"{what}: {line}") from e


def _key_hash(certificate: Certificate) -> str:
    found = x509.load_pem_x509_certificate(certificate.cert_pem.read_bytes()).public_key()
    der = found.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(sha256(der).digest()).decode()
