"""Several servers on loopback that speak with each other."""

import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from .certs import Authority
from .dns_server import SRV, A, DnsServer, Service
from .ejabberd import Ejabberd
from .errors import LabError
from .lab import Lab
from .part import Part
from .prosody import Prosody

#: Domains below a server's own, of the services that it may have.
SERVICES = ("conference", "pubsub", "upload")

_Kind = type[Prosody] | type[Ejabberd]
_Accounts = Mapping[str, str]
Member = tuple[_Kind, _Accounts] | tuple[_Kind, _Accounts, Mapping[str, Any]]


class Federation(Part):
    """`with Federation({"a.example": (Prosody, accounts), "b.example": (Ejabberd, accounts)}) as
    world:`; `world["a.example"]` is a Lab. `accounts` are user to password; a third in the tuple
    are options of the server's class.

    All certificates are from one `authority`, unless the option `certificate` names another one:
    the others then refuse that server, for it is by certificates alone that they know each other
    (no dialback). One `dns` tells where each domain and the services below it are, to servers and,
    as their `nameserver` (its `address`), to devices. `labs`: by domain, in the order given.

    A server that another one did not reach is tried again at the next stanza, by ejabberd after
    RETRY_DELAY_S at most.
    """

    def __init__(self, members: Mapping[str, Member], *, keep: bool = False) -> None:
        self.keep = keep
        self.labs: dict[str, Lab] = {}
        self.dns = DnsServer()
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="uxmpp-federation-")).resolve()
        except OSError as e:
            self.dns.close()
            raise LabError(f"cannot make a folder for the federation: {e}") from e
        try:
            self.authority = Authority(self.folder / "authority")
            for domain, (kind, accounts, *rest) in members.items():
                self.labs[domain] = Lab(
                    accounts,
                    server=kind,
                    domain=domain,
                    authority=self.authority,
                    keep=keep,
                    dns=self.dns,
                    **(rest[0] if rest else {}),
                )
            self.dns.records = {
                key: found
                for lab in self.labs.values()
                for key, found in _records(lab.server).items()
            }
        except BaseException:
            self.close()
            raise

    def __getitem__(self, domain: str) -> Lab:
        return self.labs[domain]

    def start(self) -> Self:
        """Start all of them, at the same time; LabError says which one failed, and why."""
        try:
            # First the DNS: that a server is not there would be remembered
            self.dns.start()
            with ThreadPoolExecutor(max(1, len(self.labs))) as pool:
                list(pool.map(Lab.start, self.labs.values()))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop all of them and remove their folders, unless they are to be kept."""
        for lab in self.labs.values():
            lab.close()
        self.dns.close()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def _records(server: Prosody | Ejabberd) -> dict[tuple[str, int], list[str | Service]]:
    """Return what the DNS says of a server (RFC 6120, section 3.2; XEP-0368)."""
    found: dict[tuple[str, int], list[str | Service]] = {}
    own = {"_xmpp-client": server.c2s_port, "_xmpps-client": server.c2s_tls_port}
    for domain in (server.domain, *(f"{name}.{server.domain}" for name in SERVICES)):
        found[domain, A] = [server.host]
        ports = {"_xmpp-server": server.s2s_port, **(own if domain == server.domain else {})}
        for service, port in ports.items():
            # ejabberd asks the system, not the DNS, for the address of what is named here
            found[f"{service}._tcp.{domain}", SRV] = [(5, 0, port or 0, "localhost")]
    return found
