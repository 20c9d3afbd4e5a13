"""What a program sees of umqtt: each scenario prints what came of it, a line of JSON.

It runs on MicroPython and CPython with the package `umqtt` that is on the path. The file that it
is given names the scenarios (a function `see_X(t)` each, which returns what it saw; `t` is a
topic that only it uses) and says how a client is constructed. What the program cannot do itself,
the faults of the network, it asks for by a line, and reads one when it is done: see helper.py.

There are two clients, `a` and `b`, which go on from scenario to scenario.
"""

# ruff: noqa: PTH123
import binascii
import gc
import json
import sys
import time

from umqtt import robust, simple

try:
    import usocket as socket
except ImportError:
    import socket

#: How long it waits for what should come, and between two looks.
LIMIT_MS = 20000
LOOK_S = 0.002

if hasattr(time, "ticks_ms"):
    ticks_ms, ticks_diff = time.ticks_ms, time.ticks_diff
else:

    def ticks_ms():
        return int(time.monotonic() * 1000)

    def ticks_diff(end, start):
        return end - start


clients = {}  # those that are connected
kept = {}
said = []


def main():
    global config
    with open(sys.argv[1]) as f:
        config = json.load(f)
    if config["eager"]:
        simple.socket = Eager
    for module, name, attribute, value in config["tune"]:
        __import__(module)
        module = sys.modules[module]
        setattr(getattr(module, name) if name else module, attribute, value)
    for name in config["scenarios"]:
        said.clear()
        gc.collect()
        start = ticks_ms()
        try:
            saw = globals()["see_" + name](b"u/" + name.encode())
        except Exception as e:
            saw = {"failed": why(e)}
            sys.stderr.write(name + ":\n")
            trace(e)
            for role in ("a", "b"):
                drop(role)
                control("heal", role)
        ms = ticks_diff(ticks_ms(), start)
        print(json.dumps({"scenario": name, "saw": saw, "said": said, "ms": ms}))
    drop("a")
    drop("b")


def trace(e):
    if hasattr(sys, "print_exception"):
        sys.print_exception(e, sys.stderr)
    else:
        import traceback

        traceback.print_exception(e)


class Eager:
    """The module `socket` for upstream, whose packets are written in pieces: none of them waits
    for the acknowledgement of the one before, which takes 40 ms."""

    getaddrinfo = socket.getaddrinfo

    @staticmethod
    def socket():
        s = socket.socket()
        s.setsockopt(6, 1, 1)  # TCP_NODELAY
        return s


# What scenarios are made of


def control(*words):
    """Have the network do it: see helper.py."""
    print(json.dumps({"control": words}))
    if sys.stdin.readline() != "done\n":
        raise ValueError("the network does not do it")


def make(role, kind=simple, changes=()):
    """A client that is not connected; `changes` are (number of the argument, value)."""
    args = list(config["clients"][role])
    for number, value in changes:
        args[number] = value
    return kind.MQTTClient(*args)


def fresh(role, clean=True, kind=simple):
    """A client with a new connection, in place of the one there was."""
    drop(role)
    # No more of them than need be: each takes memory anew, in pieces
    c = kind == simple and kept.get(role)
    if not c:
        c = make(role, kind)
        if kind == simple:
            kept[role] = c
    c.connect(clean)
    clients[role] = c
    return c


def use(role):
    """The client there is, or a new one."""
    return clients.get(role) or fresh(role)


def drop(role):
    c = clients.pop(role, None)
    if c:
        outcome(c.disconnect)  # it may have gone before


def text(data):
    """Bytes for people to compare: text where they are, else hex."""
    try:
        return data.decode()
    except UnicodeError:
        return "hex:" + binascii.hexlify(data).decode()


def listen(c, t, once=False):
    """A list to which it adds [topic without `t`, payload] from now on, of topics with `t`; with
    `once` not what is there."""
    got = []

    def heard(topic, msg):
        if t in topic:
            came = [text(topic.replace(t, b"", 1)), text(msg)]
            if not (once and came in got):
                got.append(came)

    c.set_callback(heard)
    return got


def take(c, got, number, cuts=None):
    """`got`, when it has so many or the time is over. `cuts` is a list of the OSErrors after which
    it connected again; without one they are not expected."""
    start = ticks_ms()
    while len(got) < number and ticks_diff(ticks_ms(), start) < LIMIT_MS:
        if cuts is None:
            c.check_msg()
        else:
            again(c, cuts, c.check_msg)
        if len(got) < number:
            time.sleep(LOOK_S)
    return got


