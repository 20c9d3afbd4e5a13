"""What `uxmpp provision` makes of servers that are broken or mean it ill: an error of one line, in
a bounded time, and no password forgotten that may be an account's."""

import asyncio
import re
import ssl
from contextlib import asynccontextmanager, suppress
from time import monotonic

import pytest

from host_tools.errors import UxmppError
from host_tools.lab.certs import Authority
from host_tools.provision import accounts, ejabberd_api, session
from host_tools.provision.accounts import AccountError, Order
from host_tools.provision.admin import Admin
from host_tools.provision.ejabberd_api import Api
from host_tools.provision.register import Registration
from host_tools.provision.session import Place, ServerError

DOMAIN = "lab.example"
HEAD = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' id='1' "
    "xmlns:stream='http://etherx.jabber.org/streams'><stream:features>"
    "<register xmlns='http://jabber.org/features/iq-register'/>"
    "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism>"
    "<inline><bind xmlns='urn:xmpp:bind:0'/></inline></authentication></stream:features>"
)
FORM = "<query xmlns='jabber:iq:register'><username/><password/></query>"
SUCCESS = "<success xmlns='urn:xmpp:sasl:2'>{}<bound xmlns='urn:xmpp:bind:0'/></success>"
IDENTITY = f"<authorization-identifier>admin@{DOMAIN}/x</authorization-identifier>"
REFUSED = (
    "<failure xmlns='urn:xmpp:sasl:2'>"
    "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def error(condition):
    xmlns = "urn:ietf:params:xml:ns:xmpp-stanzas"
    stanza = f"<{condition} xmlns='{xmlns}'/>"
    return f"<iq type='error' id='ID'><error type='cancel'>{stanza}</error></iq>"


@asynccontextmanager
async def server_of(answer, context=None):
    """A server on loopback; its port. `answer(number of the connection, text)` returns what is
    sent for what came, "" to end it; ID is that of the stanza."""
    count = 0

    async def serve(reader, writer):
        nonlocal count
        count += 1
        number = count
        try:
            while data := (await reader.read(65536)).decode():
                if not (reply := answer(number, data)):
                    break
                found = re.search(r"""\bid=["'](\w+)""", data)
                writer.write(reply.replace("ID", found[1] if found else "").encode())
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def xmpp(authority, answer):
    """The order of an account from such a server, by TLS from the first byte."""
    made = authority.issue(DOMAIN)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert_pem, made.key_pem)

    def begun(number, text):
        return HEAD if "<stream:stream" in text else answer(number, text)

    async with server_of(begun, context) as port:
        place = Place(authority.der.read_bytes(), None, "127.0.0.1", port, True, plain=True)
        yield Order(f"a@{DOMAIN}", "not hunter2", place)


async def refused(pattern, kind, method, order, forgotten=False):
    """Have it fail that way; whether the password was forgotten."""
    unmade = []
    began = monotonic()
    with pytest.raises(UxmppError, match=pattern) as caught:
        await accounts.ensure(method, order, asked=False, unmade=lambda: unmade.append(1))
    assert isinstance(caught.value, kind) and bool(unmade) == forgotten, caught.value
    assert "\n" not in str(caught.value) and order.password not in str(caught.value)
    assert monotonic() - began < 20


def test_in_band(authority):
    async def main():
        for reply, pattern, kind, forgotten in (
            (error("not-acceptable"), "refuses the registration", AccountError, True),
            # These may have made it
            (error("internal-server-error"), "fails with the registration", ServerError, False),
            (error("remote-server-timeout"), "fails with the registration", ServerError, False),
            ("", "no answer", ServerError, False),
            ("</stream:stream>", "closed the stream", ServerError, False),
            ("<iq type='set' id='ID'/>" * 99, "sends other things", ServerError, False),
            ("<iq type='result' id='x'/>" * 99, "sends other things", ServerError, False),
            ("<a/></b>", "no answer", ServerError, False),
            # Said to be made; but no login is possible
            ("<iq type='result' id='ID'/>", "not keep to the protocol", ServerError, False),
        ):

            def answer(number, text, reply=reply):
                if "<authenticate" in text:
                    return SUCCESS.format("")
                return f"<iq type='result' id='ID'>{FORM}</iq>" if "'get'" in text else reply

            async with xmpp(authority, answer) as order:
                await refused(pattern, kind, Registration(), order, forgotten)

    asyncio.run(main())
    with pytest.raises(ServerError, match="nothing to know the server by"):
        Place(None, None)


