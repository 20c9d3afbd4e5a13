"""A device's server, as it shows itself: where it is, and the certificates that it has.

Nothing is believed here, and nothing but the beginning of a stream is sent: what is found is for
people to look at, before a device knows the server by it.
"""

import contextlib
import ipaddress
import re
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

from ..errors import UxmppError
from . import device_file
from .device_file import DeviceFile
from .session import said

#: Seconds for a question to the DNS, and for each step on the way to the certificates.
DNS_LIMIT_S = 5.0
STEP_LIMIT_S = 10.0
#: The most places of a domain that are tried, addresses of each, bytes before TLS, and
#: certificates of a chain.
MAX_PLACES = 4
MAX_ADDRESSES = 4
MAX_HEAD = 65536
MAX_CHAIN = 10

#: What a device knows its server by.
Keep = Literal["ca", "pin"]
#: Takes a line for whoever asked.
Say = Callable[[str], None]

STARTTLS_PORT, TLS_PORT = 5222, 5223
_SERVICES = (("_xmpps-client", True), ("_xmpp-client", False))
_NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"


class ServerError(UxmppError):
    """The server is not found, not reached, or has no TLS; the text says which, and what to do."""


@dataclass(frozen=True)
class Place:
    """Where a server is; `direct`: TLS from the first byte; `how`: where that is known from."""

    host: str
    port: int
    direct: bool
    how: str

    def __str__(self) -> str:
        tls = "TLS from the first byte" if self.direct else "STARTTLS"
        return f"{self.host}:{self.port}, {tls} ({self.how})"


