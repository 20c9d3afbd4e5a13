"""What a device can do: sensors (read), controls (set), commands (do). Values as people write
and read them."""

#: What may be asked for without being declared, so that no declaration may have the name.
RESERVED = ("help", "status")

_ON = ("on", "true", "yes", "1")
_OFF = ("off", "false", "no", "0")
_EXPECTED = {bool: "on or off", int: "a whole number", float: "a number", str: "a text"}


class Sensor:
    """Something that can be read. `read`: a function or coroutine function without arguments;
    `unit`: text behind the value; `every`: seconds between reports, None for none; `delta`: report
    also when the value has moved so far since the last report, with a look every `poll` seconds;
    `durable`: a report is made when it is due, and told to the owners even if that takes days.
    """

    #: The longest `every` and `poll`, in seconds: a board's ticks tell no longer times apart.
    max_period_s = 432000

    def __init__(self, name, read, unit="", every=None, delta=None, poll=5, durable=False):
        for period in (every, poll):
            if period is not None and not 0 < period <= self.max_period_s:
                raise ValueError("{}: a period of {} s cannot be".format(name, period))
        self.name = name
        self.read = read
        self.unit = unit
        self.every = every
        self.delta = delta
        self.poll = poll
        self.durable = durable
        self.value = None
        #: Why there is no value, or None.
        self.error = None

    def state(self):
        """The last reading, as text."""
        if self.value is None:
            return "no reading" + (": " + self.error if self.error else "")
        return show(self.value) + (" " + self.unit if self.unit else "")


class Control:
    """Something that can be set. `set`: a function or coroutine function of the new value; what it
    returns, unless None, is the state then. `kind`: bool, int, float, str, or a tuple of choices;
    `value`: the state at the start, None where it is not known; `role`: who may set it."""

    def __init__(self, name, set, kind, value=None, unit="", role="operator"):
        if kind not in _EXPECTED and not isinstance(kind, tuple):
            raise ValueError(name + ": a control is bool, int, float, str or a tuple of choices")
        self.name = name
        self.set = set
        self.kind = kind
        self.value = value
        self.unit = unit
        self.role = role

    def state(self):
        """The state, as text."""
        if self.value is None:
            return "not known"
        return show(self.value) + (" " + self.unit if self.unit else "")

    def usage(self):
        """A line of help."""
        return "{0}: the state; {0} VALUE sets it: {1}".format(self.name, _expected(self.kind))


class Command:
    """Something that can be done. `do`: a function or coroutine function; what it returns, unless
    None, is the answer. `params`: the types of its arguments; without them each word that reads
    as a number is passed as one. `role`: who may have it done."""

    def __init__(self, name, do, params=None, role="operator"):
        self.name = name
        self.do = do
        self.params = params
        self.role = role

    def usage(self):
        """A line of help."""
        words = [" (" + _expected(k) + ")" for k in self.params or ()]
        return self.name + "".join(words) + ": does it"

    def arguments(self, words):
        """Arguments for `do` from words. Raises ValueError."""
        if self.params is None:
            return [_loose(w) for w in words]
        if len(words) > len(self.params):
            raise ValueError("takes {} at the most".format(len(self.params)))
        return [parse(k, w) for k, w in zip(self.params, words)]


def show(value):
    """A value as people read it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        value = "{:.2f}".format(value)
        return value.rstrip("0").rstrip(".") if "." in value else value
    return str(value)


def parse(kind, text):
    """The value of `kind` that `text` means. Raises ValueError, saying what is expected."""
    word = text.lower()
    if kind is bool:
        if word in _ON or word in _OFF:
            return word in _ON
    elif isinstance(kind, tuple):
        for choice in kind:
            if choice.lower() == word:
                return choice
    elif kind is str:
        return text
    else:
        try:
            value = kind(word.replace(",", "."))
            if value - value == 0:  # not for infinity and what is no number
                return value
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be {}, not {}".format(_expected(kind), text[:32]))


def _expected(kind):
    return ", ".join(kind) if isinstance(kind, tuple) else _EXPECTED[kind]


def _loose(word):
    for kind in (int, float):
        try:
            return parse(kind, word)
        except ValueError:
            pass
    return word


class Registry:
    """All that is declared, in the order of declaration."""

    #: The most declarations.
    max_entries = 64

    def __init__(self):
        self.entries = []

    def add(self, entry):
        """Declare a Sensor, Control or Command. Raises ValueError for a name that cannot be."""
        name = entry.name
        if not name or name != name.lower() or len(name.split()) != 1 or name[:1] in "/!":
            raise ValueError(repr(name) + ": a name is one word in small letters")
        if name in RESERVED or self.find(name):
            raise ValueError(repr(name) + ": the name is taken")
        if len(self.entries) >= self.max_entries:
            raise ValueError("more than {} declarations".format(self.max_entries))
        self.entries.append(entry)

    def find(self, name):
        """The declaration with that name, or None."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        return None

    def kind(self, cls):
        """All declarations of one class, as a list."""
        return [e for e in self.entries if isinstance(e, cls)]
