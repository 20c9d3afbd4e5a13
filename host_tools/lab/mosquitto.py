"""A mosquitto server of one's own, on loopback: the other protocol, to compare with."""

import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from . import debian
from .certs import Authority, Certificate
from .errors import LabError
from .ports import HOSTS, Ports, accepts
from .process import Child

DOMAIN = "lab.example"
START_LIMIT_S = 20.0
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


class MosquittoServer:
    """A mosquitto: `with MosquittoServer() as server:`, or start() and, at the end, close().

    It lets everybody in and keeps nothing. Its files lie in a folder of its own, below `folder`
    if given, which close() removes. Its certificate is for `domain`, issued by `authority`, or
    by an authority made for it.

    Attributes: `host`, `domain`, `port` (without TLS), `tls_port`, `log` (the file),
    `authority`, `certificate`.
    """

    def __init__(
        self,
        *,
        domain: str = DOMAIN,
        folder: Path | None = None,
        authority: Authority | None = None,
    ) -> None:
        self.domain = domain
        self.host = HOSTS[0]
        self._child: Child | None = None
        self._program = find()
        self._ports = Ports(2)
        self.port, self.tls_port = self._ports.numbers
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="mosquitto-", dir=folder)).resolve()
            self.log = self.folder / "mosquitto.log"
            self.authority = authority or Authority(self.folder / "authority")
            self.certificate: Certificate = self.authority.issue(
                domain, names=("localhost",), ips=HOSTS
            )
            self._config = self.folder / "mosquitto.conf"
            self._config.write_text(self._configuration())
        except OSError as e:
            self.close()
            raise LabError(f"cannot write mosquitto's files: {e}") from e
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self.running and self._child else None

    def start(self) -> Self:
        """Start it and wait until it accepts connections; LabError with its last log lines."""
        if self.running:
            return self
        child = Child(
            f"mosquitto of {self.domain}",
            [*self._program, "-c", str(self._config)],
            log=self.log,
            cwd=self.folder,
        )
        self._child = child
        waiting = [self.port, self.tls_port]

        def ready() -> bool:
            waiting[:] = [p for p in waiting if not accepts(p, self.host)]
            return not waiting

        try:
            child.wait_until(ready, "server on its ports", START_LIMIT_S)
        except BaseException:
            child.kill()
            raise
        return self

    def stop(self) -> None:
        """Stop it in order; the ports are kept for the next start()."""
        if self._child:
            self._child.stop()
            self._child = None

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

    def _configuration(self) -> str:
        lines = [
            "user root",  # else, started by root, it becomes one who may not read its files
            "allow_anonymous true",
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
