"""What the history says of an entry, in two lines for people. Loaded when somebody asks."""

from .registry import Occupancy, show

#: The most columns.
COLUMNS = 24


def summary(history, entry, seconds, now, zone):
    """Lowest, highest and mean value of `entry` in the last `seconds`, or the share of the time
    that it was on; below, in Unicode blocks, the course of it, `·` where nothing was read. One
    line only where there is nothing to say. `now`: epoch seconds, None while not known."""
    name = entry.name
    keep = getattr(entry, "keep", None)
    if not keep or now is None:
        return name + ": no history " + ("while the time is not known" if keep else "is kept")
    length = seconds = max(1, int(seconds))
    unit = "s"
    for size in ("min", "h"):
        if length % 60 == 0:
            length //= 60
            unit = size
        else:
            break
    text = "{}, last {} {}: ".format(name, length, unit)
    unit = " " + entry.unit if entry.unit else ""
    n = min(COLUMNS, int(seconds // keep) or 1)
    sums = [0] * n
    counts = [0] * n
    value = entry.value
    # Without a value the records tell
    binary = isinstance(value, bool) or value is None and not unit
    least = 1e31
    most = -least
    for when, mean, low, high in history.recall(name, now - seconds, now + 1):
        i = min(n - 1, (when - now + seconds) * n // seconds)
        sums[i] += mean
        counts[i] += 1
        if low < least:
            least = low
            first = when
        if high > most:
            most = high
            last = when
        binary = binary and low in (0, 1) and high in (0, 1)
    if most < least:
        return text + "nothing was recorded"
    mean = sum(sums) / sum(counts)
    if binary:
        low = 0
        high = 1
        share = int(mean * 100 + 0.5)
        word = "occupied" if isinstance(entry, Occupancy) else "on"
        text += "{} {} % of the time".format(word, "<1" if share == 0 < mean else share)
    else:
        means = [s / c for s, c in zip(sums, counts) if c]
        low = min(means)
        high = max(means)
        # The hour of which day, where there may be more than one
        form = "{3:02}:{4:02}" if seconds <= 86400 else "{0}-{1:02}-{2:02} {3:02}:{4:02}"
        text += "min {1}{0} at {2}, max {3}{0} at {4}, mean {5}{0}".format(
            unit,
            show(least),
            form.format(*zone.local(first)),
            show(most),
            form.format(*zone.local(last)),
            show(mean),
        )
    line = b"\n"
    for value, size in zip(sums, counts):
        if size:
            # ▁ to █, of the same value all over ▄
            i = int((value / size - low) / (high - low) * 7 + 0.5) if high > low else 3
            line += b"\xe2\x96" + bytes((0x81 + i,))
        else:
            line += b"\xc2\xb7"  # ·
    return text + line.decode()
