"""What a lab's Prosody is told: one configuration, all that a test may want of it as options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .certs import Certificate
from .errors import LabError
from .prosody_program import lua

MODULES = (
    "roster",
    "saslauth",
    "disco",
    "carbons",
    "pep",
    "private",
    "blocklist",
    "vcard4",
    "vcard_legacy",
    "version",
    "uptime",
    "time",
    "ping",
    "mam",
    "csi_simple",
    "limits",
    "admin_shell",
)
PLUS = ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS")
ALL_BUT_PLAIN = (*PLUS, "SCRAM-SHA-1", "SCRAM-SHA-256", "OAUTHBEARER")
STANZA_SIZE_LIMIT = 16 * 1024 * 1024
UPLOAD_LIMIT = STANZA_SIZE_LIMIT
UPLOAD_QUOTA = 64 * UPLOAD_LIMIT
HASHES = ("SHA-1", "SHA-256")
# The least of RFC 5802 and RFC 7677: a first login of a board takes half the time that it takes
# with Prosody's own 10,000
ITERATIONS = 4096


@dataclass(frozen=True)
class Peers:
    """How other servers are found, by the DNS at `host`:`port`, and known, by the authority in
    the file `ca_pem`."""

    host: str
    port: int
    ca_pem: Path


@dataclass(frozen=True)
class Offer:
    """What the server offers.

    `certificate` None: no TLS at all. `sasl2` False: the classic login only,
    and so no FAST. `sm` False: no stream management. `fast` False: no tokens.
    `disabled_mechanisms`: SASL mechanisms not to offer, as `ALL_BUT_PLAIN` or `PLUS`.
    `password_hash`: of stored passwords, so of the one SCRAM that works; `iterations`: of the
    same. `registration`: whether accounts can be made in-band. `stanza_size_limit`: in bytes, of
    a logged-in client.
    `upload_limit`: bytes, of a file that is uploaded; `upload_quota`: bytes, of all that a user
    uploads within a day; `web`: files go not to the server itself, but to the port `web`.
    `modules`: more of them. `peers` None: no other servers. `settings`: more global options, or
    other values of those here.
    """

    certificate: Certificate | None
    sasl2: bool = True
    sm: bool = True
    fast: bool = True
    disabled_mechanisms: Sequence[str] = ()
    password_hash: str = "SHA-256"
    iterations: int = ITERATIONS
    registration: bool = True
    stanza_size_limit: int = STANZA_SIZE_LIMIT
    upload_limit: int = UPLOAD_LIMIT
    upload_quota: int = UPLOAD_QUOTA
    web: bool = False
    modules: Sequence[str] = ()
    peers: Peers | None = None
    settings: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Listening:
    """Port numbers on loopback: client streams with STARTTLS, with direct TLS, HTTP, HTTPS,
    one where a web server of the lab may listen, and one for other servers."""

    c2s: int
    c2s_tls: int
    http: int
    https: int
    web: int
    s2s: int | None = None


def configuration(domain: str, host: str, ports: Listening, folder: Path, offer: Offer) -> str:
    """Return the configuration file of a server of `domain` that keeps its files in `folder`."""
    if offer.password_hash not in HASHES:
        raise LabError(f"password_hash is one of {', '.join(HASHES)}, not {offer.password_hash}")
    certificate = offer.certificate
    secure = certificate is not None
    modules = [*MODULES, *offer.modules]
    if offer.sm:
        modules.append("smacks")
    if offer.sasl2:
        modules += ["sasl2", "sasl2_bind2"]
        modules += ["sasl2_fast"] if offer.fast else []
        modules += ["sasl2_sm"] if offer.sm else []
    if secure:
        modules.append("tls")
    if offer.registration:
        modules.append("register")
    upload_url = f"https://{host}:{ports.https}/" if secure else f"http://{host}:{ports.http}/"
    settings: dict[str, object] = {
        "run_as_root": True,  # as in containers; without effect for other users
        "pidfile": folder / "prosody.pid",
        "data_path": folder / "data",
        "certificates": folder / "certs",  # empty: the files are named below
        "admin_socket": folder / "prosody.sock",
        "interfaces": [host],
        "http_interfaces": [host],
        "c2s_ports": [ports.c2s],
        "c2s_direct_tls_ports": [ports.c2s_tls] if secure else [],
        "http_ports": [ports.http],
        "https_ports": [ports.https] if secure else [],
        "modules_enabled": modules,
        # Nothing may go out to other servers but those of a lab, which have a DNS of their own.
        "modules_disabled": [] if offer.peers else ["s2s"],
        "allow_registration": offer.registration,
        "authentication": "internal_hashed",
        "password_hash": offer.password_hash,
        "default_iteration_count": offer.iterations,
        "disable_sasl_mechanisms": ["DIGEST-MD5", *offer.disabled_mechanisms],
        "storage": "internal",
        "c2s_require_encryption": secure,
        "allow_unencrypted_plain_auth": False,
        "c2s_stanza_size_limit": offer.stanza_size_limit,
        # One test's burst is not to slow down the next: the defaults are 10 and 30 kB a second.
        "limits": {kind: {"rate": "1gb/s", "burst": "10s"} for kind in ("c2s", "s2sin")},
        "http_file_share_size_limit": offer.upload_limit,
        "http_file_share_daily_quota": offer.upload_quota,
        "log": [{"levels": {"min": "debug"}, "to": "file", "filename": folder / "prosody.log"}],
    }
    if certificate:
        files = {"certificate": certificate.cert_pem, "key": certificate.key_pem}
        settings |= {
            "ssl": files,
            "https_ssl": files,
            # "auto" is offered to the first connection only (13.0.1).
            "tls_server_end_point_hash": certificate.pin,
        }
        if offer.peers:
            settings |= _federation(offer.peers, ports, offer.stanza_size_limit)
            # No other authority is believed: that folder is empty
            trusted = {"cafile": offer.peers.ca_pem, "capath": settings["certificates"]}
            settings["ssl"] = {**files, **trusted}
    if offer.web:
        settings["http_file_share_base_url"] = f"https://localhost:{ports.web}/"
    settings |= offer.settings or {}
    lines = [f"{name} = {lua(value)}" for name, value in settings.items()]
    lines += [
        f"VirtualHost {lua(domain)}",
        f"Component {lua('conference.' + domain)} {lua('muc')}",
        f"modules_enabled = {lua(['muc_mam'])}",
        f"Component {lua('upload.' + domain)} {lua('http_file_share')}",
        # Its addresses must work without a DNS.
        f"http_host = {lua(host)}",
        f"http_external_url = {lua(upload_url)}",
        f"Component {lua('pubsub.' + domain)} {lua('pubsub')}",
    ]
    return "\n".join(lines) + "\n"


def _federation(peers: Peers, ports: Listening, stanza_size_limit: int) -> dict[str, object]:
    """Return the settings for streams with other servers: TLS on both sides, no dialback."""
    return {
        "s2s_ports": [ports.s2s],
        "s2s_require_encryption": True,
        "s2s_secure_auth": True,
        "s2s_stanza_size_limit": stanza_size_limit,
        "use_ipv6": False,
        "unbound": {
            "resolvconf": False,
            "hoststxt": False,
            "forward": f"{peers.host}@{peers.port}",
            "options": {"do-not-query-localhost:": "no"},
        },
    }
