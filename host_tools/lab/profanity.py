"""A person's chat client: Profanity, in a terminal, with all its files in a folder of its own."""

import contextlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Self

from . import debian
from .errors import LabError
from .part import Part
from .terminal import COMMAND_LIMIT_S, START_LIMIT_S, Terminal, screen_environment

OLDEST = (0, 15)
ANSWER_LIMIT_S = 15.0

PACKAGES = debian.PackageSet(
    "profanity",
    (
        "profanity-light",
        "libassuan9",
        "libatomic1",
        "libblkid1",
        "libbrotli1",
        "libc-bin",
        "libc6",
        "libcom-err2",
        "libcurl3t64-gnutls",
        "libexpat1",
        "libffi8",
        "libgcc-s1",
        "libgcrypt20",
        "libgdk-pixbuf-2.0-0",
        "libglib2.0-0t64",
        "libgmp10",
        "libgnutls30t64",
        "libgpg-error0",
        "libgpgme11t64",
        "libgssapi-krb5-2",
        "libhogweed6t64",
        "libidn2-0",
        "libjpeg62-turbo",
        "libk5crypto3",
        "libkeyutils1",
        "libkrb5-3",
        "libkrb5support0",
        "libldap2",
        "libmount1",
        "libncursesw6",
        "libnettle8t64",
        "libnghttp2-14",
        "libnghttp3-9",
        "libngtcp2-16",
        "libngtcp2-crypto-gnutls8",
        "libotr5t64",
        "libp11-kit0",
        "libpcre2-8-0",
        "libpng16-16t64",
        "libprotobuf-c1",
        "libpsl5t64",
        "libqrencode4",
        "libreadline8t64",
        "librtmp1",
        "libsasl2-2",
        "libselinux1",
        "libsignal-protocol-c2.3.2",
        "libsqlite3-0",
        "libssh2-1t64",
        "libssl3t64",
        "libstrophe0",
        "libtasn1-6",
        "libtinfo6",
        "libunistring5",
        "libzstd1",
        "ncurses-base",
        "zlib1g",
    ),
    "profanity (0.15 or newer)",
)

# A time to the microsecond makes each entry one that is known again. With a wait of 10 ms for keys
# it shows at once what comes in.
_PREFERENCES = """\
[ui]
splash=false
wrap=true
roster=false
inpblock=10
inpblock.dynamic=false
time.console=%H:%M:%S.%f
time.chat=%H:%M:%S.%f
resource.title=false
resource.message=false
enc.warn=false

[connection]
receipts.request=true
mam=false
tls.certpath={certificates}
tls.show=false
autoping=0

[chatstates]
enabled=true
outtype=true

[logging]
chlog=false
dblog=off
"""
_ACCOUNT = """\
[{name}]
enabled=true
jid={jid}
resource=profanity
server={host}
port={port}
password={password}
tls.policy=force
presence.last=online
presence.login=online
"""
_ACCOUNT_NAME = "me"
# How Profanity shows that a login failed, in its console
_REFUSALS = (
    "TLS certificate verification failed",
    "Login failed",
    "Lost connection.",
)
_TIME = re.compile(r"(\d\d:\d\d:\d\d\.\d{6}) ([-+!*]) ?")
_OWN = "me: "
_INDENT = " " * len("00:00:00.000000 - ")


