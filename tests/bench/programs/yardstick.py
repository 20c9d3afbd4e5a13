# mypy: ignore-errors
"""A parser for the stopwatch alone: a tree, made with bytes.find and no check at all.

It takes any ">" for a tag's end and any input for well-formed, has no namespaces and no limits.
It is what a parser in Python can at most be as fast as, on the machine that runs it.
"""


class Node:
    def __init__(self, name, attrs):
        self.name = name
        self.attrs = attrs
        self.children = []


def _text(raw):
    s = raw.decode()
    if "&" in s:
        s = s.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return s


class Yardstick:
    def __init__(self):
        self._buf = b""
        self._open = []

    def feed(self, data):
        buf = self._buf + data if self._buf else data
        stack = self._open
        find = buf.find
        done = []
        pos = 0
        while True:
            start = find(b"<", pos)
            if start < 0:
                break
            end = find(b">", start)
            if end < 0:
                break
            if start > pos and len(stack) > 1:
                stack[-1].children.append(_text(buf[pos:start]))
            pos = end + 1
            if buf[start + 1] == 47:  # "/"
                node = stack.pop()
                if len(stack) == 1:
                    done.append(node)
                continue
            if buf[start + 1] == 63:  # "?"
                continue
            empty = buf[end - 1] == 47
            tag = buf[start + 1 : end - 1 if empty else end].decode()
            if "=" in tag:
                parts = tag.split("'" if "'" in tag else '"')
                name, key = parts[0].split(" ", 1)
                attrs = {}
                i = 1
                while i < len(parts):
                    attrs[key[:-1]] = parts[i]
                    key = parts[i + 1][1:]
                    i += 2
                node = Node(name, attrs)
            else:
                node = Node(tag, {})
            if len(stack) > 1:
                stack[-1].children.append(node)
                if not empty:
                    stack.append(node)
            elif empty and stack:
                done.append(node)
            else:
                stack.append(node)
        self._buf = buf[pos:]
        return done
