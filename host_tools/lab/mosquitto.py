"""A mosquitto server of one's own, on loopback: the other protocol, to compare with."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from . import debian
from .certs import Authority, Certificate
from .errors import LabError
from .ports import HOSTS
from .server import DOMAIN, Server

COMMAND_LIMIT_S = 20.0

PACKAGES = debian.PackageSet(
    "mosquitto",
    (
        "mosquitto",
        "libc6",
        "libcap2",
        "libcjson1",
        "libdlt2",
        "libmosquitto1",
        "libssl3t64",
        "libsystemd0",
        "libwebsockets19t64",
        "libwrap0",
        "libzstd1",
        "zlib1g",
    ),
    "mosquitto (2 or newer)",
)
_ITERATIONS = 101  # of PBKDF2, as mosquitto_passwd has it


@cache
def find() -> tuple[str, ...]:
    """Return the words that start mosquitto: the one on PATH, else Debian's, downloaded once.

    Raises LabError when there is none.
    """
    # Servers live where a user's PATH does not always lead.
    name = "mosquitto"
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    return (found,) if found else tuple(debian.prefix(PACKAGES).argv("usr/sbin/mosquitto"))


@cache
def version() -> str:
    """Return the version of what find() found."""
    try:
        done = subprocess.run(
            [*find(), "-h"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise LabError(f"mosquitto does not tell its version: {e}") from e
    said = re.search(r"mosquitto version (\S+)", done.stdout)
    if not said:
        raise LabError(f"mosquitto does not tell its version: {done.stdout[:80]!r}")
    return said[1]


class MosquittoServer(Server):
    """A mosquitto: `with MosquittoServer() as server:`, or start() and, at the end, close().

    It lets everybody in, or only those of `accounts` (user to password), and what it keeps ends
    with it. Its files lie in a folder of its own, below `folder` if given, which close() removes.
    Its certificate is for `domain`, issued by `authority`, or by an authority made for it.

    Attributes: `host`, `domain`, `port` (without TLS), `tls_port`, `log` (the file),
    `authority`, `certificate`.
    """

    def __init__(
        self,
        *,
        domain: str = DOMAIN,
        folder: Path | None = None,
        authority: Authority | None = None,
        accounts: Mapping[str, str] | None = None,
    ) -> None:
        program = find()
        super().__init__("mosquitto", domain, 2, folder)
        self.port, self.tls_port = self._awaited = self._ports.numbers
        self._output = self.log = self.folder / "mosquitto.log"
        with self._preparing():
            self.authority = authority or Authority(self.folder / "authority")
            self.certificate: Certificate = self.authority.issue(
                domain, names=("localhost",), ips=HOSTS
            )
            passwords = None
            if accounts is not None:
                passwords = self.folder / "passwords"
                passwords.touch(0o600)
                passwords.write_text("".join(_account(*account) for account in accounts.items()))
            config = self.folder / "mosquitto.conf"
            config.write_text(self._configuration(passwords))
        self._argv = (*program, "-c", str(config))

    def _configuration(self, passwords: Path | None) -> str:
        lines = [
            "user root",  # else, started by root, it becomes one who may not read its files
            f"password_file {passwords}" if passwords else "allow_anonymous true",
            "persistence false",
            "log_dest stdout",
            "log_type all",
            # As a device's server would: no waiting for more to send.
            "set_tcp_nodelay true",
            f"listener {self.port} {self.host}",
            f"listener {self.tls_port} {self.host}",
            f"certfile {self.certificate.cert_pem}",
            f"keyfile {self.certificate.key_pem}",
        ]
        return "\n".join(lines) + "\n"


def _account(user: str, password: str) -> str:
    """Return the line of an account, as mosquitto_passwd writes it."""
    salt = os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"{user}:$7${_ITERATIONS}${_base64(salt)}${_base64(key)}\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
