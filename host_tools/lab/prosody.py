"""A Prosody server of one's own, on loopback."""

import hashlib
import hmac
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

from . import prosody_program
from .certs import Authority, Certificate
from .dns_server import DnsServer
from .errors import LabError
from .ports import HOSTS
from .prosody_config import (
    ITERATIONS,
    STANZA_SIZE_LIMIT,
    UPLOAD_LIMIT,
    UPLOAD_QUOTA,
    Listening,
    Offer,
    Peers,
    configuration,
)
from .server import DOMAIN, START_LIMIT_S, Server

_SOCKET_PATH_LIMIT = 107  # bytes, of a Unix socket's address
# Folders of a host's data: the tokens of FAST, and how far sessions that are over had come.
_SESSION_STORES = ("fast_tokens", "smacks_h")
# Users and passwords that the profiles of RFC 8265 leave as they are
_PLAIN_USER = re.compile(r"[a-z0-9._-]{1,255}")
_PLAIN_PASSWORD = re.compile(r"[ -~]{1,255}")


class Prosody(Server):
    """A Prosody server: `with Prosody() as server:`, or start() and, at the end, close().

    Its files lie in a folder of its own, below `folder` if given, which close() removes. It
    speaks TLS with `certificate`, or with one issued by `authority`, or by an authority made for
    it; with `tls=False` it has no TLS at all. With `dns` it finds other
    servers by that, and speaks with those whose certificate `authority` has issued; else with
    none. The other options are those of `Offer`.

    Attributes: `host`, `domain`, `c2s_port`, `c2s_tls_port`, `s2s_port` (None without
    `dns`), `http_port`, `https_port`, `web_port` (of a Web of the lab, see the option
    `web`), `log` (the file), `authority` (None where only a certificate was given),
    `certificate`.
    """

    def __init__(
        self,
        *,
        domain: str = DOMAIN,
        folder: Path | None = None,
        authority: Authority | None = None,
        certificate: Certificate | None = None,
        tls: bool = True,
        dns: DnsServer | None = None,
        sasl2: bool = True,
        sm: bool = True,
        fast: bool = True,
        disabled_mechanisms: Sequence[str] = (),
        password_hash: str = "SHA-256",
        iterations: int = ITERATIONS,
        registration: bool = True,
        stanza_size_limit: int = STANZA_SIZE_LIMIT,
        upload_limit: int = UPLOAD_LIMIT,
        upload_quota: int = UPLOAD_QUOTA,
        web: bool = False,
        modules: Sequence[str] = (),
        settings: Mapping[str, object] | None = None,
    ) -> None:
        program = prosody_program.find()
        super().__init__("Prosody", domain, 6 if dns else 5, folder)
        self._hash = password_hash.replace("-", "").lower()
        self._iterations = iterations
        ports = Listening(*self._ports.numbers)
        self.c2s_port, self.c2s_tls_port = ports.c2s, ports.c2s_tls
        self.http_port, self.https_port, self.web_port = ports.http, ports.https, ports.web
        self.s2s_port = ports.s2s
        with self._preparing():
            if len(os.fsencode(self.folder / "prosody.sock")) > _SOCKET_PATH_LIMIT:
                raise LabError(f"{self.folder} is too long a path: set TMPDIR to a shorter one")
            for part in ("data", "certs"):
                (self.folder / part).mkdir()
            self.log = self.folder / "prosody.log"
            self.authority = authority
            self.certificate = certificate
            if tls and certificate is None:
                if authority is None:
                    self.authority = authority = Authority(self.folder / "authority")
                self.certificate = authority.issue(
                    domain, names=(f"*.{domain}", "localhost"), ips=HOSTS
                )
            peers = None
            if dns:
                if not tls or authority is None:
                    raise LabError("a server that speaks with others needs TLS and an authority")
                peers = Peers(dns.host, dns.port, authority.pem)
            self._program = program.placed(self.folder)
            self._config = self.folder / "prosody.cfg.lua"
            self._config.write_text(
                configuration(
                    domain,
                    self.host,
                    ports,
                    self.folder,
                    Offer(
                        self.certificate if tls else None,
                        sasl2=sasl2,
                        sm=sm,
                        fast=fast,
                        disabled_mechanisms=disabled_mechanisms,
                        password_hash=password_hash,
                        iterations=iterations,
                        registration=registration,
                        stanza_size_limit=stanza_size_limit,
                        upload_limit=upload_limit,
                        upload_quota=upload_quota,
                        web=web,
                        modules=modules,
                        peers=peers,
                        settings=settings,
                    ),
                )
            )
        self._argv = (*self._program.server, "--config", str(self._config), "-F")
        self._environment = {**os.environ, **self._program.env}
        self._awaited = [self.c2s_port]
        if tls:
            self._awaited.append(self.c2s_tls_port)
        if self.s2s_port:
            self._awaited.append(self.s2s_port)
        if not web:  # without files of its own it opens no port for HTTP
            self._awaited.append(self.http_port)
            if tls:
                self._awaited.append(self.https_port)

    def add_account(self, user: str, password: str) -> str:
        """Make an account, or set another password of one, running or not; return its JID."""
        if _PLAIN_USER.fullmatch(user) and _PLAIN_PASSWORD.fullmatch(password):
            self._write_account(user, password)
        else:
            self._control("register", user, self.domain, password)
        return f"{user}@{self.domain}"

    def delete_account(self, user: str) -> None:
        """Delete an account; a running server also ends its sessions."""
        if self.running:
            self._control("shell", "user", "delete", f"{user}@{self.domain}")
        else:
            self._control("unregister", user, self.domain)

    def accounts(self) -> list[str]:
        """Return the users that there are accounts of, in order."""
        found = (self.folder / "data").glob("*/accounts/*.dat")
        return sorted(unquote(path.stem) for path in found)

    def invitation(self, user: str | None = None) -> str:
        """Return the address of an invitation to make the account of `user`, or any one, from a
        running server that has the module invites."""
        whom = f"{user}@{self.domain}" if user else self.domain
        return self._control("shell", "invite", "create_account", whom).strip().split()[-1]

    def _write_account(self, user: str, password: str) -> None:
        """Do what `prosodyctl register` does, which starts a Prosody for it: write the file that
        a login reads (RFC 5802, section 3)."""
        salt = str(uuid4())
        salted = hashlib.pbkdf2_hmac(
            self._hash, password.encode(), salt.encode(), self._iterations
        )
        client_key = hmac.digest(salted, b"Client Key", self._hash)
        now = int(time.time())
        account = {
            "salt": salt,
            "iteration_count": self._iterations,
            "stored_key": hashlib.new(self._hash, client_key).hexdigest(),
            "server_key": hmac.digest(salted, b"Server Key", self._hash).hex(),
            "created": now,
            "updated": now,
        }
        folder = self.folder / "data" / _encoded(self.domain) / "accounts"
        new = folder / f"{_encoded(user)}.dat~"
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            new.write_text(f"return {prosody_program.lua(account)};\n")
            new.replace(new.with_suffix(".dat"))
        except OSError as e:
            raise LabError(f"cannot write the account {user}: {e.strerror}") from e

    def _control(self, *words: str) -> str:
        what = f"prosodyctl {' '.join(words[:2])}"
        if words[0] == "shell" and self._child:  # its ports are there before its socket is
            socket = self.folder / "prosody.sock"
            self._child.wait_until(socket.exists, "socket for its shell", START_LIMIT_S)
        try:
            done = subprocess.run(
                [*self._program.control, "--config", str(self._config), *words],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=prosody_program.COMMAND_LIMIT_S,
            )
        except subprocess.TimeoutExpired as e:
            raise LabError(f"{what} had not ended after {e.timeout:g} s") from None
        except OSError as e:
            raise LabError(f"{what} does not start: {e.strerror}") from e
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            raise LabError(f"{what} failed: {said or f'it ended with {done.returncode}'}")
        return done.stdout

    def _forget(self) -> None:
        for store in _SESSION_STORES:
            for kept in (self.folder / "data").glob(f"*/{store}"):
                shutil.rmtree(kept)

    def _complaints(self, lines: int = 4) -> str:
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return f"no {self.log}"
        said = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        bad = [line for line in said if " error " in line or " warn " in line]
        return " | ".join((bad or said)[-lines:])


def _encoded(name: str) -> str:
    """Return `name` as it stands in the names of Prosody's files."""
    return re.sub(r"[^A-Za-z0-9]", lambda m: f"%{ord(m[0]):02x}", name)
