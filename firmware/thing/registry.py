"""What a device can do: sensors (read), controls and settings (set), commands (do), events (told).
Values as people write and read them, and what is wrong with those that cannot be."""

#: What may be asked for without being declared.
RESERVED = ("help", "status", "read", "yes", "no")
#: A Param without a default: the value has to be given.
NEEDED = object()

_ON = ("on", "true", "yes", "1")
_OFF = ("off", "false", "no", "0")
_EXPECTED = {bool: "on or off", int: "a whole number", float: "a number", str: "a text"}
_TIMES = (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400), ("week", 604800))
_LETTERS = "abcdefghijklmnopqrstuvwxyz "


class Param:
    """A value to be given. `kind`: bool, int, float, str, or a tuple of choices; `min`, `max`: its
    range, of a text the number of characters; `unit`: what people may write behind it, in "s",
    "min" and "h" any unit of time; `default`: used where it is not given. Raises ValueError for
    what cannot be."""

    #: The most characters of a text, without `max`.
    max_text = 200

    def __init__(self, name, kind=str, min=None, max=None, unit="", default=NEEDED):
        if not isinstance(kind, tuple) and kind not in (bool, int, float, str):
            raise ValueError(name + ": must be bool, int, float, str or a tuple of choices")
        self.name = name
        self.kind = kind
        self.min = min
        self.max = max
        self.unit = unit
        self.default = default

    def parse(self, text):
        """The value that `text` means. Raises ValueError, saying what is expected."""
        kind = self.kind
        if kind is str and _odd(text):
            raise ValueError("must be one line, of characters that can be seen")
        word = _small(text)
        try:
            if kind is bool:
                if word in _ON or word in _OFF:
                    return word in _ON
            elif kind is str:
                if (self.min or 0) <= len(text) <= (self.max or self.max_text):
                    return text
            elif isinstance(kind, tuple):
                for choice in kind:
                    if _small(choice) == word:
                        return choice
            else:
                value = self._number(word)
                if (self.min is None or value >= self.min) and (
                    self.max is None or value <= self.max
                ):
                    return value
        except (ValueError, OverflowError):
            pass
        raise ValueError("must be {}, not {}".format(self.expected(), text[:32] or "nothing"))

    def _span(self):
        # Seconds in the unit, where any unit of time will do, else 0
        return _scale(self.unit.lower()) if self.unit.lower() in ("s", "min", "h") else 0

    def _number(self, word):
        unit = self.unit.lower()
        size = self._span()
        if size:
            if word.rstrip(_LETTERS) == word:
                word += unit
            value = seconds(word) / size
            if self.kind is float:
                return value
            if value != int(value):
                raise ValueError
            return int(value)
        for end in (unit, unit.replace("°", ""), "°"):
            if end and word.endswith(end):
                word = word[: -len(end)].rstrip()
                break
        return _number(self.kind, word)

    def expected(self):
        """What a value has to be, for people: "a number, 5 to 30 °C"."""
        kind = self.kind
        if isinstance(kind, tuple):
            return ", ".join(kind)
        text = _EXPECTED[kind]
        if kind is str:
            return text + " of up to {} characters".format(self.max or self.max_text)
        size = self._span()
        if size:
            text = "a time"
        low, high = [
            duration(v * size, True) if size and v is not None else show(v)
            for v in (self.min, self.max)
        ]
        if self.max is None:
            if self.min is not None:
                text += ", {} or more".format(low)
        elif self.min is None:
            text += ", {} or less".format(high)
        else:
            text += ", {} to {}".format(low, high)
        if self.unit and not size:
            text += (" in " if text.endswith("number") else " ") + self.unit
        return text


class Entry:
    """What is declared: `name`; `role`: who may set or do it, None where nobody can; `value`, the
    last one; `error`: why there is none, or None; `when`: uptime in seconds when it came."""

    unit = ""
    role = None
    builtin = False
    confirm = False
    value = None
    error = None
    when = None
    #: What state() says as long as there is no value.
    nothing = "not known"

    def __init__(self, name, options):
        self.name = name
        # What is not given is the class's own: an instance's table costs memory
        for key in options:
            if not hasattr(self, key):
                raise TypeError("{}: there is no option {}".format(name, key))
            setattr(self, key, options[key])

    def state(self):
        """The value as people read it, with its unit."""
        if self.value is None:
            return self.nothing + (": " + self.error if self.error else "")
        return show(self.value) + (" " + self.unit if self.unit else "")