def rest(c, got, by, t):
    """What came until a last message, that `by` sends: `c` is subscribed to it."""
    by.publish(t + b"/end", b"end")
    start = ticks_ms()
    while ["/end", "end"] not in got:
        c.check_msg()
        if ticks_diff(ticks_ms(), start) > LIMIT_MS:
            got.append("no end")
            break
        time.sleep(LOOK_S)
    else:
        got.remove(["/end", "end"])
    return got


def again(c, cuts, call, *args):
    """Call it until there is no OSError, and connect() before each further time."""
    lost = False
    while True:
        try:
            if lost:
                c.connect(False)
            return call(*args)
        except OSError as e:
            cuts.append(why(e))
            if len(cuts) > 50:
                raise
            if lost:
                time.sleep(0.02)
            lost = True


def why(e):
    """[class, code] of an exception; what it says is noted."""
    said.append(type(e).__name__ + ": " + str(e))
    if isinstance(e, simple.MQTTException):
        return ["MQTTException", e.args[0]]
    return ["OSError" if isinstance(e, OSError) else type(e).__name__]


def outcome(call, *args):
    """What it returns, or [class, code] of what it raises."""
    try:
        return call(*args)
    except Exception as e:
        return why(e)


# Topics: the first ones, for all topics there are match here


def see_topic_70k(t):
    c = fresh("b")
    topic = b"t" * 70000
    saw = outcome(c.publish, topic, b"x")
    del topic
    gc.collect()
    return {"publish": saw, "after": outcome(c.publish, t, b"x", False, 1)}


def see_hash(t):
    b = fresh("b")
    b.publish(t + b"/x", b"old")
    b.publish(b"$" + t, b"old", False, 1)
    a = fresh("a")
    got = listen(a, t)
    a.subscribe(b"#")
    a.subscribe(t + b"/end")
    b.publish(t + b"/x", b"1")
    b.publish(b"$" + t, b"hidden")
    saw = {"got": rest(a, got, b, t)}
    a = fresh("a")
    got = listen(a, t)
    a.subscribe(b"$u/#")
    b.publish(b"$" + t, b"seen")
    saw["named"] = list(take(a, got, 1))
    drop("a")
    return saw


def see_plus_first(t):
    b = use("b")
    topics = [t + b"/x", b"/" + t + b"/x", b"$" + t + b"/x", t + b"/x/y", t]
    for topic in topics:
        b.publish(topic, b"old", False, 1)
    a = fresh("a")
    got = listen(a, t)
    a.subscribe(b"+/plus_first/x")
    a.subscribe(t + b"/end")
    for topic in topics:
        b.publish(topic, topic)
    saw = {"got": rest(a, got, b, t)}
    drop("a")
    return saw


def see_wildcards(t):
    saw = {}
    a, b = use("a"), use("b")
    for filter, topics in (
        (b"/0/#", (b"/0", b"/0/x", b"/0/x/y", b"/0x", b"/0/")),
        (b"/1/+", (b"/1", b"/1/x", b"/1/x/y", b"/1/")),
        (b"/2/+/z", (b"/2/x/z", b"/2//z", b"/2/z", b"/2/x/y/z")),
        (b"/3/+/#", (b"/3/x", b"/3/x/y", b"/3")),
        (b"/4/+/+", (b"/4/x/y", b"/4/x", b"/4//")),
    ):
        for topic in topics:
            b.publish(t + topic, b"old", False, 1)
        got = listen(a, t)
        a.subscribe(t + filter)
        a.subscribe(t + b"/end")
        for topic in topics:
            b.publish(t + topic, b"")
        saw[text(filter)] = [one[0] for one in rest(a, got, b, t)]
    drop("a")
    return saw


def see_new_topic(t):
    a, b = fresh("a"), use("b")
    got = listen(a, t)
    a.subscribe(t + b"/#")
    b.publish(t + b"/made/later", b"1")
    saw = {"first": list(take(a, got, 1))}
    b.publish(t + b"/made/later", b"2")
    saw["then"] = list(take(a, got, 2))
    drop("a")
    return saw


