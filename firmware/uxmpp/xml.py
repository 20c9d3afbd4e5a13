"""XML as XMPP restricts it (RFC 6120 section 11): elements, a serialiser, an incremental parser.

Pure: bytes in, elements out. The parser holds back only the token that is not complete yet (a
run of text, a tag, a CDATA section) and remembers how far it has looked for its end, so its cost
is linear in the bytes whatever the chunking, and a cut inside a tag, an entity or a UTF-8
sequence is no case of its own: tokens are decoded whole.

A stanza that passes a limit is not an error, for anybody may send one: it is skipped without
being kept, and handed on as its start tag with `truncated` set.

What strangers may have written is taken apart as bytes: MicroPython keeps every character that
was ever taken out of a str, or made by chr(), for good.
"""

# CPython: it has memory to spare, is slow at min(), and strict with UTF-8 itself
_LARGE = hasattr(bytes, "translate")
_ROOT = ("", {"xml": "http://www.w3.org/XML/1998/namespace"})
_CDATA = b"<![CDATA["
_BLANKS = b" \t\r\n"
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ESCAPES = (
    "&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", '"', "&quot;",
    "\t", "&#9;", "\n", "&#10;", "\r", "&#13;",
)  # fmt: skip


class XMLError(ValueError):
    """Input that is ill-formed, or that XMPP forbids."""


class Element:
    """An XML element: `name`, `xmlns` (None when built: as the parent's), `attrs` (dict of str),
    `children` (list of Element and str, in order). Attributes with a namespace have the key
    "{namespace}name", but for "xml:lang"."""

    truncated = False

    def __init__(self, name, xmlns=None, attrs=None, children=None):
        self.name = name
        self.xmlns = xmlns
        self.attrs = {} if attrs is None else attrs
        self.children = [] if children is None else children

    def get(self, key):
        """The attribute `key`, or None."""
        return self.attrs.get(key)

    def find(self, name, xmlns=None):
        """The first child element so named, or None. Without `xmlns`: in this one's namespace."""
        if xmlns is None:
            xmlns = self.xmlns
        for c in self.children:
            if not isinstance(c, str) and c.name == name and c.xmlns == xmlns:
                return c
        return None

    def elements(self):
        """The children that are elements, as a list."""
        return [c for c in self.children if not isinstance(c, str)]

    @property
    def text(self):
        """The text directly inside this element."""
        return "".join([c for c in self.children if isinstance(c, str)])

    def add(self, name, xmlns=None, attrs=None, text=None):
        """Append a child element made from the arguments; returns the child."""
        c = Element(name, self.xmlns if xmlns is None else xmlns, attrs, [text] if text else None)
        self.children.append(c)
        return c

    def to_bytes(self, xmlns=None):
        """Serialise to UTF-8, for a place where `xmlns` is the default namespace."""
        out = []
        self._write(out, xmlns)
        return b"".join(out)

    def _write(self, out, xmlns):
        name = self.name.encode()
        tag = b"<" + name
        if self.xmlns is not None and self.xmlns != xmlns:
            xmlns = self.xmlns
            tag += b" xmlns='" + escape(xmlns) + b"'"
        for k, v in self.attrs.items():
            if v is not None:
                if k.startswith("{"):
                    ns, k = k[1:].rsplit("}", 1)
                    prefix = "n%d:" % len(tag)
                    tag += b" xmlns:%s='" % prefix[:-1].encode() + escape(ns) + b"'"
                    k = prefix + k
                tag += b" " + k.encode() + b"='" + escape(str(v)) + b"'"
        if not self.children:
            out.append(tag + b"/>")
            return
        out.append(tag + b">")
        for c in self.children:
            if isinstance(c, str):
                out.append(escape(c))
            else:
                c._write(out, xmlns)
        out.append(b"</" + name + b">")

    def __repr__(self):
        return self.to_bytes().decode()


