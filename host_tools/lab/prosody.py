"""A Prosody server of one's own, on loopback."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from . import prosody_program
from .certs import Authority, Certificate
from .errors import LabError
from .ports import HOSTS, Ports, accepts
from .process import Child
from .prosody_config import STANZA_SIZE_LIMIT, Listening, Offer, configuration

DOMAIN = "lab.example"
START_LIMIT_S = 20.0

_SOCKET_PATH_LIMIT = 107  # bytes, of a Unix socket's address


class Prosody:
    """A Prosody server: `with Prosody() as server:`, or start() and, at the end, close().

    Its files lie in a folder of its own, below `folder` if given, which close() removes. It
    speaks TLS with `certificate`, or with one issued by `authority`, or by an authority made for
    it; with `tls=False` it has no TLS at all. The other options are those of `Offer`.

    Attributes: `host`, `domain`, `c2s_port`, `c2s_tls_port`, `http_port`, `https_port`, `log`
    (the file), `authority` (None where a certificate was given), `certificate`.
    """

    def __init__(
        self,
        *,
        domain: str = DOMAIN,
        folder: Path | None = None,
        authority: Authority | None = None,
        certificate: Certificate | None = None,
        tls: bool = True,
        sasl2: bool = True,
        disabled_mechanisms: Sequence[str] = (),
        password_hash: str = "SHA-256",
        registration: bool = True,
        stanza_size_limit: int = STANZA_SIZE_LIMIT,
        modules: Sequence[str] = (),
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.domain = domain
        self.host = HOSTS[0]
        self._child: Child | None = None
        program = prosody_program.find()
        self._ports = Ports(4)
        self.c2s_port, self.c2s_tls_port, self.http_port, self.https_port = self._ports.numbers
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="prosody-", dir=folder)).resolve()
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
            self._program = program.placed(self.folder)
            self._config = self.folder / "prosody.cfg.lua"
            self._config.write_text(
                configuration(
                    domain,
                    self.host,
                    Listening(*self._ports.numbers),
                    self.folder,
                    Offer(
                        self.certificate if tls else None,
                        sasl2=sasl2,
                        disabled_mechanisms=disabled_mechanisms,
                        password_hash=password_hash,
                        registration=registration,
                        stanza_size_limit=stanza_size_limit,
                        modules=modules,
                        settings=settings,
                    ),
                )
            )
        except OSError as e:
            self.close()
            raise LabError(f"cannot write Prosody's files: {e}") from e
        except BaseException:
            self.close()
            raise
        self._awaited = [self.c2s_port, self.http_port]
        if tls:
            self._awaited += [self.c2s_tls_port, self.https_port]

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self.running and self._child else None

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.running

    def start(self) -> Self:
        """Start it and wait until it accepts connections; LabError with its last log lines."""
        if self.running:
            return self
        child = Child(
            f"Prosody of {self.domain}",
            [*self._program.server, "--config", str(self._config), "-F"],
            log=self.folder / "output.log",
            env=self._environment(),
            cwd=self.folder,
        )
        self._child = child
        waiting = list(self._awaited)

        def ready() -> bool:
            waiting[:] = [p for p in waiting if not accepts(p, self.host)]
            return not waiting

        try:
            child.wait_until(ready, "server on its ports", START_LIMIT_S)
        except LabError as e:
            child.kill()
            raise LabError(f"{e} | {self._complaints()}") from e
        except BaseException:
            child.kill()
            raise
        return self

    def stop(self) -> None:
        """Stop it in order; accounts, data and ports are kept for the next start()."""
        if self._child:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """Stop it without a chance to write or to tell its clients."""
        if self._child:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Stop it in order and start it on the same ports."""
        self.stop()
        self.start()

    def close(self, *, keep: bool = False) -> None:
        """Stop it, give back its ports and remove its files (unless `keep`)."""
        self.stop()
        self._ports.release()
        folder = getattr(self, "folder", None)
        if folder and not keep:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add_account(self, user: str, password: str) -> str:
        """Make an account, or set another password of one, running or not; return its JID."""
        self._control("register", user, self.domain, password)
        return f"{user}@{self.domain}"

    def delete_account(self, user: str) -> None:
        """Delete an account; a running server also ends its sessions."""
        if self.running:
            self._control("shell", "user", "delete", f"{user}@{self.domain}")
        else:
            self._control("unregister", user, self.domain)

    def _control(self, *words: str) -> None:
        what = f"prosodyctl {' '.join(words[:2])}"
        try:
            done = subprocess.run(
                [*self._program.control, "--config", str(self._config), *words],
                env=self._environment(),
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

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._program.env}

    def _complaints(self, lines: int = 4) -> str:
        try:
            text = self.log.read_text(errors="replace")
        except OSError:
            return f"no {self.log}"
        said = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        bad = [line for line in said if " error " in line or " warn " in line]
        return " | ".join((bad or said)[-lines:])
