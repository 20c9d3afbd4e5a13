"""`uxmpp check` and the server: SRV, certificates, what is kept of them and then used, and what is
wrong with servers."""

import os
import pty
import re
import select
import socket
import ssl
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from typer.testing import CliRunner

from host_tools.cli import app
from host_tools.errors import UxmppError
from host_tools.lab.certs import Authority
from host_tools.lab.dns_server import SRV, A, DnsServer
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.ports import Ports
from host_tools.lab.prosody import Prosody
from host_tools.provision import device_file
from host_tools.provision import server as servers

PASSWORD = "device's own"
DOMAIN = "lab.example"
TLS = (f"_xmpps-client._tcp.{DOMAIN}", SRV)
STARTTLS = (f"_xmpp-client._tcp.{DOMAIN}", SRV)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def issued(authority, chain=True, **dates):
    """A certificate for the domain; `chain`: its file has the CA's, too, as servers send it."""
    made = authority.issue(DOMAIN, names=("localhost",), **dates)
    if chain:
        made.cert_pem.write_bytes(made.cert_pem.read_bytes() + authority.pem.read_bytes())
    return made


@pytest.fixture(scope="module", params=[Prosody, Ejabberd], ids=["prosody", "ejabberd"])
def server(request, authority):
    with request.param(domain=DOMAIN, certificate=issued(authority)) as made:
        made.add_account("dev", PASSWORD)
        yield made


@pytest.fixture
def toml(tmp_path, monkeypatch):
    """What makes a device.toml of further lines; nobody has a password yet."""
    monkeypatch.delenv("UXMPP_PASSWORD", raising=False)
    path = tmp_path / "device.toml"

    def write(*lines):
        head = (f'jid = "dev@{DOMAIN}"', 'owners = ["ann@lab.example"]')
        path.write_text("\n".join([*head, *lines, ""]))
        return path

    return write


def at(place, port=None):
    """The lines of a device.toml for a configured place."""
    return f'host = "{place.host}"', f"port = {port or place.c2s_port}"


def check(path, *args, password=None):
    """(lines that are printed, the error's line or "")."""
    env = {} if password is None else {"UXMPP_PASSWORD": password}
    result = CliRunner(env=env).invoke(app, ["check", str(path), *args])
    error = result.exception
    if error is not None and not isinstance(error, UxmppError):
        raise error
    text = str(error or "")
    assert PASSWORD not in result.output + text and "\n" not in text
    return [x for x in result.output.splitlines() if not x.startswith("note: ")], text


def with_dns(main, records, answer=None):
    """Run `main(dns)`, with that DNS."""
    with DnsServer(records, answer) as dns:
        return main(dns)


def test_kept_and_used(server, authority, toml):
    """From nothing but the account to a server that is known by its CA, then by its pin."""
    records = {
        TLS: [(5, 0, server.c2s_tls_port, "localhost")],
        STARTTLS: [(10, 0, server.c2s_port, "localhost")],
    }
    pin = server.certificate.pin

    def main(dns):
        path = toml(f'nameserver = "{dns.address}"')
        lines, error = check(path)
        assert error.startswith(f"{path}: ca or pin: one is needed") and "--keep-ca" in error
        where = f"localhost:{server.c2s_tls_port}, TLS from the first byte"
        assert lines[0] == f"server: {where} (SRV {TLS[0]}, priority 5), TLSv1.2"
        ca = servers.Certificate(authority.der.read_bytes())
        # Made a moment ago, which may have been another day
        own = x509.load_der_x509_certificate(server.certificate.der.read_bytes())
        days = own.not_valid_before_utc
        assert lines[1:] == [
            f"its certificate: CN={DOMAIN}",
            f"  for {DOMAIN}, localhost",
            "  issued by CN=uxmpp lab CA",
            f"  {days:%Y-%m-%d} to {days + timedelta(days=365):%Y-%m-%d}",
            f"  SHA-256 {pin}",
            "signed by: CN=uxmpp lab CA",
            "  issued by itself",
            f"  {ca.dates()}",
            f"  SHA-256 {ca.sha256}",
        ]
        assert list(path.parent.iterdir()) == [path]
        # The CA
        lines, error = check(path, "--keep-ca", password=PASSWORD)
        kept = path.with_name("device-ca.der")
        assert error == "" and kept.read_bytes() == authority.der.read_bytes()
        assert lines[-4:] == [
            f"kept: its CA is in {kept}, which device.toml names",
            "the device's ca accepts it",
            f"login: dev@{DOMAIN} can log in",
            f"{path}: good",
        ]
        assert 'ca = "device-ca.der"\n' in path.read_text()
        lines, error = check(path)
        assert error == "" and lines[-3] == "the device's ca accepts it"
        assert lines[-2].startswith("login: not tried, nobody has the password")
        lines, error = check(path, password="another")
        assert error.startswith(f"dev@{DOMAIN}: the server does not take the password")
        # Then the pin, over STARTTLS
        path = toml(f'nameserver = "{dns.address}"', 'ca = "device-ca.der"')
        records.pop(TLS)
        lines, error = check(path, "--keep-pin", "--no-login")
        assert error == "" and f"localhost:{server.c2s_port}, STARTTLS" in lines[0]
        assert lines[-3:] == [
            f"kept: its pin is in {path}", "the device's pin accepts it", f"{path}: good",
        ]  # fmt: skip
        assert f'pin = "{pin}"\n' in path.read_text() and '# ca = "' in path.read_text()
        lines, error = check(path, password=PASSWORD)
        assert error == "" and lines[-2] == f"login: dev@{DOMAIN} can log in"

    with_dns(main, records)


