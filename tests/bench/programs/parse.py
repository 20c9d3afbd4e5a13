# mypy: ignore-errors
# ruff: noqa: PTH123 - MicroPython has no pathlib
"""Time parsers over a file: parse.py CORPUS CHUNK ROUNDS REPEAT NAME...

Every round times each parser once, so that they share the machine's good and bad moments. A line
"NAME STANZAS SECONDS" a measurement.
"""

import gc
import sys
import time

clock = getattr(time, "process_time", None) or getattr(time, "clock", None)


def ours(chunks):
    from uxmpp.xml import Parser

    feed = Parser().feed
    n = -1  # the header
    for chunk in chunks:
        for _ in feed(chunk):
            n += 1
    return n


def yardstick(chunks):
    from yardstick import Yardstick

    feed = Yardstick().feed
    n = 0
    for chunk in chunks:
        for _ in feed(chunk):
            n += 1
    return n


def pull(chunks):
    # As slixmpp's XMLStream does it
    from xml.etree.ElementTree import XMLPullParser

    parser = XMLPullParser(("start", "end"))
    n = depth = 0
    root = None
    for chunk in chunks:
        parser.feed(chunk)
        for event, element in parser.read_events():
            if event == "start":
                if depth == 0:
                    root = element
                depth += 1
            else:
                depth -= 1
                if depth == 1:
                    n += 1
                    root.clear()
    return n


def expat(chunks):
    # The C parser by itself, making a tree of lists: namespaces resolved, nothing refused
    from xml.parsers.expat import ParserCreate

    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    stack = []
    n = 0

    def start(name, attrs):
        node = [name, attrs]
        if len(stack) > 1:
            stack[-1].append(node)
        stack.append(node)

    def end(name):
        nonlocal n
        stack.pop()
        if len(stack) == 1:
            n += 1

    def text(s):
        if len(stack) > 1:
            stack[-1].append(s)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    for chunk in chunks:
        parser.Parse(chunk, False)
    return n


def main(corpus, chunk, rounds, repeat, *names):
    with open(corpus, "rb") as f:
        data = f.read()
    size = int(chunk)
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    parsers = {"ours": ours, "yardstick": yardstick, "pull": pull, "expat": expat}
    for name in names:
        parsers[name](chunks)  # imports, and a CPU that is awake
    for _ in range(int(rounds)):
        for name in names:
            parse = parsers[name]
            gc.collect()
            begin = clock()
            for _ in range(int(repeat)):
                n = parse(chunks)
            print(name, n, clock() - begin)


main(*sys.argv[1:])
