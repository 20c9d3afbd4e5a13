"""umqtt on strings: runs each line that comes, Python in JSON, and prints what became of it."""

import gc
import json
import sys
import time

from umqtt.simple import MQTTClient

names = {"MQTTClient": MQTTClient, "got": []}


def heard(n):
    """Wait until `n` messages came, and take them."""
    got = names["got"]
    while len(got) < n:
        names["c"].wait_msg()
    found = got[:]
    del got[:]
    return found


def settled():
    """Take what has come when the server answers."""
    c = names["c"]
    got = names["got"]
    c.ping()
    before = -1
    while before < len(got):
        before = len(got)
        c.wait_msg()
    return heard(0)


def until(true):
    """Have the client work until `true()`."""
    while not true():
        names["c"].check_msg()
        time.sleep(0.01)


def free():
    """The bytes of heap that are free, None where nobody knows."""
    gc.collect()
    return gc.mem_free() if hasattr(gc, "mem_free") else None


for function in (heard, settled, until, free):
    names[function.__name__] = function
while True:
    line = sys.stdin.readline()
    if not line:
        break
    try:
        code = json.loads(line)
        try:
            result = eval(code, names)
        except SyntaxError:  # it is no expression
            result = exec(code, names)
        said = "= " + repr(result)
    except Exception as e:
        said = "! " + repr((type(e).__name__,) + e.args)
    print(said)
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()