def escape(text):
    """`text` as the bytes that stand for it in XML text and in attribute values. Control
    characters are left out; "?" stands for what is beyond ASCII where XML cannot have it."""
    for i in range(0, len(_ESCAPES), 2):
        text = text.replace(_ESCAPES[i], _ESCAPES[i + 1])
    raw = text.encode("utf-8", "ignore")
    if _controls(raw):
        raw = bytes([c for c in raw if c > 31])
    try:
        _strict(raw)
    except XMLError:
        raw = bytes([c if c < 128 else 63 for c in raw])
    return raw


def _controls(raw):
    if _LARGE:
        return len(raw.translate(None, bytes(range(32)))) != len(raw)
    return raw and min(raw) < 32


def _strict(raw):
    # What strict UTF-8 excludes and MicroPython's decoder lets through: overlong forms,
    # surrogates, what is above U+10FFFF; and the two noncharacters that XML excludes
    last = 0
    for c in () if _LARGE and b"\xef\xbf" not in raw else raw:
        last = (last & 0xFFFF) << 8 | c
        two = last & 0xFFFF
        if (
            c > 0xF4
            or 0xBF < c < 0xC2
            or 0xE07F < two < 0xE0A0
            or 0xED9F < two < 0xEDC0
            or 0xF07F < two < 0xF090
            or 0xF48F < two < 0xF4C0
            or last | 1 == 0xEFBFBF
        ):
            raise XMLError("not UTF-8 text")


def _decode(raw):
    # May also raise UnicodeError
    s = raw.decode()
    if len(s) != len(raw):
        _strict(raw)
    return s


