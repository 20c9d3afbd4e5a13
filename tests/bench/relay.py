"""A TCP relay on loopback that counts bytes and round trips."""

import asyncio
from dataclasses import dataclass

# Each way. What one side sends in one go then arrives in one go, so that a change of the
# direction is a wait for the other side and not a matter of luck.
DELAY_S = 0.03


@dataclass
class Count:
    """Bytes from the client (`up`) and to it (`down`), and how often it waited for an answer."""

    up: int = 0
    down: int = 0
    round_trips: int = 0


class Relay:
    """`async with Relay(host, port) as relay:`; `port` leads there, `count` counts."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_up = False
        self.count = Count()

    async def __aenter__(self) -> "Relay":
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            try:
                await asyncio.gather(
                    self._pump(reader, far_writer, up=True),
                    self._pump(far_reader, writer, up=False),
                )
            finally:
                far_writer.close()
        except (OSError, asyncio.CancelledError):
            pass  # a client that leaves without a word is what is measured
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - loop.time())
                if not data:
                    writer.close()
                    return
                if not up:
                    self._last_up = False  # now the client can have waited for it
                writer.write(data)
                await writer.drain()

        delivery = asyncio.create_task(deliver())
        try:
            data = b"start"
            while data:
                data = await reader.read(65536)
                self._counted(len(data), up)
                queue.put_nowait((loop.time() + DELAY_S, data))
            await delivery
        finally:
            delivery.cancel()

    def _counted(self, size: int, up: bool) -> None:
        if not size:
            return
        if up:
            self.count.up += size
            self.count.round_trips += not self._last_up
            self._last_up = True
        else:
            self.count.down += size