def test_new_asks_the_server(server, authority, tmp_path, monkeypatch):
    """A file that is made without a CA or pin gets it, and is good."""
    monkeypatch.chdir(tmp_path)
    words = ["new", "d.toml", "--jid", f"dev@{DOMAIN}", "--board", "pico-w", "--app", "sensor"]
    words += ["--host", server.host, "--port", str(server.c2s_port)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert f"  SHA-256 {server.certificate.pin}" in result.output
    assert "kept: its CA is in d-ca.der, which d.toml names" in result.output
    assert (tmp_path / "d-ca.der").read_bytes() == authority.der.read_bytes()
    lines, error = check("d.toml", password=PASSWORD)
    assert error == "" and lines[-2:] == [f"login: dev@{DOMAIN} can log in", "d.toml: good"]
    # The pairing code stays its owner's
    assert (tmp_path / "d.toml").stat().st_mode & 0o777 == 0o600


def test_at_a_terminal(server, toml):
    """Who looks at the certificate is asked whether to keep it, and for the password."""
    path = toml(*at(server))
    answers = [("Should the device know it by", "c"), (f"Password of dev@{DOMAIN}", PASSWORD)]
    child, terminal = pty.fork()
    if not child:
        code = "from host_tools.cli import main; main()"
        words = [sys.executable, "-c", code, "check", str(path)]
        os.execve(sys.executable, words, {**os.environ, "TERM": "dumb"})
    said = ""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                said += os.read(terminal, 4096).decode()
            except OSError:  # it has ended
                break
        if answers and re.search(rf"{answers[0][0]}[^\n]*[:?] $", said):
            os.write(terminal, f"{answers.pop(0)[1]}\n".encode())
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said
    assert not answers and "can log in" in said and PASSWORD not in said
    assert 'ca = "device-ca.der"' in path.read_text()


def test_another_one_than_it_knows(server, toml, tmp_path):
    """A wrong CA, a wrong pin, and what becomes of the file then: nothing."""
    (tmp_path / "ca.der").write_bytes(Authority(tmp_path / "other").der.read_bytes())
    for known, why in (
        ('ca = "ca.der"', "the device's ca does not accept it: the certificate: "),
        (
            f'pin = "{"ab" * 32}"',
            "the device's pin does not accept it: the certificate is not the",
        ),
    ):
        path = toml(*at(server), known)
        before = path.read_text()
        lines, error = check(path, password=PASSWORD)
        assert lines[-1].startswith(why), lines
        assert error == f"{path}: the device would not connect to this server"
        assert path.read_text() == before
    # Each is put right
    assert check(path, "--keep-ca", "--no-login")[1] == ""


@pytest.fixture(scope="module")
def prosody(authority):
    """One whose certificate has expired, that sends no CA, and that has an account."""
    now = datetime.now(UTC)
    dates = {"not_before": now - timedelta(days=9), "not_after": now - timedelta(days=2)}
    with Prosody(domain=DOMAIN, certificate=issued(authority, False, **dates)) as made:
        made.add_account("dev", PASSWORD)
        yield made


def test_expired(prosody, authority, toml, tmp_path, monkeypatch):
    (tmp_path / "ca.der").write_bytes(authority.der.read_bytes())
    path = toml(*at(prosody), 'ca = "ca.der"')
    lines, error = check(path, password=PASSWORD)
    assert any(line.endswith(": EXPIRED") for line in lines)
    assert lines[-1] == (
        "the device's ca does not accept it: the certificate: certificate has expired"
    )
    assert error == f"{path}: the device would not connect to this server"
    # A pin does not look at dates. The CA was not sent
    error = check(path, "--keep-ca")[1]
    assert "there is no CA to know it by" in error and "keep its pin" in error
    lines, error = check(path, "--keep-pin", password=PASSWORD)
    assert error == "" and lines[-2] == f"login: dev@{DOMAIN} can log in"
    # This computer may know the CA
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    lines, error = check(path)
    assert "signed by: CN=uxmpp lab CA, which this computer knows" in lines and error == ""


def test_no_starttls(toml):
    with Prosody(domain=DOMAIN, tls=False) as made:
        lines, error = check(toml(*at(made)))
        assert lines == [] and error.startswith(
            f"127.0.0.1:{made.c2s_port}: the server has no STARTTLS, and a device speaks to none"
        )


@contextmanager
def saying(*answers):
    """A port that says something to whoever connects, in turn: after each that comes some bytes,
    or None, nothing any more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def serve():
            for answer in answers:
                s = listening.accept()[0]
                with s:
                    s.settimeout(20)
                    for part in answer:
                        while s.recv(4096) and part is None:
                            pass
                        s.sendall(part or b"")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(20)


STREAM = b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>"
OFFER = (
    STREAM + b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    b"</stream:features>"
)


def test_what_is_no_server(prosody, toml, monkeypatch):
    with Ports(1) as nobody:
        port = nobody.numbers[0]
        path = toml('host = "127.0.0.1"', f"port = {port}")
        assert check(path)[1].startswith(
            f"127.0.0.1:{port}: cannot be reached: Connection refused"
        )
    cases = (
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "no XMPP server answers there"),
        ((b"",), "no XMPP server answers there; it may want TLS from the first byte: direct = "),
        ((None,), "no XMPP server answers there: it is silent"),
        ((b"x" * 70000,), "no XMPP server answers there"),
        ((OFFER, b"<failure/>"), "the server refuses STARTTLS"),
        ((OFFER, b"<proceed/>", b"no TLS at all\r\n" * 9), "no TLS that a board could speak"),
        ((STREAM + b"<stream:features/>",), "the server has no STARTTLS"),
    )
    with saying(*(answers for answers, _ in cases)) as port:
        for answers, why in cases:
            # Only the silence is to be short
            monkeypatch.setattr(servers, "STEP_LIMIT_S", 1.0 if None in answers else 20.0)
            error = check(toml('host = "127.0.0.1"', f"port = {port}"))[1]
            assert error.startswith(f"127.0.0.1:{port}: {why}"), (error, why)
    # The wrong one of its ports
    error = check(toml(*at(prosody, prosody.c2s_tls_port)))[1]
    assert "no XMPP server answers there" in error and "direct = true" in error
    error = check(toml(*at(prosody), "direct = true"))[1]
    assert "no TLS that a board could speak (1.2)" in error
    assert error.endswith("; if that is a port for STARTTLS: direct = false")


def test_one_byte_after_another(authority, monkeypatch):
    """No server keeps us for longer than a step may take."""
    monkeypatch.setattr(servers, "STEP_LIMIT_S", 0.5)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip():
            with listening.accept()[0] as s, suppress(OSError):
                while not ended.wait(0.01):
                    s.sendall(b" ")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        place = servers.Place("127.0.0.1", listening.getsockname()[1], False, "")
        with pytest.raises(UxmppError, match="no XMPP server answers there: it is silent$"):
            servers.look(place, DOMAIN)
        ended.set()
        thread.join(20)


def test_certificates_that_are_odd(authority, toml):
    """Whatever a server sends as its certificate: an error of one line, or what can be read."""
    der = authority.issue("x", names=("a.example", "b.example")).der.read_bytes()
    read = 0
    for i in range(len(der)):
        for byte in {der[i] ^ 1, 255} - {der[i]}:
            odd = servers.Certificate(der[:i] + bytes((byte,)) + der[i + 1 :])
            try:
                said = [odd.subject, odd.issuer, odd.dates(), *odd.names]
                read += not odd.own and not odd.authority
            except UxmppError as e:
                said = [str(e)]
            assert not any("\n" in text for text in said)
    assert read > 100
    # What nobody should believe without a look
    device = device_file.read(toml(), trusted=False)
    whole = servers.Place("h", 1, True, "")
    old = datetime.now(UTC) - timedelta(days=2)
    for certificate, why in (
        (authority.issue(DOMAIN), ""),
        (authority.issue("x"), f"its certificate is not for {DOMAIN}"),
        (
            authority.issue(DOMAIN, not_before=old - timedelta(days=9), not_after=old),
            "its certificate is not valid now",
        ),
    ):
        own = servers.Certificate(certificate.der.read_bytes())
        assert servers.doubt(servers.Seen(whole, "TLSv1.2", (own,)), device) == why


@contextmanager
def tls_server(certificate, version):
    """A port for TLS alone, of one version at least, for one client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_pem, certificate.key_pem)
    context.minimum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def serve():
            with listening.accept()[0] as s, suppress(OSError):
                s.settimeout(20)
                context.wrap_socket(s, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(20)


def test_tls_that_does_not_fit(authority, prosody, toml):
    made = issued(authority)
    # Boards have 1.2
    with tls_server(made, ssl.TLSVersion.TLSv1_3) as port:
        error = check(toml('host = "127.0.0.1"', f"port = {port}", "direct = true"))[1]
        assert "no TLS that a board could speak (1.2): " in error
    # Another domain, which shows, and which a server does not serve
    with tls_server(made, ssl.TLSVersion.TLSv1_2) as port:
        path = toml('host = "127.0.0.1"', f"port = {port}", "direct = true")
        path.write_text(path.read_text().replace(f"dev@{DOMAIN}", "dev@other.example"))
        lines, error = check(path)
        assert lines[2] == f"  for {DOMAIN}, localhost: NOT FOR other.example"
        assert "ca or pin: one is needed" in error
    path = toml(*at(prosody))
    path.write_text(path.read_text().replace(f"dev@{DOMAIN}", "dev@other.example"))
    assert check(path)[1].endswith(": the server refuses other.example: host-unknown")


def test_dns(prosody, toml, monkeypatch):
    """A dead place is passed over; no SRV is the domain itself; a DNS that says nothing."""
    monkeypatch.setattr(servers, "DNS_LIMIT_S", 20.0)
    good = (20, 0, prosody.c2s_port, "xmpp.lab.example")

    def found(dns):
        return check(toml(f'nameserver = "{dns.address}"'))

    with Ports(1) as nobody:
        dead = (1, 0, nobody.numbers[0], "localhost")
        records = {STARTTLS: [good, dead], ("xmpp.lab.example", A): ["127.0.0.1"]}
        lines, _ = with_dns(found, records)
        assert lines[0].startswith(f"server: xmpp.lab.example:{prosody.c2s_port}, STARTTLS (SRV ")
        _, error = with_dns(found, {STARTTLS: [dead]})
        assert f"localhost:{nobody.numbers[0]}: cannot be reached: Connection refused" in error
    _, error = with_dns(found, {})
    assert error.startswith(f"{DOMAIN}: has no address: ")
    monkeypatch.setattr(servers, "DNS_LIMIT_S", 1.0)
    _, error = with_dns(found, {}, lambda packet: [])
    assert error.startswith(f"DNS: {TLS[0]} could not be looked up by 127.0.0.1:")
    assert "no answer in 1 s; is this computer online?" in error
    _, error = with_dns(found, {}, lambda packet: [packet[:2] + b"\x81\x82" + packet[4:]])
    assert "could not be looked up" in error
