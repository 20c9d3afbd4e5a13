"""A small world on loopback: an authority, a server, and accounts on it."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from .certs import Authority
from .ejabberd import Ejabberd
from .errors import LabError
from .part import Part
from .prosody import Prosody
from .server import DOMAIN


class Lab(Part):
    """`with Lab(accounts={"owner": "a password"}) as lab:`; `options` are those of the
    class `server`. Without `authority` it has one of its own.

    Attributes: `server`, `authority`, `folder` (for the user's own files too), `accounts` (user
    to password). The folder is removed at the end, unless `keep`.
    """

    def __init__(
        self,
        accounts: Mapping[str, str] | None = None,
        *,
        server: type[Prosody] | type[Ejabberd] = Prosody,
        domain: str = DOMAIN,
        authority: Authority | None = None,
        keep: bool = False,
        **options: Any,
    ) -> None:
        self.accounts = dict(accounts or {})
        self.keep = keep
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="uxmpp-lab-")).resolve()
        except OSError as e:
            raise LabError(f"cannot make a folder for the lab: {e}") from e
        try:
            self.authority = authority or Authority(self.folder / "authority")
            self.server: Prosody | Ejabberd = server(
                domain=domain, folder=self.folder, authority=self.authority, **options
            )
        except BaseException:
            self._remove()
            raise

    @property
    def domain(self) -> str:
        """The server's domain."""
        return self.server.domain

    @property
    def ca_pem(self) -> Path:
        """The file of the authority's certificate, as PEM."""
        return self.authority.pem

    @property
    def ca_der(self) -> Path:
        """The file of the authority's certificate, as DER."""
        return self.authority.der

    def jid(self, user: str) -> str:
        """Return the bare JID of `user`."""
        return f"{user}@{self.domain}"

    def add_account(self, user: str, password: str) -> str:
        """Make one more account and return its JID."""
        jid = self.server.add_account(user, password)
        self.accounts[user] = password
        return jid

    def device_config(
        self, user: str, *, owners: Sequence[str] = (), **changes: Any
    ) -> dict[str, Any]:
        """Return what stands in the device.json of `user`'s device; `owners` are users too. Its
        folder needs a copy of the file `ca_der`."""
        return {
            "jid": self.jid(user),
            "password": self.accounts[user],
            "owners": [self.jid(owner) for owner in owners],
            "ca": self.ca_der.name,
            "host": self.server.host,
            "port": self.server.c2s_port,
            **changes,
        }

    def start(self) -> Self:
        """Make the accounts and start the server; LabError says what failed."""
        try:
            for user, password in self.accounts.items():
                self.server.add_account(user, password)
            self.server.start()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop the server and remove the folder, unless it is to be kept."""
        self.server.close(keep=self.keep)
        self._remove()

    def _remove(self) -> None:
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
