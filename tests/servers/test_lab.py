"""The lab itself: real programs, real servers, real TLS, all on loopback."""

import asyncio
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from host_tools.lab import cache, debian, micropython, ports, prosody_program
from host_tools.lab.certs import Authority
from host_tools.lab.errors import LabError, LabTimeout
from host_tools.lab.lab import Lab
from host_tools.lab.owner import Owner
from host_tools.lab.ports import Ports, accepts
from host_tools.lab.process import Child
from host_tools.lab.prosody import Prosody
from host_tools.lab.prosody_config import ALL_BUT_PLAIN, PLUS

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = {"owner": "open sesame", "greenhouse": "grün & <gut>"}
STREAMS = "{http://etherx.jabber.org/streams}"
SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
SASL2 = "{urn:xmpp:sasl:2}"
# Without a `from`, Prosody does not offer FAST.
HEADER = (
    "<?xml version='1.0'?>"
    "<stream:stream from='owner@lab.example' to='lab.example' version='1.0' "
    "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)


@pytest.fixture(scope="module")
def lab():
    with Lab(NAMES) as lab:
        yield lab


def owner_of(lab, user, direct_tls=False, ca_pem=None, password=None):
    server = lab.server
    port = server.c2s_tls_port if direct_tls else server.c2s_port
    return Owner(
        lab.jid(user),
        password or lab.accounts[user],
        server.host,
        port,
        ca_pem or lab.ca_pem,
        direct_tls,
    )


def run_python(code, *args, env=None, timeout=120):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=REPOSITORY,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def gone(pid, within_s=20.0):
    """Whether the process `pid` ends (or lies dead, unreaped) within the limit."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def features(server, header=HEADER):
    """Return the stream features after direct TLS, verified against the server's authority."""
    context = ssl.create_default_context(cafile=server.authority.pem)
    with socket.create_connection((server.host, server.c2s_tls_port), timeout=20) as raw:
        raw.settimeout(20)
        with context.wrap_socket(raw, server_hostname=server.domain) as s:
            s.sendall(header.encode())
            return read_features(s)


def read_features(s):
    parser = ET.XMLPullParser(["end"])
    while True:
        got = s.recv(4096)
        assert got, "the stream ended before its features"
        parser.feed(got)
        for _, element in parser.read_events():
            if element.tag == f"{STREAMS}features":
                return element


# programs


def test_programs_are_found():
    assert micropython.find(64).bits == 64
    assert micropython.find(32).bits == 32
    program = prosody_program.find()
    assert program.prefix or program.server
    if program.prefix:
        assert program.prefix.versions["prosody"].startswith("13.")


@pytest.mark.skipif(not shutil.which("apt-get"), reason="fetches with apt")
def test_parallel_starts_fetch_once_and_later_ones_need_no_apt(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    calls = tmp_path / "calls"
    counting = programs / "apt-get"
    counting.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexec {shutil.which("apt-get")} "$@"\n')
    counting.chmod(0o755)
    env = {
        **os.environ,
        "UXMPP_CACHE": str(tmp_path / "cache"),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    code = (
        "from host_tools.lab import debian, micropython\n"
        "print(debian.prefix(micropython.PACKAGES_32, 32).root)"
    )
    start = [sys.executable, "-c", code]
    both = [
        subprocess.Popen(start, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = [process.communicate(timeout=900)[0] for process in both]
    assert first == second
    assert calls.read_text().count(" update\n") == 1
    root = Path(first.strip())
    assert (root / "usr/bin/micropython").exists()
    assert sorted(p.name for p in root.parent.iterdir()) == ["complete.json", "root"]

    counting.write_text("#!/bin/sh\nexit 1\n")
    third = subprocess.run(
        start, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120
    )
    assert third.stdout == first


@pytest.mark.skipif(not shutil.which("dpkg"), reason="asks dpkg")
def test_failed_fetch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("UXMPP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "dpkg").symlink_to(shutil.which("dpkg"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="apt-get is missing.*prosody \\(13 or newer\\)"):
        debian.prefix(prosody_program.PACKAGES)


def test_cache_is_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("UXMPP_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("UXMPP_CACHE")
    assert cache.cache_dir() == tmp_path / "shared" / "uxmpp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / ".cache" / "uxmpp"


def test_cache_lock_excludes_other_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("UXMPP_CACHE", str(tmp_path))
    with cache.locked("x"):
        other = run_python("from host_tools.lab.cache import locked\nwith locked('x', 0.2): pass")
        assert "LabError: another process has held" in other.stderr
    with cache.locked("x", 1):
        pass


# MicroPython


@pytest.mark.parametrize("bits", [32, 64])
def test_micropython(bits):
    found = micropython.find(bits)
    assert found.version >= (1, 24)
    done = found.run_code(
        "import gc, sys, asyncio\n"
        "async def f(): return 7\n"
        "print(sys.maxsize, asyncio.run(f()), gc.mem_free() + gc.mem_alloc(), sys.path)",
        heap="100k",
        path=["/one", "/two"],
    )
    assert done.returncode == 0, done.stderr
    maxsize, seven, heap, path = done.stdout.split(None, 3)
    assert int(maxsize) == 2 ** (bits - 1) - 1
    assert seven == "7"
    assert 85_000 < int(heap) <= 102_400
    assert path.strip() == "['', '/one', '/two', '.frozen']"


def test_narrow_micropython_has_the_memory_of_a_board():
    done = micropython.find(32).run_code("import gc; print(gc.mem_free() + gc.mem_alloc())")
    assert 140_000 < int(done.stdout) <= 163_840
    done = micropython.find(32).run_code("b = bytearray(170_000)")
    assert "MemoryError" in done.stderr


def test_micropython_script_and_limit(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(sys.argv[1:])\nif sys.argv[1] == 'hang':\n while 1: pass")
    found = micropython.find(32)
    assert found.run(script, "a", "b c").stdout == "['a', 'b c']\n"
    with pytest.raises(LabError, match="had not ended after 0.3 s"):
        found.run(script, "hang", timeout_s=0.3)


def test_named_micropython_must_fit(monkeypatch):
    monkeypatch.setenv("UXMPP_MICROPYTHON32", "/bin/true")
    with pytest.raises(LabError, match="UXMPP_MICROPYTHON32=/bin/true is no MicroPython"):
        micropython.find(32)
    with pytest.raises(LabError, match="32 or 64"):
        micropython.find(16)


TLS_CLIENT = f"""
import socket, sys, tls
port, ca, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
context.verify_mode = tls.CERT_REQUIRED
with open(ca, "rb") as f:
    context.load_verify_locations(f.read())
raw = socket.socket()
raw.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
s = context.wrap_socket(raw, server_hostname=name)
s.write({HEADER.encode()!r})
print(s.read(400))
"""


@pytest.mark.parametrize("bits", [32, 64])
def test_micropython_verifies_the_server(lab, tmp_path, bits):
    script = tmp_path / "client.py"
    script.write_text(TLS_CLIENT)
    found = micropython.find(bits)
    port = str(lab.server.c2s_tls_port)
    done = found.run(script, port, str(lab.ca_der), lab.domain)
    assert "<stream:stream" in done.stdout, done.stderr
    other = Authority(tmp_path / "other")
    done = found.run(script, port, str(other.der), lab.domain)
    assert done.returncode and "not correctly signed by the trusted CA" in done.stderr


# certificates


def test_certificates_are_issued_as_asked(tmp_path):
    authority = Authority(tmp_path)
    now = datetime.now(UTC).replace(microsecond=0)
    day = timedelta(days=1)
    leaf = authority.issue("a.example", names=["*.a.example"], ips=["127.0.0.1", "::1"])
    certificate = x509.load_der_x509_certificate(leaf.der.read_bytes())
    assert certificate == x509.load_pem_x509_certificate(leaf.cert_pem.read_bytes())
    assert certificate.not_valid_before_utc < now < certificate.not_valid_after_utc
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example", "*.a.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert len(leaf.pin) == 64

    expired = x509.load_pem_x509_certificate(
        authority.issue("a.example", not_after=now - 2 * day).cert_pem.read_bytes()
    )
    assert expired.not_valid_after_utc == now - 2 * day
    assert expired.not_valid_before_utc < expired.not_valid_after_utc
    future = x509.load_pem_x509_certificate(
        authority.issue("a.example", not_before=now + 2 * day).cert_pem.read_bytes()
    )
    assert future.not_valid_before_utc == now + 2 * day
    with pytest.raises(LabError, match="cannot issue a certificate for 'a.example'"):
        authority.issue("a.example", not_before=now + day, not_after=now)
    with pytest.raises(LabError, match="cannot issue"):
        authority.issue("a.example", ips=["nowhere"])


def test_strict_verification_accepts_the_certificate(lab):
    context = ssl.create_default_context(cafile=lab.ca_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    address = (lab.server.host, lab.server.c2s_tls_port)
    with (
        socket.create_connection(address, timeout=20) as raw,
        context.wrap_socket(raw, server_hostname=lab.domain) as s,
    ):
        der = s.getpeercert(binary_form=True)
        assert der == lab.server.certificate.der.read_bytes()


@pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])
@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("expired", "certificate has expired"),
        ("future", "certificate is not yet valid"),
        ("name", "not valid for 'lab.example'"),
        ("authority", "unable to get local issuer certificate"),
    ],
)
def test_bad_certificates_are_refused(tmp_path, kind, complaint, direct_tls):
    authority = Authority(tmp_path / "one")
    now = datetime.now(UTC)
    day = timedelta(days=1)
    bad = {
        "expired": lambda: authority.issue("lab.example", not_after=now - day),
        "future": lambda: authority.issue("lab.example", not_before=now + day),
        "name": lambda: authority.issue("other.example"),
        "authority": lambda: Authority(tmp_path / "two").issue("lab.example"),
    }[kind]()
    with Lab({"owner": "secret"}, certificate=bad) as lab:

        async def main():
            with pytest.raises(LabError, match=complaint):
                await owner_of(lab, "owner", direct_tls, authority.pem).connect()

        asyncio.run(main())


# servers


@pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])
def test_two_owners_talk(lab, direct_tls):
    async def main():
        async with (
            owner_of(lab, "owner", direct_tls) as owner,
            owner_of(lab, "greenhouse", direct_tls) as greenhouse,
        ):

            async def answer():
                question = await greenhouse.next_message(lab.jid("owner"))
                await greenhouse.say(question.sender, f"to {question.body}: 21.5 °C <&>")

            task = asyncio.create_task(answer())
            said = await owner.ask(lab.jid("greenhouse"), "temperature?")
            assert said == "to temperature?: 21.5 °C <&>"
            await task
            with pytest.raises(LabTimeout, match="no message from anybody within 0.1 s"):
                await owner.next_message(timeout=0.1)

    asyncio.run(main())


def test_presence_and_requests(lab):
    async def main():
        async with owner_of(lab, "owner") as owner, owner_of(lab, "greenhouse") as greenhouse:
            device = lab.jid("greenhouse")
            await owner.subscribe(device)
            greenhouse.client.send_presence(pshow="away", pstatus="21.5 °C")
            seen = await owner.presence(device, lambda p: p.status == "21.5 °C")
            assert (seen.show, seen.type) == ("away", "available")
            assert seen.jid == greenhouse.client.boundjid.full
            answer = await owner.iq(None, "<ping xmlns='urn:xmpp:ping'/>")
            assert answer.get("type") == "result"
            answer = await owner.iq(seen.jid, "<x xmlns='urn:example:unknown'/>", "set")
            assert answer.get("type") == "error"
            await greenhouse.disconnect()
            await owner.presence(device, lambda p: p.type == "unavailable")
            with pytest.raises(LabError, match="not connected"):
                await greenhouse.say(lab.jid("owner"), "x")
            await greenhouse.connect()
            await owner.presence(device)

    asyncio.run(main())


def test_large_message_passes(lab):
    body = "0123456789abcdef" * (5 * 1024 * 1024 // 16)

    async def main():
        async with (
            owner_of(lab, "owner") as owner,
            owner_of(lab, "greenhouse", True) as greenhouse,
        ):
            await owner.say(greenhouse.client.boundjid.full, body)
            message = await greenhouse.next_message(timeout=60)
            assert message.body == body

    asyncio.run(main())


def test_upload(lab):
    context = ssl.create_default_context(cafile=lab.ca_pem)

    async def slot():
        async with owner_of(lab, "owner") as owner:
            return await owner.iq(
                f"upload.{lab.domain}",
                "<request xmlns='urn:xmpp:http:upload:0' filename='a.jpg' size='5'/>",
            )

    ns = "{urn:xmpp:http:upload:0}"
    answer = asyncio.run(slot())
    put = answer.find(f".//{ns}put")
    headers = {h.get("name"): h.text for h in put.iter(f"{ns}header")}
    request = urllib.request.Request(put.get("url"), b"12345", headers, method="PUT")
    with urllib.request.urlopen(request, timeout=20, context=context) as reply:
        assert reply.status == 201
    url = answer.find(f".//{ns}get").get("url")
    assert url.startswith(f"https://127.0.0.1:{lab.server.https_port}/")
    with urllib.request.urlopen(url, timeout=20, context=context) as reply:
        assert reply.read() == b"12345"


def test_components_answer(lab):
    async def main():
        async with owner_of(lab, "owner") as owner:
            for part, feature in (
                ("conference", "http://jabber.org/protocol/muc"),
                ("pubsub", "http://jabber.org/protocol/pubsub"),
                ("upload", "urn:xmpp:http:upload:0"),
            ):
                answer = await owner.iq(
                    f"{part}.{lab.domain}",
                    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
                )
                assert any(e.get("var", "").startswith(feature) for e in answer.iter())

    asyncio.run(main())


def test_accounts_come_and_go(lab):
    async def main():
        jid = lab.add_account("guest", "secret")
        assert jid == "guest@lab.example"
        async with owner_of(lab, "guest") as guest:
            with pytest.raises(LabError, match="the login was refused"):
                await owner_of(lab, "guest", password="wrong").connect()
            lab.server.delete_account("guest")
            end = time.monotonic() + 20
            while guest.connected and time.monotonic() < end:
                await asyncio.sleep(0.02)
            assert not guest.connected
        with pytest.raises(LabError, match="the login was refused"):
            await owner_of(lab, "guest").connect()

    asyncio.run(main())


def test_offers(lab):
    for _ in range(2):  # the second connection is offered as much as the first
        offered = features(lab.server)
        assert {m.text for m in offered.iter(f"{SASL}mechanism")} >= {
            "PLAIN",
            "SCRAM-SHA-256",
            "SCRAM-SHA-256-PLUS",
        }
        sasl2 = offered.find(f"{SASL2}authentication")
        tags = {e.tag for e in sasl2.iter()}
        assert "{urn:xmpp:bind:0}bind" in tags
        assert "{urn:xmpp:fast:0}fast" in tags
        bindings = {e.get("type") for e in offered.iter("{urn:xmpp:sasl-cb:0}channel-binding")}
        assert "tls-server-end-point" in bindings
        assert offered.find("{http://jabber.org/features/iq-register}register") is not None


def test_offers_less_where_told():
    with Prosody(sasl2=False, disabled_mechanisms=ALL_BUT_PLAIN, registration=False) as server:
        offered = features(server)
        assert [m.text for m in offered.iter(f"{SASL}mechanism")] == ["PLAIN"]
        assert offered.find(f"{SASL2}authentication") is None
        assert offered.find("{http://jabber.org/features/iq-register}register") is None
    with Prosody(disabled_mechanisms=ALL_BUT_PLAIN) as server:
        assert [m.text for m in features(server).iter(f"{SASL2}mechanism")] == ["PLAIN"]
    with Prosody(password_hash="SHA-1", disabled_mechanisms=PLUS) as server:
        offered = features(server)
        for ns in (SASL, SASL2):
            found = {m.text for m in offered.iter(f"{ns}mechanism")}
            assert {m for m in found if m.startswith("SCRAM")} == {"SCRAM-SHA-1"}


def test_server_without_tls():
    with Lab({"owner": "secret"}, tls=False) as lab:
        server = lab.server
        assert not accepts(server.c2s_tls_port)
        with socket.create_connection((server.host, server.c2s_port), timeout=20) as s:
            s.settimeout(20)
            s.sendall(HEADER.encode())
            offered = read_features(s)
        assert offered.find("{urn:ietf:params:xml:ns:xmpp-tls}starttls") is None
        assert any(m.text == "SCRAM-SHA-256" for m in offered.iter(f"{SASL}mechanism"))

        async def main():
            with pytest.raises(LabError, match="the server offers no TLS"):
                await owner_of(lab, "owner").connect()

        asyncio.run(main())


def test_server_stops_and_starts_again():
    with Lab({"owner": "secret"}) as lab:
        server = lab.server
        folder, pid, port = server.folder, server.pid, server.c2s_port
        for end in (server.stop, server.kill):
            end()
            assert not server.running and server.pid is None
            assert not Path(f"/proc/{pid}").exists()
            assert not accepts(port)
            server.start()
            pid = server.pid
        server.restart()
        assert server.c2s_port == port and accepts(port)
        pid = server.pid

        async def login():
            async with owner_of(lab, "owner"):
                pass

        asyncio.run(login())
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists() and not lab.folder.exists()


def test_kept_lab_keeps_its_files():
    with Lab(keep=True) as lab:
        pass
    try:
        assert lab.server.log.exists() and lab.ca_pem.exists()
        assert not lab.server.running
    finally:
        shutil.rmtree(lab.folder)


def test_failed_start_tells_why(tmp_path):
    lab = Lab(settings={"not a name": 1})
    with pytest.raises(LabError, match=r"Prosody of lab\.example ended with .*prosody\.cfg\.lua"):
        lab.start()
    assert not lab.folder.exists()
    with pytest.raises(LabError, match="password_hash is one of SHA-1, SHA-256"):
        Lab(password_hash="MD5")
    long = tmp_path / ("x" * 90)
    long.mkdir()
    with pytest.raises(LabError, match="too long a path: set TMPDIR"):
        Prosody(folder=long)
    assert not list(long.iterdir())


def test_server_dies_with_a_killed_parent():
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\n"
            "from host_tools.lab.prosody import Prosody\n"
            "server = Prosody().start()\n"
            "print(server.pid, server.c2s_port, server.folder, flush=True)\n"
            "time.sleep(60)",
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        pid, port, folder = parent.stdout.readline().split()
        try:
            assert accepts(int(port))
            parent.send_signal(signal.SIGKILL)
            parent.wait(20)
            assert gone(int(pid))
            assert not accepts(int(port))
        finally:
            parent.kill()
            shutil.rmtree(folder, ignore_errors=True)


# children and ports


def test_child_outlives_the_thread_that_started_it(tmp_path):
    children = []

    def start():
        children.append(Child("sleeper", ["sleep", "60"], log=tmp_path / "log"))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(20)
    child = children[0]
    try:
        time.sleep(0.2)
        assert child.running
    finally:
        assert child.stop() == -signal.SIGTERM


def test_child_log_and_end(tmp_path):
    log = tmp_path / "log"
    log.write_text("ready from an earlier run\n")
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready 7')"
    stubborn = Child(
        "stubborn",
        [sys.executable, "-u", "-c", f"{code}; import time; time.sleep(60)"],
        log=log,
    )
    try:
        assert stubborn.wait_for_line(r"ready (\d+)", 30).group(1) == "7"
        assert stubborn.output() == "ready 7\n"
        with pytest.raises(LabTimeout, match="no line with 'never' within 0.1 s: ready 7"):
            stubborn.wait_for_line("never", 0.1)
        with pytest.raises(LabTimeout, match="stubborn had not ended after 0.1 s"):
            stubborn.wait(0.1)
    finally:
        assert stubborn.stop(timeout_s=0.3) == -signal.SIGKILL
    assert not Path(f"/proc/{stubborn.pid}").exists()
    assert stubborn.stop() == -signal.SIGKILL  # once more does no harm

    short = Child("short", ["sh", "-c", "echo gone wrong; exit 3"], log=tmp_path / "other")
    with pytest.raises(LabError, match="short ended with 3 before line with 'ready': gone wrong"):
        short.wait_for_line("ready", 30)
    with pytest.raises(LabError, match="nothing does not start: .*No such file"):
        Child("nothing", [str(tmp_path / "nothing")], log=log)


def test_ports_are_leased_to_one_process(tmp_path):
    with Ports(40) as here:
        assert len(set(here.numbers)) == 40
        other = run_python(
            "import sys\n"
            "from host_tools.lab import ports\n"
            "wanted = [int(n) for n in sys.argv[1:]]\n"
            "ports.FIRST, ports.LAST = min(wanted), max(wanted)\n"
            "got = ports.Ports(1).numbers\n"
            "print(got[0] not in wanted)",
            *here.numbers,
        )
        assert other.stdout == "True\n", other.stderr
        port = here.numbers[0]
    with socket.create_server(("127.0.0.1", port)):
        assert accepts(port)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ports, "FIRST", port)
            patch.setattr(ports, "LAST", port)
            with pytest.raises(LabError, match="no 1 free ports"):
                Ports(1)