def see_overlapping(t):
    a, b = fresh("a"), use("b")
    b.publish(t + b"/x", b"old", False, 1)
    got = listen(a, t)
    a.subscribe(t + b"/+")
    a.subscribe(t + b"/x")
    a.subscribe(t + b"/end")
    b.publish(t + b"/x", b"1")
    saw = {"got": rest(a, got, b, t)}
    drop("a")
    return saw


def see_retained_wildcard(t):
    a, b = fresh("a"), use("b")
    for name in (b"/1", b"/2", b"/3"):
        b.publish(t + name, name, True, 1)
    got = listen(a, t)
    a.subscribe(t + b"/+")
    saw = {"got": sorted(take(a, got, 3))}
    drop("a")
    return saw


def see_odd_topics(t):
    a, b = use("a"), use("b")
    got = listen(a, t)
    a.subscribe(t + b"/end")
    for topic in (
        t + b"/two words ",
        b" " + t,
        b"/" + t,
        t + b"/",
        t + b"//x",
        b"/" + t + b"/%41/%/%2F%zz",
        t + b"/\"'<&>",
        t + b"/a@b.example/r",
        t + b"/x=1;y,z|{}[]\\^`~*?!:.-_",
        t + b"/UPPER/upper",
        t + b"/" + b"long" * 50,
    ):
        a.subscribe(topic[:122])
        b.publish(topic[:122], b"1")
    return {"got": rest(a, got, b, t)}


def see_case(t):
    a, b = use("a"), use("b")
    got = listen(a, t)
    a.subscribe(t + b"/end")
    a.subscribe(t + b"/x")
    b.publish(t + b"/X", b"other")
    b.publish(t + b"/x", b"same")
    return {"got": rest(a, got, b, t)}


def see_long_topic(t):
    # Longer than subscribe() of upstream can say
    a, b = use("a"), use("b")
    got = listen(a, t)
    topic = t + b"/" + b"long" * 30
    try:
        a.subscribe(t + b"/end")
        b.publish(topic, b"1", False, 1)
        saw = {"subscribe": outcome(a.subscribe, topic)}
        b.publish(topic, b"2")
        saw["got"] = outcome(rest, a, got, b, t)
    finally:
        drop("a")
    return saw


# Messages


def see_ordering(t):
    a, b = use("a"), use("b")
    got = listen(a, t)
    for i in range(3):
        a.subscribe(t + b"/" + str(i).encode())
    for i in range(30):
        b.publish(t + b"/" + str(i % 3).encode(), str(i))
    saw = {"got": list(take(a, got, 30))}
    got.clear()
    for i in range(6):
        b.publish(t + b"/" + str(i % 3).encode(), str(i), False, i % 2)
    saw["mixed"] = list(take(a, got, 6))
    return saw


def see_own(t):
    a, b = use("a"), use("b")
    got, others = listen(a, t), listen(b, t)
    a.subscribe(t)
    b.subscribe(t)
    a.publish(t, b"from a")
    take(a, got, 1)
    take(b, others, 1)
    b.publish(t, b"from b", False, 1)
    return {"a": take(a, got, 2), "b": take(b, others, 2)}


def see_qos(t):
    a, b = use("a"), use("b")
    got = listen(a, t)
    a.subscribe(t + b"/0", 0)
    a.subscribe(t + b"/1", 1)
    saw = {"returned": [b.publish(t + b"/0", b"0"), b.publish(t + b"/0", b"1", qos=1)]}
    saw["returned"] += [b.publish(t + b"/1", b"0"), b.publish(t + b"/1", b"1", qos=1)]
    saw["got"] = take(a, got, 4)
    return saw


def see_payloads(t):
    a, b = use("a"), use("b")
    got = []
    a.set_callback(lambda topic, msg: got.append(binascii.hexlify(msg).decode()))
    a.subscribe(t)
    payloads = [
        b"",
        b"\0",
        bytes(range(256)),
        b"\xff\xfe",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x8c\xa1 \xc2\xb0C",
        b"\xef\xbf\xbf\xef\xbf\xbe",
        b"<&>\"']]>&amp;",
        b" \t\r\n two  spaces \r\n",
        b'{"temperature": 21.5}',
        b"21.5",
        b"true",
    ]
    for i in range(len(payloads)):
        b.publish(t, payloads[i], False, i & 1)
    take(a, got, len(payloads))
    return {"hex": got, "as sent": got == [binascii.hexlify(p).decode() for p in payloads]}