def _unescape(s):
    parts = s.split("&")
    for i in range(1, len(parts)):
        name, semicolon, rest = parts[i].partition(";")
        c = _ENTITIES.get(name)
        if not c and name.startswith("#"):
            base = 10
            name = name[1:]
            if name.startswith("x"):
                base = 16
                name = name[1:]
            # int() alone would also take signs, blanks and underscores
            n = 0
            name = name.lstrip("0")[:9]
            if not name.strip("0123456789abcdefABCDEF"[: base + base // 16 * 6]):
                n = int(name or "0", base)
            if 31 < n < 0x110000 or n in (9, 10, 13):
                c = _chr(n)
        if not c or not semicolon:
            raise XMLError("bad reference")
        parts[i] = c + rest
    return "".join(parts)


def _chr(n):
    # chr(n), but not kept
    raw = b""
    top = 63
    while n > top and top < 63 or n > 127:
        raw = bytes((128 | n & 63,)) + raw
        n >>= 6
        top >>= 1
    return _decode(bytes((254 - 2 * top & 255 | n if raw else n,)) + raw)


def _qname(s):
    # (prefix or "", local name) of a qualified name
    prefix, colon, local = s.partition(":")
    if not colon:
        prefix, local = "", s
    for part in (prefix, local) if colon else (local,):
        # What may not come first counts as letter from the second on
        last = 0
        for c in part.encode():
            last = c > 127 or 97 <= c | 32 <= 122 or c == 95 or last and 44 < c < 58 and c != 47
            if not last:
                break
        if not last:
            raise XMLError("malformed tag")
    return prefix, local


def _split(raw, n, odd):
    # The parts of a tag before, in, between and after its quoted values, as str: an odd number,
    # or else a quote is open, or there are more than `n` values
    s = raw.decode()
    if len(s) != len(raw):
        _strict(raw)
    if odd:
        for c in ("\r\n", "\n", "\r", "\t"):
            s = s.replace(c, " ")
    n = 2 * n + 1
    if '"' not in s:
        return s.split("'", n)
    if "'" not in s:
        return s.split('"', n)
    parts = []
    quote = i = 0
    raw = s.encode()
    for j, c in enumerate(raw):
        if (c == quote or not quote and (c == 34 or c == 39)) and len(parts) <= n:
            parts.append(raw[i:j].decode())
            quote = 0 if quote else c
            i = j + 1
    if len(parts) <= n:
        parts.append(raw[i:].decode())
    return parts


def _append(children, s):
    # CDATA and the text beside it are one
    if children and isinstance(children[-1], str):
        s = children.pop() + s
    if s:
        children.append(s)


def _resolve(attrs, scope):
    # Names with a prefix: declarations become part of the scope, the others get their namespace
    prefixes = scope[1].copy()
    found = {}
    for declared in (True, False):
        for k, v in attrs.items():
            prefix, local = _qname(k)
            if (prefix == "xmlns") == declared:
                if declared:
                    if not v or local == "xmlns" or (local == "xml") != (v == prefixes["xml"]):
                        raise XMLError("xmlns:" + local)
                    prefixes[local] = v
                else:
                    if prefix and prefix != "xml":
                        k = "{" + _ns(prefixes, prefix) + "}" + local
                    if k in found:
                        raise XMLError("attribute twice")
                    found[k] = v
    return found, (scope[0], prefixes)


def _ns(d, prefix):
    if prefix not in d:
        raise XMLError("undeclared prefix")
    return d[prefix]


class Parser:
    """An incremental parser of one XML stream. `feed()` yields the stream header (an Element
    without children), then each complete stanza, then None at the stream's end tag."""

    #: The most bytes that a stanza, or the stream header, may have.
    max_stanza = 8192
    #: The most elements (and CDATA sections) in a stanza; they cost more heap than their bytes.
    max_elements = 128
    #: How deep elements may nest, the stanza itself being 1.
    max_depth = 16
    #: The most attributes of an element.
    max_attrs = 24
    #: How many spellings of tags, and of the names in them, are remembered.
    max_cache = 64 if _LARGE else 16

    def __init__(self):
        self.closed = False  # the stream's end tag was read
        self._buf = bytearray()  # the incomplete token, from its first byte
        self._quote = 0  # the quote that is open at the end of _buf; None: not looked for
        self._odd = False  # _buf has line breaks or tabs
        self._begun = False  # something was read: no XML declaration any more
        self._open = []  # the open elements, the stream first
        self._ends = []  # their end tags
        self._scopes = []  # (default namespace, prefixes) inside of each
        self._left = self.max_stanza  # what the stanza may still take, from _buf's start on
        self._count = 0  # elements in this stanza
        self._glue = False  # this stanza has had CDATA: text may follow text
        self._skip = -1  # elements open in a stanza that is being skipped; -1: none is
        self._mode = 0  # skipping: in text (0), a start tag (1), an end tag (-1), CDATA (2)
        self._tags = {}  # tag -> (end tag, name, xmlns or None, is empty), if nothing else in it
        self._colons = False  # the tag at hand has attributes with a prefix
        self._heads = {}  # what stands before the first value -> what _head() made of it
        self._names = {}  # what stands before another value -> what _attr() made of it

    def pending(self):
        """True where the input so far ends inside of a stanza or a token."""
        return bool(self._buf) or len(self._open) > 1

    def feed(self, data):
        """Parse more bytes; a generator of what they complete. Raises XMLError, after all that
        came before the error; the parser is of no use then."""
        odd = _controls(data)
        bad = False
        if odd:
            for i, c in enumerate(data):
                if c < 32 and c not in _BLANKS:
                    data = data[:i]
                    bad = True
                    break
        opened = self._open
        ends = self._ends
        scopes = self._scopes
        tags = self._tags
        stop = self._left
        depth = len(opened)
        children = opened[-1].children if depth else None
        start = 0
        while True:
            try:
                if self._buf:
                    odd = odd or self._odd
                    if self._ends_in(data) or len(self._buf) + len(data) > stop:
                        data = bytes(self._buf) + data
                        self._buf = bytearray()
                    else:
                        self._buf.extend(data)
                        self._odd = odd
                        break
                find = data.find
                while data:
                    if self._skip >= 0:
                        start = self._pass_by(data, start)
                        if start < 0:
                            break
                        depth = 1
                        yield opened.pop()
                    end = find(b"<", start)
                    if end != start:
                        # Text up to the next tag. Outside of stanzas only white space may stand.
                        raw = data[start:] if end < 0 else data[start:end]
                        if depth < 2:
                            if raw.strip(_BLANKS):
                                raise XMLError("text outside a stanza")
                            if end < 0:
                                start += len(raw)
                                break
                        elif start + len(raw) > stop:
                            self._cut(data, start, stop, depth)
                            continue
                        elif end < 0:
                            self._hold(data, start, stop, odd, depth)
                            break
                        else:
                            s = raw.decode()
                            if len(s) != len(raw):
                                _strict(raw)
                            if "]]>" in s:
                                raise XMLError("]]> in text")
                            if odd:
                                s = s.replace("\r\n", "\n").replace("\r", "\n")
                            if "&" in s:
                                s = _unescape(s)
                            if self._glue:
                                _append(children, s)
                            else:
                                children.append(s)
                        start = end
                    if depth < 2:
                        if self.closed:
                            raise XMLError("text outside a stanza")
                        stop = start + self.max_stanza
                        self._count = 0
                        self._glue = False
                    if depth and data.startswith(ends[-1], start):
                        # The end tag that is due, in its plain spelling
                        tag = None
                        end = start + len(ends[-1])
                    else:
                        end = find(b">", start) + 1
                        raw = data[start + 1 : end - 1]
                        tag = tags.get(raw) if end else None
                        if tag:
                            scope = scopes[-1] if depth else _ROOT
                            xmlns = tag[2]
                            if xmlns is None:
                                xmlns = scope[0]
                            elif not tag[3]:
                                scope = (xmlns, scope[1])
                            el = Element(tag[1], xmlns)
                        else:
                            end, tag = self._markup(data, start, end, stop, odd, raw)
                            if not end:
                                self._hold(data, start, stop, odd, depth)
                                break
                            if tag:
                                el = tag[1]
                                scope = tag[2]
                    if end > stop:
                        self._cut(data, start, stop, depth)
                        continue
                    if tag is None:
                        ends.pop()
                        scopes.pop()
                        depth -= 1
                        el = opened.pop()
                        if depth > 1:
                            children = opened[-1].children
                        elif depth:
                            yield el
                        else:
                            self.closed = True
                            yield None
                    elif tag:
                        self._count += 1
                        if self._count > self.max_elements or depth > self.max_depth:
                            self._cut(data, start, stop, depth)
                            continue
                        if depth > 1:
                            children.append(el)
                        if tag[3]:
                            if depth < 2:
                                yield el
                                if not depth:
                                    self.closed = True
                                    yield None
                        else:
                            opened.append(el)
                            ends.append(tag[0])
                            scopes.append(scope)
                            children = el.children
                            depth += 1
                            if depth == 1:
                                yield el
                    start = end
                break
            except UnicodeError:
                raise XMLError("not UTF-8 text")
            except MemoryError:
                # What there is no room for is skipped like what is too long
                buf = self._buf
                self._buf = bytearray()
                self._cut(buf or data, start, stop, depth)
                if buf:
                    self._pass_by(buf, 0)
        self._begun = self._begun or start > 0
        if bad:
            raise XMLError("bad character")

    def _hold(self, data, start, stop, odd, depth):
        # Keep the incomplete token at `start`
        if len(data) > stop:
            self._cut(data, start, stop, depth)
            self._pass_by(data, start)
            return
        self._buf.extend(data[start:])
        self._left = stop - start
        self._odd = odd
        self._quote = None

    def _ends_in(self, data):
        # Whether the token in _buf ends in `data`, without looking at _buf again
        buf = self._buf
        if self._skip >= 0 or len(buf) < 9:
            return True
        if buf[0] != 60:  # text
            return b"<" in data
        if buf[1] == 33:  # <![CDATA[
            return b"]]>" in bytes(buf[-2:]) + data
        if buf[1] == 47 or buf[1] == 63:  # </ <?
            return b">" in data
        if self._quote is None:
            # Where this ">" turns out to be in a value, a short token is soon read again
            if len(buf) < 128:
                return b">" in data
            self._quote = 0
            self._tag_end(bytes(buf), 0)
        return self._tag_end(data, 0) >= 0

    def _tag_end(self, data, start):
        # Index of the ">" that ends the tag open at `start`, or -1. One in a value ends nothing;
        # the quote that is open at the end of `data` is kept for the next call.
        quote = self._quote
        for i in range(start, len(data)):
            c = data[i]
            if quote:
                if c == quote:
                    quote = 0
            elif c == 62:
                return i
            elif c == 34 or c == 39:
                quote = c
        self._quote = quote
        return -1

    def _markup(self, data, start, end, stop, odd, raw):
        # What begins with this "<", when it is no tag known by heart: (index after it, and None
        # for an end tag, or (end tag, Element, scope inside, is empty), or () for what needs
        # nothing more). The index 0 says that it is incomplete.
        c = data[start + 1 : start + 2]
        if c == b"?":
            if (
                start
                or self._begun
                or data[start : start + 5] != b"<?xml"[: len(data) - start]
                or data[start + 5 : start + 6] not in _BLANKS
            ):
                raise XMLError("restricted XML")
            end = data.find(b"?>", start) + 1
            return end and end + 1, ()
        if c == b"!":
            text = start + 9
            if data[start:text] != _CDATA[: len(data) - start]:
                raise XMLError("restricted XML")
            if len(self._open) < 2:
                raise XMLError("text outside a stanza")
            end = data.find(b"]]>", text) + 1
            if end:
                end += 2
                self._count += 1
                if self._count > self.max_elements:
                    end = stop + 1
                if end <= stop:
                    self._glue = True
                    s = _decode(data[text : end - 3]).replace("\r\n", "\n").replace("\r", "\n")
                    _append(self._open[-1].children, s)
            return end, ()
        if c == b"/":
            if 0 < end <= stop and (not self._ends or raw.rstrip(_BLANKS) != self._ends[-1][1:-1]):
                raise XMLError("wrong end tag")
            return end, None
        while 0 < end <= stop:
            parts = _split(raw, self.max_attrs, odd)
            if len(parts) & 1:
                return end, self._element(raw, parts)
            # This ">" is in a value, or there are too many values
            last = end
            self._quote = 0
            end = self._tag_end(data, start) + 1
            if end == last:
                end = stop + 1
            raw = data[start + 1 : end - 1]
        return end, ()

    def _element(self, raw, parts):
        # (end tag, Element, scope inside, is empty) of a start tag
        if b"<" in raw:
            raise XMLError("malformed tag")
        n = len(parts)
        last = parts[-1]
        empty = last == "/"
        if last and not empty:
            empty = last.endswith("/")
            if empty:
                last = last[:-1]
            if n > 1 and last.strip(" "):
                raise XMLError("malformed tag")
        attrs = {}
        self._colons = False
        names = self._names
        key = parts[0] if n > 1 else last.rstrip(" ")
        end_tag, prefix, name, key = self._heads.get(key) or self._head(key)
        if (not key) == (n > 1):
            raise XMLError("malformed tag")
        if key:
            attrs[key] = parts[1]
            for i in range(2, n - 1, 2):
                key = parts[i]
                attrs[names.get(key) or self._attr(key)] = parts[i + 1]
            if 2 * len(attrs) != n - 1:
                raise XMLError("attribute twice")
            if b"&" in raw:
                for key in attrs:
                    attrs[key] = _unescape(attrs[key])
        scope = self._scopes[-1] if self._scopes else _ROOT
        xmlns = attrs.pop("xmlns", None)
        if xmlns is not None:
            scope = (xmlns, scope[1])
            n -= 2
        if self._colons:
            attrs, scope = _resolve(attrs, scope)
        ns = scope[0]
        if prefix:
            ns = _ns(scope[1], prefix)
        elif n == 1:
            # Nothing but a namespace at the most: the like will come again
            self._keep(self._tags, raw, (end_tag, name, xmlns, empty))
        return end_tag, Element(name, ns, attrs), scope, empty

    def _head(self, s):
        # (end tag, prefix, name, attribute or "") of "prefix:name attribute=" or "prefix:name"
        name, blank, attribute = s.partition(" ")
        prefix, local = _qname(name)
        if blank:
            attribute = self._attr(blank + attribute)
        found = b"</" + name.encode() + b">", prefix, local, attribute
        if attribute and not self._colons:
            self._keep(self._heads, s, found)
        return found

    def _attr(self, s):
        # The attribute's name of " name="
        name = s.strip(" ")
        if not s.startswith(" ") or not name.endswith("="):
            raise XMLError("malformed tag")
        name = name[:-1].rstrip(" ")
        if _qname(name)[0]:
            self._colons = True
        else:
            self._keep(self._names, s, name)
        return name

    def _keep(self, d, key, value):
        if len(key) < 64:  # what is longer hardly comes again
            if len(d) >= self.max_cache:
                d.clear()
            d[key] = value

    def _cut(self, data, start, stop, depth):
        # The token at `start` takes the stanza over a limit: keep its start tag, skip the rest
        opened = self._open
        self._skip = depth - 1
        self._mode = 0
        if depth < 1:
            raise XMLError("header too long")
        if depth > 1:
            el = opened[1]
            el.children = []
            del opened[2:]
        else:
            del opened[1:]
            # It is the start tag itself: keep the attributes that are whole in its beginning, but
            # for those with a prefix, whose declaration may be lost
            raw = bytes(data[start + 1 : min(stop, start + 512)])
            self._quote = 0
            raw = raw[: self._tag_end(raw, 0)]
            name = (raw.split(None, 1) or [raw])[0]
            if name == raw or not raw.startswith(name):
                raise XMLError("malformed tag")
            most = self.max_attrs
            parts = _split(raw[: max(raw.rfind(b"'"), raw.rfind(b'"')) + 1], most, True)
            kept = [name.decode()]
            parts[0] = parts[0][len(kept[0]) :]
            for i in range(1, min(len(parts) - 1, 2 * most), 2):
                if ":" not in parts[i - 1]:
                    kept[-1] += parts[i - 1]
                    kept += [parts[i], ""]
            el = self._element("\0".join(kept).encode(), kept)[1]
            opened.append(el)
        del self._ends[1:]
        del self._scopes[1:]
        el.truncated = True

    def _pass_by(self, data, start):
        # Index after the stanza that is being skipped, or -1. Keeps nine bytes at the most.
        while True:
            mode = self._mode
            self._mode = 0
            if mode == 0:
                start = data.find(b"<", start)
                if start < 0:
                    return -1
                c = data[start + 1 : start + 2]
                if c == b"!" and data.startswith(_CDATA, start):
                    self._mode = 2
                    start += 9
                elif not c or c == b"!" and _CDATA.startswith(data[start : start + 9]):
                    self._buf.extend(data[start:])
                    return -1
                elif c in b"!?":
                    raise XMLError("restricted XML")
                else:
                    self._mode = -1 if c == b"/" else 1
                    self._quote = 0
                    start += 2 if c == b"/" else 1
                continue
            if mode > 1:
                end = data.find(b"]]>", start)
            else:
                end = self._tag_end(data, start) if mode > 0 else data.find(b">", start)
            if end < 0:
                self._mode = mode
                if mode > 1:
                    self._buf.extend(data[max(start, len(data) - 2) :])
                elif start < len(data) and data[-1] == 47:
                    self._buf.extend(b"/")
                return -1
            if mode > 1:
                end += 2
            elif mode < 0 or end == start or data[end - 1] != 47:
                self._skip += mode
            start = end + 1
            if not self._skip:
                self._skip = -1
                return start