class Sensor(Entry):
    """Something that can be read. `read`: a function or coroutine function without arguments;
    `unit`: text behind the value; `every`: seconds between reports, None for none; `delta`: report
    also when the value has moved so far since the last report, with a look every `poll` seconds;
    `durable`: a report is made when it is due, and told to the owners even if that takes days.

    `min`, `max`: a value beyond them is no reading; `low`, `high`: below and above these it raises
    an alarm, which ends when the value is back by `hysteresis`; `alarm`: the value that raises
    one, for what is no number; `keep`: seconds of one record in the history, None for none.
    Raises ValueError for a period that cannot be."""

    #: The longest `every` and `poll`, in seconds: a board's ticks tell no longer times apart.
    max_period_s = 432000
    nothing = "no reading"
    every = delta = min = max = low = high = alarm = keep = None
    poll = 5
    durable = False
    hysteresis = 0
    #: What the value is that raises an alarm, "above 30 °C"; None where there is none.
    alarmed = None

    def __init__(self, name, read, **options):
        super().__init__(name, options)
        for period in (self.every, self.poll, self.keep):
            if period is not None and not 0 < period <= self.max_period_s:
                raise ValueError("{}: a period of {} s cannot be".format(name, period))
        self.read = read

    def take(self, value, now):
        """The reading that `value` is, of what `read` returned at uptime `now`. Raises
        ValueError."""
        if (
            value != value  # as thermocouples say it
            or self.min is not None
            and value < self.min
            or self.max is not None
            and value > self.max
        ):
            raise ValueError(show(value) + " cannot be")
        return value

    def watched(self):
        """Whether there are alarms."""
        return self.low is not None or self.high is not None or self.alarm is not None

    def judge(self):
        """Bring `alarmed` up to date; what it was, where that changed, else False."""
        value = self.value
        was = self.alarmed
        if value is None or not self.watched():
            return False
        now = None
        back = self.hysteresis if was else 0
        if self.alarm is not None:
            if value == self.alarm:
                now = self.state()
        elif self.high is not None and value > self.high - back * (was is not None):
            if was is None or was.startswith("above") or value > self.high:
                now = "above " + self._limit(self.high)
        if now is None and self.low is not None and value < self.low + back:
            if was is None or was.startswith("below") or value < self.low:
                now = "below " + self._limit(self.low)
        self.alarmed = now
        return False if now == was else was

    def _limit(self, value):
        return show(value) + (" " + self.unit if self.unit else "")


class Occupancy(Sensor):
    """Whether somebody is there: `read` tells of movement, and a place counts as occupied until
    there was none for `hold` seconds. Reported when it changes. Options: as Sensor's."""

    hold = 60
    delta = poll = 1
    _moved = None

    def take(self, value, now):
        """As Sensor.take()."""
        if value:
            self._moved = now
        return self._moved is not None and now - self._moved <= self.hold

    def state(self):
        """As Entry.state()."""
        if self.value is None:
            return super().state()
        return "occupied" if self.value else "empty"


class Control(Entry):
    """Something that can be set. `do`: a function or coroutine function of the new value; what it
    returns, unless None, is the state then. `kind`, `min`, `max`, `unit`: as Param's; `value`: the
    state at the start, None where it is not known; `role`: who may set it; `confirm`: it asks
    first; `keep`: as a Sensor's."""

    role = "operator"
    keep = None

    def __init__(self, name, do, kind, min=None, max=None, **options):
        super().__init__(name, options)
        self.do = do
        self.params = (Param(name, kind, min, max, self.unit),)

    def arguments(self, words):
        """[the new value] from [text]. Raises ValueError."""
        if len(words) != 1:
            raise ValueError("must be one value: " + self.params[0].expected())
        return [self.params[0].parse(words[0])]


class Setting(Control):
    """A Control whose value survives a restart: its function is called with it at the start."""


class Command(Entry):
    """Something that can be done. `do`: a function or coroutine function; what it returns, unless
    None, is the answer. `params`: its arguments, each a Param or only a kind; without them those
    of the function's annotations, where the interpreter has them, else each word that reads as a
    number is passed as one. `role`: who may have it done; `confirm`: ask first."""

    nothing = "not done yet"
    role = "operator"

    def __init__(self, name, do, params=None, **options):
        super().__init__(name, options)
        self.do = do
        if params is None and hasattr(do, "__annotations__"):
            from .annotations_cpython import declared

            params = declared(do)
        self._loose = params is None
        if self._loose:
            params = (Param("words", max=1000, default=""),)
        else:
            params = tuple(
                [p if isinstance(p, Param) else Param("value", p, default=None) for p in params]
            )
        self.params = params

    def arguments(self, words):
        """Arguments for `do` from texts, one for each of `params`. Raises ValueError."""
        params = self.params
        if self._loose:
            return [_loose(w) for w in params[0].parse(" ".join(words)).split()]
        if len(words) > len(params):
            raise ValueError("takes {}".format(len(params) or "nothing"))
        args = []
        for i, p in enumerate(params):
            if i < len(words):
                try:
                    args.append(p.parse(words[i]))
                except ValueError as e:
                    raise ValueError("{} {}".format(p.name, e))
            elif p.default is NEEDED:
                raise ValueError("{} is missing: {}".format(p.name, p.expected()))
            elif p.default is None:  # the function has its own
                break
            else:
                args.append(p.default)
        return args