@dataclass(frozen=True)
class Certificate:
    """A certificate that a server showed; dates are aware ones, in UTC."""

    der: bytes

    @cached_property
    def _parsed(self) -> Any:
        from cryptography import x509

        with _readable(), warnings.catch_warnings():
            # Of this computer's CAs some are older than the rules
            warnings.simplefilter("ignore")
            return x509.load_der_x509_certificate(self.der)

    @property
    def subject(self) -> str:
        """Whose it is."""
        with _readable():
            return said(self._parsed.subject.rfc4514_string()) or "(no name)"

    @property
    def issuer(self) -> str:
        """Who signed it."""
        with _readable():
            return said(self._parsed.issuer.rfc4514_string()) or "(no name)"

    @property
    def begins(self) -> datetime:
        """When it becomes valid."""
        with _readable():
            found: datetime = self._parsed.not_valid_before_utc
        return found

    @property
    def ends(self) -> datetime:
        """When it expires."""
        with _readable():
            found: datetime = self._parsed.not_valid_after_utc
        return found

    @property
    def names(self) -> list[str]:
        """The DNS names that it is for."""
        from cryptography import x509

        found = self._extension(x509.SubjectAlternativeName)
        return [said(n) for n in found.get_values_for_type(x509.DNSName)] if found else []

    @property
    def sha256(self) -> str:
        """The SHA-256 of its DER in hex: device.json's `pin`."""
        return sha256(self.der).hexdigest()

    @property
    def authority(self) -> bool:
        """Whether it may sign others."""
        from cryptography import x509

        found = self._extension(x509.BasicConstraints)
        return bool(found and found.ca)

    def _extension(self, kind: type) -> Any:
        """Return an extension; None where there is none, or none that can be read."""
        from cryptography import x509

        odd = (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError)
        with contextlib.suppress(x509.ExtensionNotFound, *odd):
            return self._parsed.extensions.get_extension_for_class(kind).value
        return None

    @property
    def own(self) -> bool:
        """Whether it signed itself."""
        return self.signed_by(self)

    def signed_by(self, other: "Certificate") -> bool:
        """Whether `other` signed it."""
        try:
            self._parsed.verify_directly_issued_by(other._parsed)
        except Exception:  # a wrong name, another key, an algorithm that is not known
            return False
        return True

    def dates(self, now: datetime | None = None) -> str:
        """Return its dates in words, and what is wrong with them."""
        now = now or datetime.now(UTC)
        text = f"{self.begins:%Y-%m-%d} to {self.ends:%Y-%m-%d}"
        if now > self.ends:
            return f"{text}: EXPIRED"
        return f"{text}: NOT VALID YET" if now < self.begins else text


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Make a ServerError of what the library raises for a certificate that it does not know."""
    from cryptography import exceptions, x509

    try:
        yield
    except (ValueError, x509.InvalidVersion, exceptions.UnsupportedAlgorithm) as e:
        raise ServerError(f"a certificate cannot be read: {said(str(e))}") from None


@dataclass(frozen=True)
class Seen:
    """What a server showed: its own certificate first, then those that signed it."""

    place: Place
    tls: str
    chain: tuple[Certificate, ...]

    @property
    def authority(self) -> Certificate | None:
        """The CA to know the server by: the root that the chain leads to, sent by the server or
        known to this computer, else the last CA of the chain, else None."""
        last = self.chain[0]
        for certificate in self.chain[1:]:
            if last.signed_by(certificate) and certificate.authority:
                last = certificate
        if last.own:
            return last if last.authority else None
        for known in _known_here():
            if last.signed_by(known):
                return known
        return last if last is not self.chain[0] else None


def places(device: DeviceFile) -> list[Place]:
    """Return where the server of a device is, the best first: its `host` and `port`, else what
    the SRV records of its domain say (RFC 6120 section 3.2.1, XEP-0368), else the domain itself.
    Raises ServerError."""
    values = device.values
    domain = device.jid.partition("@")[2]
    host, port, direct = values.get("host"), values.get("port"), values.get("direct", False)
    if host or port:
        default = TLS_PORT if direct else STARTTLS_PORT
        what = " and ".join(key for key in ("host", "port") if values.get(key))
        return [Place(host or domain, port or default, direct, f"{what} of {device.path.name}")]
    found = _services(domain, values.get("nameserver"))
    return found[:MAX_PLACES] or [
        Place(domain, STARTTLS_PORT, False, "the domain itself: it has no SRV records")
    ]


def _services(domain: str, nameserver: str | None) -> list[Place]:
    import dns.exception
    import dns.resolver

    resolver = _resolver(nameserver)
    found: list[tuple[int, int, Place]] = []
    for service, direct in _SERVICES:
        name = f"{service}._tcp.{domain}"
        try:
            for record in resolver.resolve(name, "SRV", lifetime=DNS_LIMIT_S):
                target = record.target.to_text(omit_final_dot=True)
                if target and target != ".":
                    how = f"SRV {name}, priority {record.priority}"
                    place = Place(said(target), record.port, direct, how)
                    found.append((record.priority, -record.weight, place))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            continue
        except dns.exception.DNSException as e:
            who = f" by {nameserver}" if nameserver else ""
            raise ServerError(
                f"DNS: {name} could not be looked up{who}: {_dns_said(e)}; is this computer "
                "online? `host` and `port` in device.toml need no SRV"
            ) from None
    return [place for _, _, place in sorted(found, key=lambda f: f[:2])]


def _resolver(nameserver: str | None) -> Any:
    import dns.resolver

    if not nameserver:
        try:
            return dns.resolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            raise ServerError(
                "DNS: this computer has no nameserver; write one into device.toml, "
                'nameserver = "9.9.9.9"'
            ) from None
    resolver = dns.resolver.Resolver(configure=False)
    address, _, port = nameserver.partition(":")
    try:
        resolver.nameservers = [str(ipaddress.IPv4Address(address))]
        resolver.port = int(port or 53)
        sound = 0 < resolver.port < 65536
    except ValueError:
        sound = False
    if not sound:
        raise ServerError(
            f"nameserver {nameserver[:40]!r}: must be an IPv4 address, or address:port"
        )
    return resolver


def _dns_said(error: Exception) -> str:
    import dns.resolver

    if isinstance(error, dns.resolver.LifetimeTimeout):
        return f"no answer in {DNS_LIMIT_S:g} s"
    return said(str(error)) or type(error).__name__


def _addresses(place: Place, nameserver: str | None) -> list[Any]:
    """Return what socket.getaddrinfo() does, by the nameserver that is given."""
    import dns.exception

    if nameserver and not place.host.replace(".", "").isdigit() and place.host != "localhost":
        try:
            answer = _resolver(nameserver).resolve(place.host, "A", lifetime=DNS_LIMIT_S)
            kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
            return [(*kind, (record.address, place.port)) for record in answer]
        except dns.exception.DNSException as e:
            raise ServerError(f"{place.host}: has no address: {_dns_said(e)}") from None
    try:
        return socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        why = e.strerror if isinstance(e, OSError) else str(e)
        raise ServerError(f"{place.host}: has no address: {why}") from None


def see(device: DeviceFile) -> Seen:
    """Return what the first server of a device that answers shows. Raises ServerError with the
    reason of the last one that did not."""
    error: ServerError | None = None
    for place in places(device):
        try:
            return look(place, device.jid.partition("@")[2], device.values.get("nameserver"))
        except ServerError as e:
            error = e
    assert error is not None
    raise error


def look(place: Place, domain: str, nameserver: str | None = None) -> Seen:
    """Return the certificates of the server of `domain` at a place, as it shows them to a board:
    TLS 1.2, at most. Raises ServerError."""
    with _connected(place, nameserver) as s:
        if not place.direct:
            _start_tls(s, place, domain)
        return _handshake(s, place, domain)


def _connected(place: Place, nameserver: str | None) -> socket.socket:
    why = "no address"
    for family, kind, protocol, _, address in _addresses(place, nameserver)[:MAX_ADDRESSES]:
        s = socket.socket(family, kind, protocol)
        s.settimeout(STEP_LIMIT_S)
        try:
            s.connect(address)
            return s
        except OSError as e:
            s.close()
            why = "no answer" if isinstance(e, TimeoutError) else e.strerror or str(e)
    raise ServerError(
        f"{place.host}:{place.port}: cannot be reached: {why}; is the port right, and open?"
    )


def _start_tls(s: socket.socket, place: Place, domain: str) -> None:
    """Ask for TLS on a plaintext stream (RFC 6120 section 5.4)."""
    head = (
        f"<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' "
        "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    with _step(place, "no XMPP server answers there"):
        s.sendall(head.encode())
        features = _until(s, rb"</stream:features>|<stream:features\s*/>|</stream:stream>")
    if b"<stream:stream" not in features and b"http://etherx.jabber.org/streams" not in features:
        hint = "; it may want TLS from the first byte: direct = true" if not features else ""
        raise ServerError(f"{place.host}:{place.port}: no XMPP server answers there{hint}")
    if _NS_TLS.encode() not in features:
        why = re.search(rb"<([a-z-]+) xmlns=['\"]urn:ietf:params:xml:ns:xmpp-streams", features)
        if why:
            raise ServerError(
                f"{place.host}:{place.port}: the server refuses {domain}: {why[1].decode()}"
            )
        raise ServerError(
            f"{place.host}:{place.port}: the server has no STARTTLS, and a device speaks to none "
            "without TLS: switch it on there, or take its port for TLS, direct = true"
        )
    with _step(place, "it does not begin TLS"):
        s.sendall(f"<starttls xmlns='{_NS_TLS}'/>".encode())
        answer = _until(s, rb"<proceed[^>]*>|<failure[^>]*>")
    if b"<proceed" not in answer:
        raise ServerError(f"{place.host}:{place.port}: the server refuses STARTTLS")


def _until(s: socket.socket, pattern: bytes) -> bytes:
    """Return what comes up to and with the pattern, or all until the end. Raises TimeoutError
    where that takes too long: one byte after another is no sign of life."""
    data = b""
    end = time.monotonic() + STEP_LIMIT_S
    while not re.search(pattern, data) and len(data) < MAX_HEAD:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        s.settimeout(left)
        try:
            more = s.recv(4096)
        except ConnectionError:  # as good as its end
            more = b""
        if not more:
            break
        data += more
    s.settimeout(STEP_LIMIT_S)
    return data


def _handshake(s: socket.socket, place: Place, domain: str) -> Seen:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Boards have no 1.3
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    hint = "; if that is a port for STARTTLS: direct = false" if place.direct else ""
    with (
        _step(place, "no TLS that a board could speak (1.2)", hint),
        context.wrap_socket(s, server_hostname=domain) as secured,
    ):
        found = _chain(secured)
        version = secured.version() or "TLS"
    if not found:
        raise ServerError(f"{place.host}:{place.port}: the server has no certificate")
    return Seen(place, version, tuple(found))


def _chain(secured: ssl.SSLSocket) -> list[Certificate]:
    # Public from Python 3.13 on
    if hasattr(secured, "get_unverified_chain"):
        found = secured.get_unverified_chain()
    else:
        inner: Any = secured._sslobj  # type: ignore[attr-defined]
        found = [c.public_bytes(2) for c in inner.get_unverified_chain() or ()]  # 2: DER
    return [Certificate(bytes(der)) for der in found[:MAX_CHAIN]]


@contextlib.contextmanager
def _step(place: Place, what: str, hint: str = "") -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as e:
        why = said(e.reason or str(e))
    except TimeoutError:
        why = "it is silent"
    except OSError as e:
        why = e.strerror or str(e)
    else:
        return
    raise ServerError(f"{place.host}:{place.port}: {what}: {why}{hint}")


def _known_here() -> list[Certificate]:
    """Return the CAs that this computer knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    ders: Sequence[bytes] = context.get_ca_certs(binary_form=True)
    return [Certificate(der) for der in ders]


