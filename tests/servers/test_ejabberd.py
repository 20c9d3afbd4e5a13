"""The lab's ejabberd, and what both servers do when told to offer less, or to forget."""

import asyncio
import base64
import hashlib
import hmac
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from host_tools.lab import ejabberd_program
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab
from host_tools.lab.ports import accepts
from host_tools.lab.prosody import Prosody
from host_tools.lab.prosody_config import ALL_BUT_PLAIN

from .test_lab import HEADER, NAMES, REPOSITORY, SASL2, features, gone, owner_of

FAST = "{urn:xmpp:fast:0}"
BIND2 = "{urn:xmpp:bind:0}"
SM = "{urn:xmpp:sm:3}"
SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
MECHANISM = "HT-SHA-256-NONE"
INLINE = (
    "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
    "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>"
)
TOKEN_REQUEST = f"<request-token xmlns='urn:xmpp:fast:0' mechanism='{MECHANISM}'/>"


# One worker starts it for all: that takes seconds
pytestmark = pytest.mark.xdist_group("ejabberd")


@pytest.fixture(scope="module")
def lab():
    with Lab(NAMES, server=Ejabberd) as lab:
        yield lab


def login(lab, password, user="owner"):
    async def main():
        async with owner_of(lab, user, password=password):
            pass

    asyncio.run(main())


def authenticate(server, mechanism, initial, inline):
    """Open a stream with an SASL2 login in its first write; return what answers that."""
    context = ssl.create_default_context(cafile=server.authority.pem)
    with (
        socket.create_connection((server.host, server.c2s_tls_port), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname=server.domain) as s,
    ):
        response = base64.b64encode(initial).decode()
        s.sendall(
            f"{HEADER}<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'>"
            f"<initial-response>{response}</initial-response>{INLINE}{inline}"
            "</authenticate>".encode()
        )
        parser = ET.XMLPullParser(["end"])
        while True:
            got = s.recv(4096)
            assert got, "the stream ended before an answer"
            parser.feed(got)
            for _, element in parser.read_events():
                if element.tag in (f"{SASL2}success", f"{SASL2}failure"):
                    return element


def new_token(server, password):
    """Log in by PLAIN and return a token of FAST."""
    plain = b"\0owner\0" + password.encode()
    success = authenticate(server, "PLAIN", plain, TOKEN_REQUEST)
    assert success.find(f".//{SM}enabled") is not None
    return success.find(f"{FAST}token").get("token")


def knows(server, token):
    """Whether a login by `token` succeeds; it must not fail otherwise than as unknown."""
    proof = hmac.digest(token.encode(), b"Initiator", hashlib.sha256)
    answer = authenticate(server, MECHANISM, b"owner\0" + proof, "<fast xmlns='urn:xmpp:fast:0'/>")
    if answer.tag == f"{SASL2}failure":
        assert answer.find(f"{SASL}not-authorized") is not None
    return answer.tag == f"{SASL2}success"


def descendants(pid):
    """The process ids of all that `pid` has started, and so on."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(pid, [])
    for child in found:
        found.extend(children.get(child, []))
    return found


def listeners(pid):
    """The local addresses, as the kernel writes them, on which `pid` listens or gets UDP."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(fd.readlink()))
        except OSError:
            continue
    found = set()
    for kind, states in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", {"07"}), ("udp6", {"07"})):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] in states and f"socket:[{fields[9]}]" in inodes:
                found.add((kind, fields[1]))
    return found


@pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])
def test_two_owners_talk(lab, direct_tls):
    async def main():
        async with (
            owner_of(lab, "owner", direct_tls) as owner,
            owner_of(lab, "greenhouse", direct_tls) as greenhouse,
        ):
            await greenhouse.say(lab.jid("owner"), "to whom? <&>")
            assert (await owner.next_message(lab.jid("greenhouse"))).body == "to whom? <&>"
            await owner.say(lab.jid("greenhouse"), "x" * 300_000)
            assert len((await greenhouse.next_message()).body) == 300_000

    asyncio.run(main())


