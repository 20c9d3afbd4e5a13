"""An ejabberd server of one's own, on loopback."""

import http.client
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import debian, ejabberd_program
from .certs import Authority, Certificate
from .dns_server import DnsServer
from .errors import LabError
from .ports import HOSTS
from .prosody_config import STANZA_SIZE_LIMIT, UPLOAD_LIMIT
from .server import DOMAIN, Server

COMMAND_LIMIT_S = 20.0
TOKEN_S = 3600
MAX_ANSWER = 65536  # bytes
RESUME_TIMEOUT_S = 300
FLUSH_LIMIT_S = 5.0
#: The longest time for which no other try is made to reach a server that was not there.
RETRY_DELAY_S = 1
STOP_LIMIT_S = 20.0  # a busy machine's: killed earlier, it would lose what it had accepted

MODULES = (
    "adhoc",
    "admin_extra",
    "blocking",
    "caps",
    "carboncopy",
    "client_state",
    "disco",
    "http_api",
    "last",
    "mam",
    "offline",
    "ping",
    "privacy",
    "private",
    "pubsub",
    "roster",
    "time",
    "vcard",
    "version",
)
_MODULE_OPTIONS: Mapping[str, Mapping[str, object]] = {
    "mam": {"default": "always"},
    "pubsub": {"plugins": ["flat", "pep"]},
    "roster": {"versioning": True},
}
_HASHES = {"SHA-1": "sha", "SHA-256": "sha256"}
# The HTTP interface does what is needed here, and no more.
_COMMANDS = (
    "register",
    "unregister",
    "change_password",
    "registered_users",
    "oauth_issue_token",
)
_DONE, _CONFLICT = 200, 409
# What it needs for tokens, and only suggests
_OAUTH = debian.PackageSet("erlang-oauth2", ("erlang-p1-oauth2",), "erlang-p1-oauth2")
_LAB = "lab"  # the listener that needs no password
# Its database writes up to two seconds after it has said yes: once this file is there, at once.
_FLUSH = "flush"
_FLUSHING = f"""\
spawn(fun Loop() ->
    receive after 20 -> ok end,
    filelib:is_file("{_FLUSH}") andalso {{mnesia:sync_log(), file:delete("{_FLUSH}")}},
    Loop()
end)."""
_FORGETTING = """\
ok = mnesia:start(),
ok = mnesia:wait_for_tables([mod_auth_fast], 10000),
{atomic, ok} = mnesia:clear_table(mod_auth_fast)."""

_Options = Mapping[str, Mapping[str, object]]


