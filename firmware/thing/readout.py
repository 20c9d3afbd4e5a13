"""Readouts (XEP-0323): loaded when there is one."""

import asyncio

from uxmpp import __version__
from uxmpp.client import StanzaError
from uxmpp.xml import Element

from .clock import parse, stamp
from .fields import XMLNS, field, put, when
from .registry import Command, Entry, Sensor

# Periods in the names of field types, the longest first. All begin with the first Monday, in UTC
# (what is longer is shown by the day)
_PERIODS = (
    ("Week", 604800), ("Day", 86400), ("Hour", 3600), ("Minute", 60), ("Second", 1),
    ("Other", 1), ("", 1),
)  # fmt: skip
_MONDAY = 345600


async def answer(iot, stanza, req, asker):
    """What to answer `asker` on <req/> or <cancel/>; the readout itself goes on by itself. Raises
    StanzaError."""
    thing = iot.thing
    seqnr = req.get("seqnr") or ""
    if not 0 < len(seqnr) < 12 or seqnr.strip("-0123456789"):
        raise StanzaError("bad-request", "modify", "seqnr must be a number")
    jobs = iot.readouts
    same = [job for job in jobs if job[0] == asker.jid and job[1] == seqnr]
    if req.name == "cancel":
        if not same:
            raise StanzaError("item-not-found", "cancel", "no such readout")
        same[0][0] = None
        return Element("cancelled", XMLNS, {"seqnr": seqnr})
    if req.name != "req" or req.get("when"):
        raise StanzaError("feature-not-implemented", "cancel", "no readouts at a later time")
    now = thing.clock.now()
    if now is None:
        raise StanzaError("unexpected-request", "wait", "the time is not known yet")
    try:
        since = parse(req.get("from") or "1970-01-01T0:0:0")
        until = parse(req.get("to") or stamp(now))
    except ValueError as e:
        raise StanzaError("bad-request", "modify", str(e))
    names = [el.get("name") for el in req.elements() if el.name == "field"]
    types = [k for k, v in req.attrs.items() if v in ("true", "1") and k != "seqnr"]
    types = types or ["momentary"]
    every = "all" in types
    # A slot of the history is asked for each so many seconds
    step = 86400 if [t for t in types if t.startswith("historical")] else 0
    for name, size in _PERIODS:
        if every or "historical" + name in types:
            step = size
    plan = []  # (entry, field type or None, step)
    for name, value, unit, t in (
        ("Name", thing.config["name"], "", "identity"),
        ("Firmware", "uxmpp " + __version__, "", "identity"),
        ("Uptime", thing.clock.uptime_s(), "s", "status"),
        ("Faults", thing.faults, "", "status"),
    ):
        if every or t in types:
            plan.append((Entry(name, {"value": value, "unit": unit}), t, 0))
    for e in thing.registry.entries:
        # What a command said may not be for everybody
        if e.builtin or isinstance(e, Command) and not thing.may(e, asker):
            continue
        # Of what is not asked for by name, only what there is
        if names or isinstance(e, Sensor) or e.value is not None:
            if every or "momentary" in types:
                plan.append((e, "momentary", 0))
        if step and "history" in thing.surfaces and getattr(e, "keep", None):
            plan.append((e, None, step))
    plan = [p for p in plan if not names or p[0].name in names]
    if not plan:
        raise StanzaError("item-not-found", "cancel", "no such field")
    if same or len(jobs) >= iot.max_readouts + (asker.rank > 2):
        raise StanzaError("resource-constraint", "wait", "another readout is not done yet")
    jobs.append([asker.jid, seqnr, asker, plan, since, until])
    if len(jobs) == 1:
        iot.task = asyncio.create_task(_run(iot))
    return Element("accepted", XMLNS, {"seqnr": seqnr})


async def _run(iot):
    jobs = iot.readouts
    try:
        while jobs:
            try:
                await _read(iot, jobs[0], *jobs[0][1:])
            except (OSError, asyncio.TimeoutError):  # cancelled, or there is no line any more
                pass
            except Exception as e:
                iot.thing.fault("readout", e)
            jobs.pop(0)
    finally:
        jobs.clear()
        iot.task = None
        iot.forget()


async def _read(iot, job, seqnr, asker, plan, since, until):
    thing = iot.thing
    clock = thing.clock
    node = thing.config["name"]
    errors = []
    out = Element("fields", XMLNS, {"seqnr": seqnr})
    count = 0

    async def send():
        if not job[0] or not asker.rank:
            raise OSError
        client = thing.client
        message = Element("message", None, {"to": asker.jid}, [out])
        if not client.acks():
            await client.send(message)
            return
        done = asyncio.Event()
        await client.send(message, done.set)
        await asyncio.wait_for(done.wait(), iot.send_timeout_s)

    async def add(at, made):
        nonlocal out, count
        name = "fields" if at else "failure"
        if count == iot.max_fields or out.name != name:
            if count:
                await send()
            out = Element(name, XMLNS, {"seqnr": seqnr})
            count = 0
        count += 1
        if at:
            put(out, node, at, made)
        else:
            out.children.append(made)

    for e, t, step in plan:
        if t:
            await thing.read(e)
            made = field(e, e.value, (t,), thing.may(e, asker) if e.role else None)
            if made:
                await add(when(thing, e), made)
            else:
                errors.append("{}: {}".format(e.name, e.state())[: iot.max_text])
            continue
        # The slot that is not over yet is left out
        end = min(until, clock.now() - e.keep) + 1
        for at, mean, _, _ in thing.surfaces["history"].recall(e.name, since, end):
            if (at - _MONDAY) % step == 0:
                name = [name for name, size in _PERIODS if (at - _MONDAY) % size == 0][0]
                await add(at, field(e, mean, ("historical" + name, "computed")))
            await asyncio.sleep(0)
    # Some clients (slixmpp) take a failure for the end, and know no other end than `done`
    for text in errors:
        attrs = {"nodeId": node, "timestamp": stamp(clock.now())}
        await add(None, Element("error", XMLNS, attrs, [text]))
    out.attrs["done"] = "true"
    await send()