@cache
def find() -> tuple[tuple[str, ...], debian.Prefix | None]:
    """Return the words that start Profanity, and where it was unpacked: the one on PATH (then
    None) if it is fit, else Debian's, downloaded once. Raises LabError when neither is to be
    had."""
    on_path = shutil.which("profanity")
    if on_path:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run(
                [on_path, "--version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_LIMIT_S,
            ).stdout
            version = re.search(r"version (\d+)\.(\d+)", said)
            if version and tuple(map(int, version.groups())) >= OLDEST:
                return (on_path,), None
    prefix = debian.prefix(PACKAGES)
    return tuple(prefix.argv("usr/bin/profanity")), prefix


class Profanity(Part):
    """The account `jid`, used by a person: `with Profanity(…) as chat:`, or start() and, at the
    end, close(). It connects to `host` and `port` by STARTTLS, and trusts nobody but `ca_pem`.

    What is on its screen of `columns` by `rows` is all that there is to know of it.
    """

    def __init__(
        self,
        jid: str,
        password: str,
        host: str,
        port: int,
        ca_pem: Path,
        *,
        columns: int = 100,
        rows: int = 30,
    ) -> None:
        if not (jid + host).isprintable():
            raise LabError(f"no JID and host for an account of Profanity: {jid!r}, {host!r}")
        self.jid = jid
        self._before: set[str] = set()  # the times of what stood there before the last line
        argv, prefix = find()
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="uxmpp-chat-")).resolve()
        except OSError as e:
            raise LabError(f"cannot make a folder for Profanity: {e}") from e
        try:
            env = self._place(password, host, port, ca_pem)
            if prefix is not None:
                env["OPENSSL_MODULES"] = str(prefix.libraries / "ossl-modules")
                env["GIO_MODULE_DIR"] = env["SSL_CERT_DIR"]  # the machine's own fit its own GLib
            env.update(screen_environment(prefix))
            self.terminal = Terminal("Profanity", argv, env=env, columns=columns, rows=rows)
        except OSError as e:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise LabError(f"cannot write Profanity's files: {e}") from e
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _place(self, password: str, host: str, port: int, ca_pem: Path) -> dict[str, str]:
        """Write its files and return its environment."""
        config, data, empty = (self.folder / part for part in ("config", "data", "empty"))
        for folder in (config / "profanity", data / "profanity", empty):
            folder.mkdir(parents=True)
        preferences = _PREFERENCES.format(certificates=empty)
        (config / "profanity" / "profrc").write_text(preferences, "utf-8")
        account = _ACCOUNT.format(
            name=_ACCOUNT_NAME, jid=self.jid, host=host, port=port, password=_escaped(password)
        )
        (data / "profanity" / "accounts").write_text(account, "utf-8")
        return {
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(config),
            "XDG_DATA_HOME": str(data),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "TZ": "UTC",
            # It shall find neither gpg, whose agent would outlive it, nor a browser
            "PATH": str(empty),
            # libstrophe trusts what OpenSSL trusts
            "SSL_CERT_FILE": str(ca_pem.resolve()),
            "SSL_CERT_DIR": str(empty),
            "OPENSSL_CONF": "/dev/null",
        }

    def start(self) -> Self:
        """Start it; it is not connected yet. Raises LabError."""
        try:
            self.terminal.start()
            self.terminal.wait_until(lambda s: "Type '/help'" in s, "greeting", START_LIMIT_S)
        except BaseException:
            self.close()
            raise
        return self

    def connect(self, limit_s: float = START_LIMIT_S) -> None:
        """Log in. LabError, with what the screen says, where that fails."""
        self.enter(f"/connect {_ACCOUNT_NAME}")

        def done(screen: str) -> bool:
            for text in self._new(screen):
                if any(refusal in text for refusal in _REFUSALS):
                    raise LabError(f"Profanity could not log in as {self.jid}: {_plain(text)}")
            return f"{self.jid}/profanity logged in" in screen

        self.terminal.wait_until(done, "login", limit_s)

    def add(self, jid: str, name: str = "", limit_s: float = ANSWER_LIMIT_S) -> None:
        """Take the bare JID `jid` as a contact, shown as `name`, and ask to see its presence.
        Then it logs out and in again."""
        self.enter(f"/roster add {jid} {name}".strip())
        self.enter(f"/sub request {jid}")
        self._wait_for_entry("Sent subscription request", limit_s)
        # Profanity 0.15 takes no change of the roster from a server that does not say from whom
        # it comes, as it need not (RFC 6121, section 2.1.6); at a login it asks for the whole
        self.enter("/disconnect")
        self._wait_for_entry("logged out", limit_s)
        self.connect(limit_s)

    def allow(self, jid: str, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Wait until the bare JID `jid` asks to see one's presence, and say yes."""
        self.terminal.wait_until(
            lambda s: any(jid in t and "uthorization request" in t for _, t in _entries(s)),
            f"wish of {jid} to see the presence",
            limit_s,
        )
        self.enter(f"/sub allow {jid}")
        self._wait_for_entry(f"Accepted subscription for {jid}", limit_s)

    def open(self, jid: str, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Show the chat with the bare JID `jid`; lines that are entered then go to it."""
        self.enter(f"/msg {jid}")
        self.terminal.wait_until(lambda s: jid in s.split("\n", 1)[0], f"chat with {jid}", limit_s)

    def say(self, text: str, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Send `text`, one line, to whoever the open chat is with. Raises LabError."""
        if not text.strip() or text.startswith("/"):
            raise LabError(f"not a text to send, but none or a command: {text!r}")
        self.enter(text)
        self._wait_for_entry(_OWN, limit_s)

    def _wait_for_entry(self, text: str, limit_s: float) -> None:
        self.terminal.wait_until(
            lambda screen: any(text in t for t in self._new(screen)), repr(text), limit_s
        )

    def enter(self, line: str) -> None:
        """Type `line`, a text or a command of Profanity like /correct, and Enter."""
        self._before = {time for time, _ in _entries(self.screen())}
        self.terminal.enter(line)

    def wait_for(self, text: str, limit_s: float = ANSWER_LIMIT_S) -> list[str]:
        """Wait until `text` stands in what others have said since the last line was entered, and
        return all that they said: see new(). How it is broken into rows does not matter. LabError
        with what the screen showed last, LabTimeout after `limit_s`."""

        last: list[str] = []

        def found(screen: str) -> list[str]:
            nonlocal last
            said = [t for t in self._new(screen) if not t.startswith(_OWN)]
            # A screen may be seen while it is being drawn: two that say the same are whole
            whole, last = said == last, said
            return said if whole and _plain(text) in _plain("\n".join(said)) else []

        return self.terminal.wait_until(found, repr(text), limit_s)

    def wait_for_screen(self, text: str, limit_s: float = ANSWER_LIMIT_S) -> None:
        """Wait until `text` stands anywhere on the screen: in the title, where Profanity shows who
        the chat is with, whether that one is there and is typing, or in what was said before.
        Raises as wait_for."""
        self.terminal.wait_until(lambda s: _plain(text) in _plain(s), repr(text), limit_s)

    def new(self) -> list[str]:
        """The entries of the chat since the last line was entered, "NAME: TEXT" without their
        times; one's own have the name "me". Each row of a text is a line."""
        return self._new(self.screen())

    def _new(self, screen: str) -> list[str]:
        return [text for time, text in _entries(screen) if time not in self._before]

    def screen(self) -> str:
        """What is on the screen: its rows, without the blanks at their ends."""
        return self.terminal.screen()

    def close(self) -> None:
        """End it and remove its files."""
        self.terminal.close(limit_s=1.0)
        shutil.rmtree(self.folder, ignore_errors=True)


def _entries(screen: str) -> list[tuple[str, str]]:
    """(time, text) of each entry of a screen; a text has a line for each row."""
    found: list[tuple[str, str]] = []
    for row in screen.split("\n")[1:-2]:
        if match := _TIME.match(row):
            found.append((match[1], row[match.end() :]))
        elif found and (row.startswith(_INDENT) or not row):
            time, text = found[-1]
            found[-1] = (time, f"{text}\n{row[len(_INDENT) :]}")
    return [(time, text.rstrip()) for time, text in found]


def _plain(text: str) -> str:
    """A text however it is broken into rows."""
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """As a value of GLib's key files."""
    for char, escape in ("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), (" ", "\\s"):
        text = text.replace(char, escape)
    return text