def see_long_payloads(t):
    a, b = use("a"), use("b")
    got = []
    a.set_callback(lambda topic, msg: got.append([len(msg), binascii.crc32(msg)]))
    a.subscribe(t)
    saw = {}
    for size in (127, 1000, 5000):
        b.publish(t, b"0123456789" * (size // 10), False, 1)
    for size in (1000, 3000):
        b.publish(t, b"\x00\xff\x80\x7f\xc3" * (size // 5))
    saw["got"] = take(a, got, 5)
    return saw


def see_unicode(t):
    a, b = use("a"), use("b")
    got = listen(a, t)
    topic = t + "/Küche/température/温度/🌡".encode()
    a.subscribe(topic)
    b.publish(topic, "21,5 °C – warm 🌡".encode())
    return {"got": take(a, got, 1)}


def see_str(t):
    a, b = use("a"), use("b")
    got = []
    a.set_callback(lambda *args: got.append([type(x).__name__ for x in args]))
    name = t.decode()
    a.subscribe(name)
    b.publish(name, "text")
    take(a, got, 1)
    saw = {"types": list(got)}
    got = listen(a, t)
    b.publish(t, "text")
    b.publish(name, b"bytes", False, 1)
    b.publish(name, bytearray(b"bytearray"))
    b.publish(t, memoryview(b"memoryview"))
    saw["got"] = take(a, got, 4)
    return saw


def see_unicode_str(t):
    # Upstream counts characters where the protocol counts bytes
    a = use("a")
    topic = t + "/ü".encode()
    got = listen(a, t)
    a.subscribe(topic)
    a.subscribe(t + b"/end")
    saw = {}
    for name, args in (("topic", (topic.decode(), b"1")), ("payload", (topic, "°C"))):
        b = fresh("b")
        saw[name] = outcome(b.publish, *args)
        b = fresh("b")
        b.publish(topic, b"next")
        saw[name + " got"] = list(rest(a, got, b, t))
        got.clear()
    return saw


def see_numbers(t):
    # No payload is a number: who wants it says str()
    b = fresh("b")
    saw = [outcome(b.publish, t, x) for x in (21.5, None)]
    drop("b")
    return {"publish": saw}


# Retained messages


def see_retained(t):
    a, b = use("a"), use("b")
    got = listen(a, t)
    a.subscribe(t + b"/end")
    a.publish(t + b"/r", b"1", True)
    rest(a, got, a, t)
    a.subscribe(t + b"/r")
    saw = {"own": list(take(a, got, 1))}
    others = listen(b, t)
    b.subscribe(t + b"/end")
    b.subscribe(t + b"/r")
    saw["new"] = list(take(b, others, 1))
    got.clear()
    others.clear()
    b.publish(t + b"/r", b"2", True)
    saw["live"] = list(take(a, got, 1))
    b.publish(t + b"/r", b"passing")
    b.publish(t + b"/r", b"passing too", False, 1)
    got.clear()
    a.subscribe(t + b"/r")
    saw["again"] = [one for one in rest(a, got, b, t) if one[1] == "2"]
    b.publish(t + b"/r", b"", True)
    got.clear()
    take(a, got, 1)
    saw["cleared"] = list(rest(a, got, b, t))
    got.clear()
    a.subscribe(t + b"/r")
    saw["none"] = list(rest(a, got, b, t))
    b.publish(t + b"/r", b"new", True, 1)
    b.publish(t + b"/never", b"", True, 1)
    got.clear()
    take(a, got, 1)
    a.subscribe(t + b"/r")
    a.subscribe(t + b"/never")
    saw["new again"] = rest(a, got, b, t)
    return saw


def see_retained_new_subscriber(t):
    b = use("b")
    drop("a")
    for i in range(3):
        b.publish(t + b"/x", str(i), True)
    b.publish(t + b"/x", b"passing", False, 1)
    b.publish(t + b"/bytes", b"\0\xff", True, 1)
    a = fresh("a")
    got = listen(a, t)
    a.subscribe(t + b"/end")
    a.subscribe(t + b"/x", 1)
    a.subscribe(t + b"/bytes")
    return {"got": rest(a, got, b, t)}


def see_retained_after_reconnect(t):
    # Who stays subscribed has had it; who subscribes again gets it again
    a, b = fresh("a", False), use("b")
    b.publish(t, b"1", True, 1)
    got = listen(a, t)
    a.subscribe(t + b"/end")
    a.subscribe(t)
    saw = {"first": list(rest(a, got, b, t))}
    a.disconnect()
    got.clear()
    saw["connect"] = a.connect(False)
    saw["then"] = list(rest(a, got, b, t))
    a.subscribe(t)
    saw["again"] = rest(a, got, b, t)
    drop("a")
    return saw


# Sessions


def see_sessions(t):
    saw = {}
    drop("a")
    a = make("a")
    saw["clean"] = a.connect()
    saw["disconnect"] = a.disconnect()
    saw["after clean"] = a.connect(False)
    got = listen(a, t)
    a.subscribe(t, 1)
    a.disconnect()
    saw["with a subscription"] = a.connect(False)
    use("b").publish(t, b"1", False, 1)
    saw["got"] = list(take(a, got, 1))
    a.disconnect()
    a = make("a")
    got = listen(a, t)
    saw["another client"] = a.connect(clean_session=False)
    use("b").publish(t, b"2", False, 1)
    saw["got there"] = list(take(a, got, 1))
    a.disconnect()
    saw["clean again"] = a.connect(True)
    a.subscribe(t + b"/end")
    got.clear()
    use("b").publish(t, b"3", False, 1)
    saw["forgotten"] = list(rest(a, got, use("b"), t))
    a.disconnect()
    saw["after all"] = a.connect(False)
    a.disconnect()
    saw["without a subscription"] = a.connect(False)
    a.disconnect()
    return saw


def see_connect_twice(t):
    b = fresh("b")
    saw = {"second": b.connect(), "publish": outcome(b.publish, t, b"1", False, 1)}
    b.disconnect()
    saw["disconnect"] = outcome(b.disconnect)
    saw["third"] = b.connect()
    return saw


def see_offline(t):
    a, b = fresh("a", False), use("b")
    listen(a, t)
    a.subscribe(t + b"/1", 1)
    a.subscribe(t + b"/0", 0)
    a.subscribe(t + b"/end", 1)
    drop("a")
    for i in range(4):
        b.publish(t + b"/1", str(i), False, 1)
    b.publish(t + b"/1", b"not kept")
    b.publish(t + b"/0", b"kept", False, 1)
    b.publish(t + b"/end", b"bye", False, 1)
    a = make("a")
    got = listen(a, t)
    saw = {"connect": a.connect(False)}
    clients["a"] = a
    take(a, got, 5)
    saw["got"] = rest(a, got, b, t)
    drop("a")
    return saw


def see_offline_clean(t):
    a, b = fresh("a"), use("b")
    got = listen(a, t)
    a.subscribe(t, 1)
    a.disconnect()
    b.publish(t, b"1", False, 1)
    saw = {"connect": a.connect(True)}
    a.subscribe(t + b"/end")
    saw["got"] = rest(a, got, b, t)
    return saw


def see_subscriber_cut(t):
    saw = {}
    cuts = []
    a, b = fresh("a", False), use("b")
    got = listen(a, t, True)
    a.subscribe(t, 1)
    control("reset", "a")
    for i in range(3):
        b.publish(t, str(i), False, 1)
    saw["got"] = list(take(a, got, 3, cuts))
    control("hold", "a")  # what comes now is lost on its way
    for i in range(3, 6):
        b.publish(t, str(i), False, 1)
    control("reset", "a")
    saw["got then"] = take(a, got, 6, cuts)[3:]
    saw["cuts"] = len(cuts)
    drop("a")
    return saw


def see_publisher_cut(t):
    a, b = use("a"), use("b")
    got = listen(a, t, True)
    cuts = []
    saw = {}
    a.subscribe(t, 1)
    for i in range(6):
        if i in (1, 4):
            control("reset_at_next", "b")
        again(b, cuts, b.publish, t, str(i), False, 1)
    saw["got"] = take(a, got, 6)
    saw["cuts"] = len(cuts)
    return saw


def see_answer_lost(t):
    a, b = use("a"), fresh("b")
    got = listen(a, t)
    cuts = []
    a.subscribe(t, 1)
    a.subscribe(t + b"/end", 1)
    control("lose_answer", "b")
    again(b, cuts, b.publish, t, b"1", False, 1)
    rest(a, got, b, t)
    return {"got": got[:1], "times": len(got), "cuts": len(cuts)}


def see_reconnect(t):
    # Nobody subscribes again: connect(False) is enough, connect(True) is not
    a, b = fresh("a", False), use("b")
    got = listen(a, t)
    a.subscribe(t, 1)
    control("reset", "a")
    cuts = []
    again(a, cuts, a.ping)
    again(a, cuts, a.check_msg)
    b.publish(t, b"1", False, 1)
    saw = {"kept": list(take(a, got, 1, cuts))}
    control("reset", "a")
    saw["connect"] = a.connect(True)
    got.clear()
    a.subscribe(t + b"/end")
    b.publish(t, b"2", False, 1)
    saw["discarded"] = rest(a, got, b, t)
    return saw


def see_cut(t):
    # What a cut looks like to one who does not connect again
    saw = {}
    for name, call in (
        ("publish", lambda c: c.publish(t, b"1")),
        ("publish 1", lambda c: c.publish(t, b"1", False, 1)),
        ("subscribe", lambda c: c.subscribe(t)),
        ("ping", lambda c: c.ping()),
        ("check_msg", lambda c: take(c, [], 1)),
    ):
        c = fresh("b")
        listen(c, t)
        control("refuse", "b")
        saw[name] = outcome(call, c)
        drop("b")
        control("accept", "b")
    return saw


def see_robust_publish(t):
    a, b = use("a"), fresh("b", True, robust)
    got = listen(a, t)
    a.subscribe(t, 1)
    saw = {"returned": []}
    for i in range(4):
        control("reset", "b")
        saw["returned"].append(b.publish(t, str(i), False, i & 1))
        take(a, got, i + 1)
    saw["got"] = got
    drop("b")
    return saw


def see_robust_wait(t):
    fresh("a")
    a, b = fresh("a", False, robust), use("b")
    got = listen(a, t)
    a.subscribe(t, 1)
    saw = {}
    control("reset", "a")
    b.publish(t, b"1", False, 1)
    saw["wait_msg"] = a.wait_msg()
    saw["got"] = list(take(a, got, 1))
    control("reset", "a")
    b.publish(t, b"2", False, 1)
    saw["check_msg"] = a.check_msg()
    saw["got then"] = take(a, got, 2)
    drop("a")
    return saw


def see_robust_refused(t):
    a, b = use("a"), fresh("b", True, robust)
    b.DELAY = 0.1
    got = listen(a, t)
    a.subscribe(t, 1)
    control("refuse", "b")
    control("accept_in", "b", 0.3)
    saw = {"returned": b.publish(t, b"1", False, 1)}
    saw["got"] = take(a, got, 1)
    drop("b")
    return saw


# Last wills


def lose(b, got, t, *will):
    """Have `a` be lost without a word, with a last will, when `b` has heard it."""
    drop("a")
    a = make("a")
    a.set_last_will(*will)
    a.connect()
    rest(b, got, a, t)
    control("refuse", "a")


def see_will(t):
    b = use("b")
    got = listen(b, t)
    b.subscribe(t + b"/will", 1)
    b.subscribe(t + b"/end", 1)
    saw = {}
    lose(b, got, t, t + b"/will", b"gone")
    saw["lost"] = list(take(b, got, 1))
    control("accept", "a")
    got.clear()
    lose(b, got, t, t + b"/will", b"\xff\0", False, 1)
    saw["bytes"] = list(take(b, got, 1))
    control("accept", "a")
    got.clear()
    a = make("a")
    a.set_last_will(t + b"/will", b"gone")
    a.connect()
    a.disconnect()
    a.connect()
    saw["not"] = list(rest(b, got, b, t))
    a.disconnect()
    return saw


def see_will_retained(t):
    b = use("b")
    got = listen(b, t)
    saw = {}
    b.publish(t, b"there", True)
    b.subscribe(t, 1)
    b.subscribe(t + b"/end")
    take(b, got, 1)
    got.clear()
    lose(b, got, t, t, b"gone", True, 1)
    saw["live"] = list(take(b, got, 1))
    control("accept", "a")
    a = fresh("a")
    got = listen(a, t)
    a.subscribe(t)
    saw["later"] = take(a, got, 1)
    return saw


# Waiting


def see_waiting(t):
    a, b = fresh("a"), use("b")
    got = listen(a, t)
    a.subscribe(t, 1)
    saw = {"at once": False}
    for _ in range(5):  # a busy machine takes its time, but not each time
        start = ticks_ms()
        saw["check_msg"] = a.check_msg()
        saw["at once"] = saw["at once"] or ticks_diff(ticks_ms(), start) < 400
    control("hold", "a")
    b.publish(t, b"1")
    saw["none yet"] = [a.check_msg(), list(got)]
    start = ticks_ms()
    control("release_in", "a", 0.6)
    saw["wait_msg"] = a.wait_msg()
    saw["blocked"] = ticks_diff(ticks_ms(), start) > 400
    saw["got"] = list(got)
    return saw


def see_one_a_call(t):
    a, b = fresh("a"), use("b")
    got = listen(a, t)
    a.subscribe(t, 1)
    for i in range(4):
        b.publish(t, str(i), False, 1)
    saw = {"numbers": []}
    for call in (a.wait_msg, a.wait_msg, a.wait_msg):
        call()
        saw["numbers"].append(len(got))
    saw["got"] = take(a, got, 4)
    return saw


def see_ping(t):
    a = fresh("a")
    listen(a, t)
    saw = {"ping": a.ping(), "wait_msg": a.wait_msg()}
    saw["check_msg"] = a.check_msg()
    a.subscribe(t, 1)
    saw["again"] = [a.ping(), a.ping(), a.wait_msg(), a.wait_msg()]
    return saw


def see_during(t):
    a, b = fresh("a"), use("b")
    got = listen(a, t)
    a.subscribe(t, 1)
    b.publish(t, b"1", False, 1)
    a.publish(t + b"/other", b"x", False, 1)
    saw = {"publish": list(got)}
    b.publish(t, b"2", False, 1)
    a.subscribe(t + b"/other", 1)
    saw["subscribe"] = list(got)
    return saw


def see_from_callback(t):
    a, b = fresh("a"), use("b")
    got = []

    def heard(topic, msg):
        got.append(text(topic.replace(t, b"")) + " " + text(msg))
        if topic == t:
            a.publish(t + b"/0", msg)
            a.publish(t + b"/1", msg, False, 1)
            a.subscribe(t + b"/2")

    a.set_callback(heard)
    a.subscribe(t)
    a.subscribe(t + b"/0")
    a.subscribe(t + b"/1")
    b.publish(t, b"1", False, 1)
    take(a, got, 3)
    b.publish(t + b"/2", b"2")
    return {"got": sorted(take(a, got, 4))}


def see_callback_raises(t):
    a, b = fresh("a"), use("b")

    def heard(topic, msg):
        raise ValueError("of the program")

    a.set_callback(heard)
    a.subscribe(t)
    b.publish(t, b"1")
    saw = {"wait_msg": outcome(a.wait_msg)}
    got = listen(a, t)
    b.publish(t, b"2")
    saw["got"] = take(a, got, 1)
    return saw


def see_another_callback(t):
    a, b = fresh("a"), use("b")
    got = listen(a, t)
    a.subscribe(t)
    b.publish(t, b"1")
    saw = {"first": take(a, got, 1)}
    later = listen(a, t)
    b.publish(t, b"2")
    saw["second"] = take(a, later, 1)
    return saw


# The interface itself


def see_interface(t):
    c = make("a")
    names = "client_id sock server port ssl ssl_params pid cb user pswd keepalive"
    names += " lw_topic lw_msg lw_qos lw_retain set_callback set_last_will connect disconnect"
    names += " ping publish subscribe wait_msg check_msg"
    saw = {"missing": [n for n in names.split() if not hasattr(c, n)]}
    r = make("a", robust)
    names = "DELAY DEBUG delay log reconnect"
    saw["robust"] = [n for n in names.split() if not hasattr(r, n)]
    saw["defaults"] = [r.DELAY, r.DEBUG, isinstance(r, simple.MQTTClient)]
    saw["exception"] = [issubclass(simple.MQTTException, Exception)]
    saw["sock"] = c.sock
    return saw


def see_keywords(t):
    args = config["clients"]["a"]
    names = ("client_id", "server", "port", "user", "password", "keepalive", "ssl", "ssl_params")
    drop("a")
    c = simple.MQTTClient(**{names[i]: args[i] for i in range(len(args))})
    got = []
    c.set_callback(f=lambda topic, msg: got.append(text(msg)))
    c.set_last_will(topic=t, msg=b"gone", retain=False, qos=0)
    saw = {"connect": c.connect(clean_session=True)}
    saw["subscribe"] = c.subscribe(topic=t, qos=1)
    saw["publish"] = c.publish(topic=t, msg=b"1", retain=False, qos=1)
    saw["got"] = take(c, got, 1)
    saw["disconnect"] = c.disconnect()
    return saw


def see_keepalive(t):
    drop("a")
    a = make("a", changes=[(5, 30)])
    got = listen(a, t)
    saw = {"connect": a.connect()}
    a.subscribe(t)
    a.publish(t, b"1", False, 1)
    saw["got"] = take(a, got, 1)
    saw["ping"] = [a.ping(), a.wait_msg()]
    a.disconnect()
    a.keepalive = 65536
    saw["too long"] = outcome(a.connect)
    return saw


def see_no_callback(t):
    drop("a")
    a = make("a")
    a.connect()
    saw = {"subscribe": outcome(a.subscribe, t)}
    saw["publish"] = outcome(a.publish, t, b"1", False, 1)
    a.disconnect()
    return saw


def see_not_connected(t):
    drop("b")
    c = make("b")
    listen(c, t)
    calls = (
        ("publish", lambda: c.publish(t, b"1")),
        ("subscribe", lambda: c.subscribe(t)),
        ("check_msg", lambda: c.check_msg()),
        ("wait_msg", lambda: c.wait_msg()),
        ("ping", lambda: c.ping()),
        ("disconnect", lambda: c.disconnect()),
    )
    saw = {"before " + name: outcome(call) for name, call in calls}
    c.connect()
    c.disconnect()
    for name, call in calls:
        saw["after " + name] = outcome(call)
    return saw


def see_bad_wills(t):
    c = make("a")
    saw = {"empty": outcome(c.set_last_will, b"", b"x")}
    saw["qos"] = outcome(c.set_last_will, t, b"x", False, 3)
    saw["good"] = outcome(c.set_last_will, t, b"x", True, 1)
    return saw


# What is refused


def see_nobody(t):
    return {"connect": outcome(make("nobody").connect)}


def see_closed_at_once(t):
    # By a server that accepts connections, and then has no time
    drop("b")
    control("close", "b")
    saw = {"connect": outcome(make("b").connect)}
    control("accept", "b")
    return saw


def see_wrong_password(t):
    drop("b")
    c = make("b", changes=[(4, "wrong")])
    saw = {"connect": outcome(c.connect)}
    saw["publish"] = outcome(c.publish, t, b"1", False, 1)
    return saw


def see_bad_topics(t):
    saw = {}
    for name, topic in (
        ("plus", t + b"/+"),
        ("hash", t + b"/#"),
        ("NUL", t + b"/\0"),
        ("empty", b""),
        ("not UTF-8", t + b"/\xff"),
        ("control", t + b"/\x01"),
    ):
        for qos in (0, 1):
            saw[name + " " + str(qos)] = refused(t, "publish", topic, b"x", False, qos)
    return saw


def see_bad_filters(t):
    saw = {}
    for name, topic in (
        ("inner hash", t + b"/#/x"),
        ("not alone #", t + b"/x#"),
        ("not alone +", t + b"/x+/y"),
        ("NUL", t + b"/\0"),
        ("empty", b""),
        ("not UTF-8", t + b"/\xff"),
    ):
        saw[name] = refused(t, "subscribe", topic)
    return saw


def refused(t, name, *args):
    """What became of a call, and of the next one, which is right."""
    c = use("b")
    listen(c, t)
    came = [outcome(getattr(c, name), *args), outcome(c.publish, t, b"x", False, 1)]
    if came[1]:
        drop("b")  # the connection is lost
    return came


def see_qos_2(t):
    a, b = use("a"), use("b")
    got = listen(a, t)
    saw = {"subscribe": outcome(a.subscribe, t, 2)}
    b.publish(t, b"1", False, 1)
    saw["got"] = outcome(take, a, got, 1)
    saw["publish"] = outcome(b.publish, t, b"2", False, 2)
    drop("b")
    drop("a")
    return saw


main()
