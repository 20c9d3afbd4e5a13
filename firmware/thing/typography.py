"""What applications make of what people type: undone. Loaded for the lines that need it."""

# What is written instead of: two bytes that a character begins with, and the first and the last
# that it may end with
_UNDONE = (
    (b" ", b"\xe2\x80\x80\x8a\xe2\x80\xa8\xa9\xe2\x80\xaf\xaf\xe2\x81\x9f\x9f\xc2\0\x80\xa0"
     b"\xe1\x9a\x80\x80\xe3\x80\x80\x80"),
    (b"", b"\xe2\x80\x8b\x8f\xe2\x80\xaa\xae\xe2\x81\xa0\xaf\xc2\0\xad\xad\xd8\0\x9c\x9c"
     b"\xef\xb8\x80\x8f\xef\xbb\xbf\xbf\xe1\xa0\x8e\x8e"),
    (b"-", b"\xe2\x80\x90\x95\xe2\x88\x92\x92"),
    (b"'", b"\xe2\x80\x98\x9b\xe2\x80\xb2\xb2\xe2\x80\xb9\xba"),
    (b'"', b"\xe2\x80\x9c\x9f\xe2\x80\xb3\xb3\xc2\0\xab\xab\xc2\0\xbb\xbb"),
    (b"...", b"\xe2\x80\xa6\xa6"),
)  # fmt: skip


def undone(raw):
    """Bytes of UTF-8 as a str without control characters and what cannot be seen, and with the
    plain characters that a client made typographic ones of."""
    raw = bytearray(raw)
    for i in range(len(raw)):
        if raw[i] < 32 or raw[i] == 127:
            raw[i] = 32
    raw = bytes(raw)
    for sign, ranges in _UNDONE:
        for i in range(0, len(ranges), 4):
            begin = ranges[i : i + 2].rstrip(b"\0")
            if begin in raw:
                for c in range(ranges[i + 2], ranges[i + 3] + 1):
                    raw = raw.replace(begin + bytes([c]), sign)
    return raw.decode()