class Ejabberd(Server):
    """An ejabberd server: `with Ejabberd() as server:`, or start() and, at the end, close().

    Its files lie in a folder of its own, below `folder` if given, which close() removes. It
    speaks TLS with `certificate`, or with one issued by `authority`, or by an authority made for
    it. It has no name among Erlang's nodes: nothing listens for other nodes, and any number of
    servers run side by side.

    With `dns` it finds other servers by that, and speaks with those whose
    certificate `authority` has issued; else with none.

    `admins` (users) may do the administrator's ad-hoc commands, and make accounts by the HTTP API
    at the HTTPS port, by their password or, with `tokens`, by a token(). Without a module
    `register` no account is made in-band, with it as many as one likes.
    `sm` False: no stream management, else sessions wait `resume_timeout` seconds for their
    client. `fast` False: no tokens. SASL2 cannot be switched off; it is only for streams with a
    `from`. `disabled_mechanisms`, `password_hash`, `stanza_size_limit` and `upload_limit` are as
    Prosody's. `modules`: more of them, or other options of those here, by names without `mod_`.
    `settings`: more global options, or other values.

    Attributes: `host`, `domain`, `c2s_port`, `c2s_tls_port`, `s2s_port` (None without
    `dns`), `http_port` (accounts are made by it), `https_port` (of uploads), `log` (the
    file), `authority` (None where only a certificate was given), `certificate`.
    """

    _stop_limit_s = STOP_LIMIT_S

    def __init__(
        self,
        *,
        domain: str = DOMAIN,
        folder: Path | None = None,
        authority: Authority | None = None,
        certificate: Certificate | None = None,
        dns: DnsServer | None = None,
        admins: Sequence[str] = (),
        tokens: bool = False,
        sm: bool = True,
        resume_timeout: int = RESUME_TIMEOUT_S,
        fast: bool = True,
        disabled_mechanisms: Sequence[str] = (),
        password_hash: str = "SHA-256",
        stanza_size_limit: int = STANZA_SIZE_LIMIT,
        upload_limit: int = UPLOAD_LIMIT,
        modules: _Options | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        program = ejabberd_program.find()
        super().__init__("ejabberd", domain, 5 if dns else 4, folder)
        self._awaited = self._ports.numbers
        self.c2s_port, self.c2s_tls_port, self.http_port, self.https_port = self._awaited[:4]
        self.s2s_port = self._awaited[4] if dns else None
        self._fast = fast
        self._forgetting = False
        self._pending: dict[str, str | None] = {}  # of a stopped server; None: to be deleted
        with self._preparing():
            self.log = self.folder / "ejabberd.log"
            self.authority = authority
            if certificate is None:
                if authority is None:
                    self.authority = authority = Authority(self.folder / "authority")
                certificate = authority.issue(
                    domain, names=(f"*.{domain}", "localhost"), ips=HOSTS
                )
            self.certificate = certificate
            # Nothing may go out to other servers but those of a lab.
            peers: dict[str, object] = {"s2s_access": "none"}
            # Names are not to be looked up anywhere else.
            resolver = '{host, {127,0,0,1}, ["localhost"]}.\n'
            if dns:
                if authority is None:
                    raise LabError("a server that speaks with others needs an authority")
                peers = {
                    "s2s_use_starttls": "required",
                    "s2s_cafile": str(authority.pem),
                    "outgoing_s2s_families": ["ipv4"],
                    "s2s_max_retry_delay": RETRY_DELAY_S,
                }
                address = dns.host.replace(".", ",")
                # In this order: the file would replace the nameserver
                resolver += '{resolv_conf, ""}.\n{lookup, [file, dns]}.\n'
                resolver += f"{{nameserver, {{{address}}}, {dns.port}}}.\n"
            else:
                resolver += "{lookup, [file]}.\n"
            if password_hash not in _HASHES:
                raise LabError(
                    f"password_hash is one of {', '.join(_HASHES)}, not {password_hash}"
                )
            options: dict[str, Mapping[str, object]] = {
                name: _MODULE_OPTIONS.get(name, {}) for name in MODULES
            }
            if sm:
                options["stream_mgmt"] = {
                    "resume_timeout": resume_timeout,
                    "resend_on_timeout": "if_offline",
                }
            if fast:
                options["auth_fast"] = {}
            options["http_upload"] = {
                # A name, for no server is asked by its address; it needs no DNS
                "put_url": f"https://localhost:{self.https_port}/upload",
                "docroot": str(self.folder / "upload"),
                "max_size": upload_limit,
                "access": "all",
            }
            if admins:
                options["configure"] = {}
            options |= modules or {}
            config = self.folder / "ejabberd.yml"
            # JSON is YAML too.
            config.write_text(
                json.dumps(
                    {
                        "hosts": [domain],
                        "certfiles": [str(certificate.cert_pem), str(certificate.key_pem)],
                        **({"ca_file": str(authority.pem)} if authority else {}),
                        "auth_method": ["internal"],
                        "auth_password_format": "scram",
                        "auth_scram_hash": _HASHES[password_hash],
                        "disable_sasl_mechanisms": list(disabled_mechanisms),
                        "listen": self._listeners(stanza_size_limit),
                        "acl": {
                            "loopback": {"ip": ["127.0.0.0/8"]},
                            "admin": {"user": [f"{user}@{domain}" for user in admins]},
                        },
                        "access_rules": {"configure": {"allow": "admin"}},
                        "api_permissions": {
                            "lab": {
                                "from": [{"tag": _LAB}],
                                "who": {"access": {"allow": {"acl": "loopback"}}},
                                "what": list(_COMMANDS),
                            },
                            "admins": {
                                "who": [
                                    {"access": {"allow": {"acl": "admin"}}},
                                    {"oauth": {"scope": "register", "access": {"allow": "admin"}}},
                                ],
                                "what": ["register"],
                            },
                        },
                        "registration_timeout": "infinity",
                        "oauth_access": "configure",
                        **peers,
                        "acme": {"auto": False},
                        "modules": {f"mod_{name}": dict(o) for name, o in options.items()},
                        **(settings or {}),
                    },
                    indent=1,
                )
            )
            inetrc = self.folder / "inetrc"
            inetrc.write_text(resolver)
            self._program = program.placed(self.folder)
            self._environment: dict[str, str] = {
                **ejabberd_program.environment(self._program),
                "EJABBERD_CONFIG_PATH": str(config),
                "EJABBERD_LOG_PATH": str(self.log),
                "EJABBERD_BYPASS_WARNINGS": "true",
                "ERL_INETRC": str(inetrc),
                "ERL_CRASH_DUMP_SECONDS": "0",
            }
            if tokens:
                libraries = debian.prefix(_OAUTH).root / "usr" / "lib" / "erlang" / "lib"
                known = self._environment.get("ERL_LIBS")
                self._environment["ERL_LIBS"] = ":".join(filter(None, (known, str(libraries))))
        self._argv = self._words()

    def kill(self) -> None:
        """Stop it without a chance to tell its clients; what it had accepted is kept."""
        if self.running and self._child:
            wanted = self.folder / _FLUSH
            wanted.touch()
            with suppress(LabError):  # one that hangs is killed all the same
                self._child.wait_until(lambda: not wanted.exists(), "flush", FLUSH_LIMIT_S)
        super().kill()

    def add_account(self, user: str, password: str) -> str:
        """Make an account, or set another password of one, running or not; return its JID.

        A stopped server does so as soon as it has started.
        """
        if self.running:
            self._set_account(user, password)
        else:
            self._pending[user] = password
        return f"{user}@{self.domain}"

    def delete_account(self, user: str) -> None:
        """Delete an account; a running server also ends its sessions."""
        if self.running:
            self._ask("unregister", user)
        else:
            self._pending[user] = None

    def accounts(self) -> list[str]:
        """Return the users that a running server has accounts of, in order."""
        return sorted(self._command("registered_users", host=self.domain)[1])

    def token(self, user: str) -> str:
        """Return a bearer token with which `user` may ask the HTTP API to make accounts."""
        asked = {"jid": f"{user}@{self.domain}", "ttl": TOKEN_S, "scopes": ["register"]}
        return str(self._command("oauth_issue_token", **asked)[1]["token"])

    def _set_account(self, user: str, password: str) -> None:
        if not self._ask("register", user, password=password):
            self._ask("change_password", user, newpass=password)

    def _ask(self, command: str, user: str, **arguments: str) -> bool:
        """Have the server do `command` with the account; tell whether it was not there already."""
        return self._command(command, user=user, host=self.domain, **arguments)[0] == _DONE

    def _command(self, command: str, **arguments: object) -> tuple[int, Any]:
        """Have the server do `command`; the status and what it says."""
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=COMMAND_LIMIT_S)
        try:
            connection.request(
                "POST",
                f"/api/{command}",
                json.dumps(arguments).encode(),
                {"Host": self.domain, "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            said = answer.read(MAX_ANSWER).decode(errors="replace")
        except (OSError, http.client.HTTPException) as e:
            raise LabError(f"ejabberd's command {command} failed: {e}") from e
        finally:
            connection.close()
        if answer.status not in (_DONE, _CONFLICT):
            with suppress(ValueError, TypeError, KeyError):
                said = json.loads(said)["message"]
            raise LabError(f"ejabberd's command {command} failed: {' '.join(str(said).split())}")
        return answer.status, json.loads(said)

    def _started(self) -> None:
        self._forgetting = False
        self._argv = self._words()
        while self._pending:
            user, password = self._pending.popitem()
            if password is None:
                self.delete_account(user)
            else:
                self._set_account(user, password)

    def _forget(self) -> None:
        # Its files are its database's business: it clears the table itself, before it listens.
        self._forgetting = self._fast and (self.folder / "db" / "schema.DAT").exists()
        self._argv = self._words()

    def _words(self) -> list[str]:
        words = [
            *self._program.erl,
            "-noinput",
            "-boot",
            "no_dot_erlang",
            "-mnesia",
            "dir",
            '"db"',
        ]
        if self._forgetting:
            words += ["-eval", _FORGETTING]
        return [*words, "-s", "ejabberd", "-eval", _FLUSHING]

    def _listeners(self, stanza_size_limit: int) -> list[dict[str, object]]:
        client = {"module": "ejabberd_c2s", "max_stanza_size": stanza_size_limit}
        listeners: list[dict[str, object]] = [
            {**client, "port": self.c2s_port, "starttls_required": True},
            {**client, "port": self.c2s_tls_port, "tls": True},
            {
                "port": self.http_port,
                "module": "ejabberd_http",
                "tag": _LAB,
                "request_handlers": {"/api": "mod_http_api"},
            },
            {
                "port": self.https_port,
                "module": "ejabberd_http",
                "tls": True,
                "request_handlers": {"/upload": "mod_http_upload", "/api": "mod_http_api"},
            },
        ]
        if self.s2s_port:
            listeners.append({"port": self.s2s_port, "module": "ejabberd_s2s_in"})
        return [{**listener, "ip": self.host} for listener in listeners]