class Event(Entry):
    """Something that happens. Call it with a text, "pressed", when it does. `alarm`: it is one;
    `durable`: as a Sensor's; `text`: what is told where the call says nothing."""

    nothing = "nothing yet"
    text = "now"
    alarm = durable = False

    def __init__(self, name, tell, **options):
        super().__init__(name, options)
        self._tell = tell

    def __call__(self, text=None):
        """It happened; `text` says what. Handlers of soft interrupts may call it."""
        self._tell(self, text or self.text)


def _small(text):
    # As MicroPython does it: CPython knows more letters
    return text.strip().encode().lower().decode()


def show(value):
    """A value as people read it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        # Small ones keep three digits that say something
        value = ("{:.3g}" if -0.1 < value < 0.1 else "{:.2f}").format(value)
        if "." in value and "e" not in value:
            value = value.rstrip("0").rstrip(".")
        return "0" if value == "-0" else value
    return str(value)


def seconds(text):
    """The seconds in a time as people write it: "90s", "1,5 h", "2 days". Raises ValueError."""
    word = _small(text)
    number = word.rstrip(_LETTERS)
    try:
        size = _scale(word[len(number) :].strip())
        value = _number(float, number) * size
        if size and value >= 0:
            return int(value) if value == int(value) else value
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a time such as 90s, 10m or 2h, not {}".format(text[:32]))


def duration(seconds, exact=False):
    """A time as people read it: "3 min". `exact`: in a smaller unit rather than cut short."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size and not (exact and seconds % size):
            return "{} {}".format(show(seconds // size), unit)
    return show(seconds) + " s"


def _odd(text):
    # Whether there are control characters in it, or what ends a line or turns it around: U+0080
    # to 9F, U+2028 to 2E, U+2066 to 69
    last = 0
    for c in text.encode():
        last = (last & 0xFFFF) << 8 | c
        if (
            c < 32
            or c == 127
            or 0xC280 <= last & 0xFFFF < 0xC2A0
            or 0xE280A8 <= last <= 0xE280AE
            or 0xE281A6 <= last <= 0xE281A9
        ):
            return True
    return False


def _scale(unit):
    # Seconds in a unit of time, 0 for what is none
    if unit == "s":
        return 1
    unit = unit.rstrip("s")
    for name, size in _TIMES:
        if unit and name.startswith(unit):
            return size
    return 0


def _number(kind, word):
    # What is no digit of ours is none: CPython would read those of other scripts, too
    if len(word) > 32 or word.encode().strip(b"0123456789.,+-e"):
        raise ValueError
    if not word.partition("e")[0].strip(".,+-"):  # MicroPython reads "e5" as 0
        raise ValueError
    value = kind(word.replace(",", "."))
    if value - value != 0:  # infinity
        raise ValueError
    return value


def _loose(word):
    for kind in (int, float):
        try:
            return _number(kind, word)
        except ValueError:
            pass
    return word


class Registry:
    """All that is declared, in the order of declaration."""

    #: The most declarations, the words that are built in among them.
    max_entries = 80

    def __init__(self):
        self.entries = []

    def add(self, entry):
        """Declare an Entry; returns it. Raises ValueError for a name that cannot be."""
        name = entry.name
        if name.split() != [name] or name != name.lower() or name[:1] in "/!":
            raise ValueError(repr(name) + ": a name is one word in small letters")
        if name in RESERVED or self.find(name):
            raise ValueError(repr(name) + ": the name is taken")
        if len(self.entries) >= self.max_entries:
            raise ValueError("more than {} declarations".format(self.max_entries))
        self.entries.append(entry)
        return entry

    def find(self, name):
        """The declaration with that name, or None."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        return None

    def kind(self, cls):
        """All declarations of one class, as a list."""
        return [e for e in self.entries if isinstance(e, cls)]