def test_presence_and_requests(lab):
    async def main():
        async with owner_of(lab, "owner") as owner, owner_of(lab, "greenhouse") as greenhouse:
            await owner.subscribe(lab.jid("greenhouse"))
            greenhouse.client.send_presence(pstatus="21.5 °C")
            await owner.presence(lab.jid("greenhouse"), lambda p: p.status == "21.5 °C")
            for payload in (
                "<ping xmlns='urn:xmpp:ping'/>",
                "<time xmlns='urn:xmpp:time'/>",
                "<query xmlns='jabber:iq:version'/>",
                "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            ):
                assert (await owner.iq(lab.domain, payload)).get("type") == "result"

    asyncio.run(main())


def test_what_came_meanwhile_is_kept(lab):
    async def main():
        async with owner_of(lab, "owner") as owner:
            node = (
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item id='1'>"
            )
            item = f"{node}<x xmlns='urn:example:x'/></item></publish></pubsub>"
            assert (await owner.iq(None, item, "set")).get("type") == "result"
            await owner.say(lab.jid("greenhouse"), "while you were out")
            archive = "<query xmlns='urn:xmpp:mam:2'/>"
            assert (await owner.iq(None, archive, "set")).get("type") == "result"
        async with owner_of(lab, "greenhouse") as greenhouse:
            assert (await greenhouse.next_message()).body == "while you were out"

    asyncio.run(main())


def test_offers(lab):
    offered = features(lab.server)
    assert {m.text for m in offered.iter(f"{SASL}mechanism")} >= {"PLAIN", "SCRAM-SHA-256"}
    sasl2 = offered.find(f"{SASL2}authentication")
    assert {f"{BIND2}bind", f"{SM}sm", f"{FAST}fast"} <= {e.tag for e in sasl2.iter()}
    assert MECHANISM in {m.text for m in sasl2.iter(f"{FAST}mechanism")}


def test_passwords(lab):
    server = lab.server
    assert server.add_account("guest", "first") == "guest@lab.example"
    owner = owner_of(lab, "guest", password="wrong")
    with pytest.raises(LabError, match="the login was refused"):
        asyncio.run(owner.connect())
    server.add_account("guest", "second")

    async def main():
        with pytest.raises(LabError, match="the login was refused"):
            await owner_of(lab, "guest", password="first").connect()
        async with owner_of(lab, "guest", password="second"):
            pass

    asyncio.run(main())
    server.delete_account("guest")
    with pytest.raises(LabError, match="the login was refused"):
        asyncio.run(owner_of(lab, "guest", password="second").connect())
    with pytest.raises(LabError, match="command register failed: Can't register user no user@.*"):
        server.add_account("no user@", "x")


def test_stops_starts_forgets_and_leaves_nothing(lab):
    server = lab.server
    port = server.c2s_port
    server.add_account("guest", "new")
    token = new_token(server, NAMES["owner"])
    pid = server.pid
    helpers = descendants(pid)
    assert helpers
    server.kill()
    assert not server.running and server.pid is None and not accepts(port)
    assert all(gone(p) for p in (pid, *helpers))
    server.start()
    assert knows(server, token)
    login(lab, "new", "guest")
    server.restart()
    assert server.c2s_port == port and knows(server, token)
    server.forget()
    assert not knows(server, token)
    login(lab, NAMES["owner"])
    # What was written just before it was killed is forgotten too
    token = new_token(server, NAMES["owner"])
    server.kill()
    server.forget()
    assert not server.running
    server.add_account("owner", "another")
    server.start()
    assert not knows(server, token)
    login(lab, "another")
    server.add_account("owner", NAMES["owner"])
    assert knows(server, new_token(server, NAMES["owner"]))


def test_side_by_side_on_loopback_only_and_offering_less(lab):
    with Ejabberd(
        domain="other.example", sm=False, fast=False, disabled_mechanisms=ALL_BUT_PLAIN
    ) as server:
        assert lab.server.running
        ports = {server.c2s_port, server.c2s_tls_port, server.http_port, server.https_port}
        assert listeners(server.pid) == {("tcp", f"0100007F:{port:04X}") for port in ports}
        other = HEADER.replace("lab.example", "other.example")
        offered = features(server, other)
        sasl2 = offered.find(f"{SASL2}authentication")
        tags = {e.tag for e in sasl2.iter()}
        assert f"{BIND2}bind" in tags and not tags & {f"{SM}sm", f"{FAST}fast"}
        assert "urn:xmpp:sm:3" not in {e.get("var") for e in sasl2.iter()}
        assert {m.text for m in sasl2.iter(f"{SASL2}mechanism")} & set(ALL_BUT_PLAIN) == set()
        pids = [server.pid, *descendants(server.pid)]
    assert all(gone(pid) for pid in pids)
    assert not server.folder.exists()


def test_failed_start_tells_why():
    lab = Lab(server=Ejabberd, settings={"not a name": 1})
    with pytest.raises(
        LabError, match=r"ejabberd of lab\.example ended with 1 .*Unknown option: not a name"
    ):
        lab.start()
    assert not lab.folder.exists()
    with pytest.raises(LabError, match="password_hash is one of SHA-1, SHA-256"):
        Ejabberd(password_hash="MD5")


def test_dies_with_a_killed_parent():
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\n"
            "from host_tools.lab.ejabberd import Ejabberd\n"
            "server = Ejabberd().start()\n"
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
            helpers = descendants(int(pid))
            assert helpers and accepts(int(port))
            parent.send_signal(signal.SIGKILL)
            parent.wait(20)
            assert all(gone(p) for p in (pid, *helpers))
            assert not accepts(int(port))
        finally:
            parent.kill()
            shutil.rmtree(folder, ignore_errors=True)


def test_installed_one_is_taken_if_it_is_fit(tmp_path, monkeypatch):
    for name in ("erl", "ejabberdctl"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nERL_LIBS='{tmp_path}'\n")
        program.chmod(0o755)
    app = tmp_path / "ejabberd-1/ebin/ejabberd.app"
    app.parent.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for version, taken in (("23.10", False), ("24.12-3+deb13u2", True), ("25.3", True)):
        app.write_text(f'{{application,ejabberd,[{{vsn,"{version}"}}]}}.')
        ejabberd_program.find.cache_clear()
        try:
            found = ejabberd_program.find()
        finally:
            ejabberd_program.find.cache_clear()
        assert (found.prefix is None) == taken
        assert not taken or found.erl[0] == str(tmp_path / "erl")


# Prosody


def test_prosody_forgets():
    with Lab(NAMES) as lab:
        token = new_token(lab.server, NAMES["owner"])
        lab.server.restart()
        assert knows(lab.server, token)
        lab.server.forget()
        assert lab.server.running and not knows(lab.server, token)
        login(lab, NAMES["owner"])


@pytest.mark.parametrize("less", ["sasl2", "sm", "fast"])
def test_prosody_offers_less(less):
    tags = {"sasl2": f"{SASL2}authentication", "sm": f"{SM}sm", "fast": f"{FAST}fast"}
    with Prosody(**{less: False}) as server:
        found = {e.tag for e in features(server).iter()}
    # Stream management and tokens are offered within SASL2
    missing = set(tags) if less == "sasl2" else {less}
    assert {name for name, tag in tags.items() if tag not in found} == missing