def test_administrator_whose_line_is_cut(authority):
    """The account may be there, whatever the second try says."""

    def answer(number, text):
        if "<authenticate" in text:
            return SUCCESS.format(IDENTITY) if number == 1 else REFUSED
        status = "executing" if "'execute'" in text else "completed"
        if status == "completed" and "b@lab" in text:
            return ""
        return (
            f"<iq type='result' id='ID' from='{DOMAIN}'><command status='{status}' sessionid='1' "
            "xmlns='http://jabber.org/protocol/commands'><x xmlns='jabber:x:data' type='form'>"
            "<field var='accountjid'/><field var='password'/></x></command></iq>"
        )

    async def main():
        async with xmpp(authority, answer) as order:
            admin = Admin(f"admin@{DOMAIN}", "x")
            await admin.create(order)
            second = Order(f"b@{DOMAIN}", order.password, order.place)
            await refused("no answer", ServerError, admin, second)
            third = Order(f"c@{DOMAIN}", order.password, order.place)
            await refused("the administrator's password", AccountError, admin, third, True)

    asyncio.run(main())


def test_api(monkeypatch):
    def http(status, body="", more=""):
        return f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{more}\r\n{body}"

    async def main():
        place = Place(None, "0" * 64)
        order = Order(f"a@{DOMAIN}", "not hunter2", place, "a token")
        assert "hunter" not in repr(order) and "token" not in repr(order)
        for reply, pattern, kind, forgotten in (
            (http(400, "[" * 65000), r"refuses it \(400\): \[", AccountError, True),
            # The password goes nowhere else
            (http(307, more="Location: http://localhost:1/\r\n"), r"\(307\)", AccountError, True),
            # It, or a proxy: the account may be there
            (http(502), r"fails \(502\)", ServerError, False),
            (http(500, '{"message": "a\\u001b[2J\\nb"}'), r": a \[2J b$", ServerError, False),
            ("x" * 70000, "no answer", ServerError, False),
            ("", "no answer", ServerError, False),
        ):
            async with server_of(lambda number, text, reply=reply: reply) as port:
                api = Api(f"http://127.0.0.1:{port}/api")
                await refused(pattern, kind, api, order, forgotten)
        # No certificate, no name: of one line, too
        bad = Order(order.jid, order.password, Place(b"\x30\x82\0\5\x30" + bytes(4), None))
        await refused("no answer", ServerError, Api("https://localhost:1/api"), bad)
        await refused("no answer", ServerError, Api(f"https://{'a' * 64}.example/api"), order)
        # An answer without an end, a piece at a time
        monkeypatch.setattr(ejabberd_api, "ANSWER_S", 0.3)

        async def drip(reader, writer):
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while not writer.transport.is_closing():
                writer.write(b"A: b\r\n")
                await asyncio.sleep(0.05)

        async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            began = monotonic()
            with suppress(ServerError):  # else a login would show it
                await Api(f"http://127.0.0.1:{port}/api").create(order)
            assert monotonic() - began < 10

    asyncio.run(main())
    for url in ("ann:secret@localhost/api", "https://ann:secret@[x/api", "https://x/api?secret"):
        with pytest.raises(UxmppError, match="no secrets") as caught:
            Api(url)
        assert "secret@" not in str(caught.value)


def test_silence(authority, monkeypatch):
    """Whoever says nothing is waited for for so long, and no longer."""
    monkeypatch.setattr(session, "ANSWER_S", 0.5)

    async def main():
        async with xmpp(authority, lambda number, text: " ") as order:
            await refused("no answer: it is silent", ServerError, Registration(), order)

    asyncio.run(main())