def show(seen: Seen, device: DeviceFile, say: Say) -> None:
    """Say each certificate of the server, and what is wrong with it for this device."""
    domain = device.jid.partition("@")[2]
    for i, certificate in enumerate(seen.chain):
        say(f"{'its certificate' if not i else 'signed by'}: {certificate.subject}")
        if not i:
            names = certificate.names
            other = "" if fits(domain, names) else f": NOT FOR {domain}"
            say(f"  for {said(', '.join(names)) or 'no name'}{other}")
        say(f"  issued by {'itself' if certificate.own else certificate.issuer}")
        say(f"  {certificate.dates()}")
        say(f"  SHA-256 {certificate.sha256}")
    authority = seen.authority
    if authority and authority not in seen.chain:
        say(f"signed by: {authority.subject}, which this computer knows")
        say(f"  {authority.dates()}")
        say(f"  SHA-256 {authority.sha256}")


def doubt(seen: Seen, device: DeviceFile) -> str:
    """Return why nobody should know the server by this without a thought: its own certificate is
    another domain's, or not valid now; "" where it is as it should be."""
    domain = device.jid.partition("@")[2]
    own = seen.chain[0]
    if not fits(domain, own.names):
        return f"its certificate is not for {domain}"
    return (
        "" if own.begins <= datetime.now(UTC) <= own.ends else "its certificate is not valid now"
    )


def fits(domain: str, names: Sequence[str]) -> bool:
    """Whether a certificate for `names` is one for `domain` (RFC 6125 section 6.4)."""
    domain = domain.lower()
    parent = domain.partition(".")[2]
    return any(n.lower() in (domain, f"*.{parent}" if parent else domain) for n in names)


def adopt(seen: Seen, device: DeviceFile, how: Keep) -> str:
    """Have the device.toml know the server by its CA, whose file is written beside it, or by the
    pin of its certificate. What stood there for that is put behind a `#`. Returns what was done,
    in words. Raises ServerError, DeviceFileError."""
    path = device.path
    if how == "pin":
        device_file.change(path, {"ca": None, "pin": seen.chain[0].sha256})
        return f"kept: its pin is in {path}"
    authority = seen.authority
    if authority is None:
        raise ServerError(
            f"{seen.place.host}: there is no CA to know it by: its certificate signed itself, or "
            "comes without who signed it, whom this computer does not know: keep its pin, or "
            "write the file of the CA into `ca`"
        )
    beside = path.with_name(f"{path.stem}-ca.der")
    device_file.write(beside, authority.der)
    device_file.change(path, {"ca": beside.name, "pin": None})
    return f"kept: its CA is in {beside}, which {path.name} names"
