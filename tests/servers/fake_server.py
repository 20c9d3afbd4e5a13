"""A server that is not what it seems: a real one, and somebody in between who has its key."""

import asyncio
import ssl

#: Bytes taken at a time, more than a TLS record.
CHUNK = 1 << 16
#: How long a side may take to answer the end of TLS.
LINGER_S = 0.2


class Line:
    """One client's connection, in plaintext: `said` is (whether it went up, bytes) of each piece,
    in order. What came up is there as it came, what went down as it was handed on."""

    def __init__(self, number):
        self.number = number
        self.said = []

    def up(self):
        """All that the client said."""
        return b"".join(data for up, data in self.said if up)

    def down(self):
        """All that it was told."""
        return b"".join(data for up, data in self.said if not up)

    def bursts(self):
        """What the client said between two answers: a list of lists of pieces."""
        found = []
        was_up = False
        for up, data in self.said:
            if up:
                if not was_up:
                    found.append([])
                found[-1].append(data)
            was_up = up
        return found

    def bursts_before(self, word):
        """As bursts(), up to the answer with `word` in it; None where there is none yet."""
        for i, (up, data) in enumerate(self.said):
            if not up and word in data:
                part = Line(self.number)
                part.said = self.said[:i]
                return part.bursts()
        return None


class Between:
    """`async with Between(lab) as between:` listens at `host`:`port` for direct TLS and hands on
    to the lab's server, whose certificate it shows. `lines` are the connections so far.

    `change(line, up, data)` returns what becomes of a piece: bytes to hand on, or None to end the
    connection; an `answer` of its own goes by line.answer(data).
    """

    def __init__(self, lab, change=None):
        self.lines = []
        self._lab = lab
        self._change = change or (lambda line, up, data: data)
        self._tasks = set()

    async def __aenter__(self):
        server = self._lab.server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.certificate.cert_pem, server.certificate.key_pem)
        context.num_tickets = 0  # nobody resumes TLS here, and they would look like an answer
        self._server = await asyncio.start_server(self._serve, server.host, 0, ssl=context)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self):
        """End all connections."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        line = Line(len(self.lines))
        self.lines.append(line)
        far_writer = None
        try:
            server = self._lab.server
            context = ssl.create_default_context(cafile=self._lab.ca_pem)
            far, far_writer = await asyncio.open_connection(
                server.host, server.c2s_tls_port, ssl=context, server_hostname=server.domain
            )

            def answer(data):
                line.said.append((False, data))
                writer.write(data)

            line.answer = answer
            ways = (self._carry(line, True, reader, far_writer),)
            ways += (self._carry(line, False, far, writer),)
            both = [asyncio.create_task(way) for way in ways]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in both:
                    way.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except asyncio.CancelledError:
            writer.transport.abort()
        except OSError:
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, far_writer):
                if end:
                    _end(end)

    async def _carry(self, line, up, reader, writer):
        while data := await reader.read(CHUNK):
            if up:
                line.said.append((up, data))
            data = self._change(line, up, data)
            if data is None:
                return
            if data and not up:
                line.said.append((up, data))
            writer.write(data)
            await writer.drain()


def _end(writer):
    # With what is under way, and soon: asyncio would wait for half a minute
    writer.close()
    asyncio.get_running_loop().call_later(LINGER_S, writer.transport.abort)
