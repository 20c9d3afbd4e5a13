"""DNS packets (RFC 1035, RFC 2782): questions for A and SRV records, and their answers. Pure."""

A = 1
SRV = 33


def question(id, name, kind):
    """The packet that asks for records of `kind` (A or SRV) of `name`; `id`: 0 to 65535."""
    out = bytearray((id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    for label in name.split("."):
        label = label.encode()
        if not 0 < len(label) < 64:
            raise ValueError("DNS: " + repr(name) + " is no host name")
        out.append(len(label))
        out.extend(label)
    if len(out) > 266:
        raise ValueError("DNS: " + repr(name[:32]) + " is too long")
    out.extend(bytes((0, 0, kind, 0, 1)))
    return bytes(out)


def answer(packet, id, kind):
    """The records of `kind` in the answer to question `id`: for A a list of "1.2.3.4", for SRV of
    (priority, weight, port, target). None where it is not that answer, [] where there are none.
    Raises ValueError for a packet that makes no sense."""
    try:
        if _u16(packet, 0) != id or not packet[2] & 128:
            return None
        i = 12
        for _ in range(_u16(packet, 4)):
            i = _name(packet, i)[1] + 4
        found = []
        for _ in range(_u16(packet, 6)):
            i = _name(packet, i)[1] + 10
            size = _u16(packet, i - 2)
            if _u16(packet, i - 10) == kind and _u16(packet, i - 8) == 1:
                if kind == A:
                    if size == 4:
                        found.append(".".join([str(packet[i + k]) for k in range(4)]))
                else:
                    target = _name(packet, i + 6)[0]
                    # A target of "." says that the service is not there
                    if target:
                        fields = [_u16(packet, i + k) for k in (0, 2, 4)]
                        found.append(tuple(fields) + (target,))
            i += size
        return found
    except (IndexError, UnicodeError):
        raise ValueError("DNS: a malformed answer")


def order(records, random):
    """SRV records in the order to try them; `random()` gives a float in [0, 1)."""
    found = []
    records = list(records)
    while records:
        lowest = min([r[0] for r in records])
        same = [r for r in records if r[0] == lowest]
        at = random() * sum([r[1] for r in same])
        for r in same:
            at -= r[1]
            if at < 0:
                break
        found.append(r)
        records.remove(r)
    return found


def _u16(packet, i):
    return packet[i] << 8 | packet[i + 1]


def _name(packet, i):
    # (name, index after it); a name may go on elsewhere in the packet
    labels = []
    after = 0
    for _ in range(64):
        n = packet[i]
        i += 1
        if n > 191:
            after = after or i + 1
            i = (n & 63) << 8 | packet[i]
        elif not n:
            return ".".join(labels), after or i
        elif n > 63 or i + n > len(packet):
            break
        else:
            labels.append(bytes(packet[i : i + n]).decode())
            i += n
    raise ValueError("DNS: a malformed name")
