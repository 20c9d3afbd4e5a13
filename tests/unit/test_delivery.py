"""From the outbox to the client: what is counted as arrived is what was acknowledged, whatever
fails on the way. The client here is only a queue; with real servers it is in tests/faults."""

import asyncio

from helper import temporary
from thing.clock import Clock
from thing.delivery import Delivery
from thing.outbox import Outbox


class Client:
    account = "dev@lab.example"

    def __init__(self):
        self.sessions = 1
        self.online = True
        self.sent = []  # (text, called when it is acknowledged)
        self.fail = {}  # which send raises what, after it queued (or before)

    def on(self, kind, xmlns, handler):
        pass

    def acks(self):
        return self.online

    async def send(self, el, acked=None):
        number = len(self.sent)
        error, queued = self.fail.pop(number, (None, True))
        if queued:
            self.sent.append((el.find("body").text, acked))
        if error:
            raise error


class Thing:
    def __init__(self):
        self.client = Client()
        self.clock = Clock()
        self.access = self
        self.owners = ["owner@lab.example"]
        self.timed = 1

    def fault(self, name, e):
        pass


class Box(Outbox):
    """Knows which texts are said to have arrived."""

    def __init__(self, *args):
        self.handed = []
        self.arrived = []
        super().__init__(*args)

    def next(self):
        item = super().next()
        if item:
            self.handed.append(item[1])
        return item

    def done(self):
        self.arrived.append(self.handed.pop(0))
        super().done()

    def rewind(self):
        self.handed = []
        super().rewind()


async def turns():
    for _ in range(30):
        await asyncio.sleep(0)


def scene(steps):
    folder = temporary("delivery")
    thing = Thing()

    async def main():
        box = Box(folder, print, thing.clock)
        delivery = Delivery(thing, box)
        task = asyncio.create_task(delivery.run())
        await steps(thing.client, box, delivery)
        task.cancel()
        # So little was never written
        assert not box.failures and not box._segments

    asyncio.run(main())


def acknowledge(client, number):
    for _ in range(number):
        acked = client.sent.pop(0)[1]
        if acked:
            acked()


def test_in_order_and_no_more_than_eight():
    async def steps(client, box, delivery):
        for i in range(12):
            box.keep(str(i))
        await turns()
        assert [t for t, _ in client.sent] == [str(i) for i in range(8)]
        acknowledge(client, 3)
        await turns()
        assert box.arrived == ["0", "1", "2"]
        assert [t for t, _ in client.sent] == [str(i) for i in range(3, 11)]

    scene(steps)


def test_memory_fails_before_and_after_it_is_queued():
    async def steps(client, box, delivery):
        client.fail = {2: (MemoryError(), True), 4: (MemoryError(), False)}
        for i in range(6):
            box.keep(str(i))
        # It waits a second each time before it goes on
        for _ in range(40):
            await asyncio.sleep(0.1)
            if len(client.sent) >= 7:
                break
        # The one that failed after it was queued goes twice: with the same id
        assert [t for t, _ in client.sent] == ["0", "1", "2", "2", "3", "4", "5"]
        acknowledge(client, 3)
        await turns()
        assert box.arrived == ["0", "1"], "the first of the two was forgotten"
        acknowledge(client, 4)
        await turns()
        assert box.arrived == [str(i) for i in range(6)]

    scene(steps)


def test_acks_of_another_session_say_nothing():
    async def steps(client, box, delivery):
        for i in range(4):
            box.keep(str(i))
        await turns()
        old = client.sent
        client.sent = []
        client.sessions += 1
        box.filled.set()
        await turns()
        assert [t for t, _ in client.sent] == [str(i) for i in range(4)]
        for _, acked in old:
            acked()
        await turns()
        assert box.arrived == []
        acknowledge(client, 4)
        await turns()
        assert box.arrived == [str(i) for i in range(4)]

    scene(steps)


def test_acknowledged_out_of_order_leaves_in_order():
    async def steps(client, box, delivery):
        for i in range(3):
            box.keep(str(i))
        await turns()
        client.sent[1][1]()
        await turns()
        assert box.arrived == []
        client.sent[0][1]()
        await turns()
        assert box.arrived == ["0", "1"]

    scene(steps)


def test_nothing_arrives_while_there_is_no_line():
    async def steps(client, box, delivery):
        delivery.receipt_s = 0
        box.keep("0")
        await turns()
        client.online = False
        box.keep("1")
        await turns()
        assert box.arrived == []
        assert [t for t, _ in client.sent] == ["0"]

    scene(steps)
