"""Where each setting of a TOML file stands, which tomllib does not tell."""

import tomllib
from bisect import bisect

#: The names and numbers that lead to a value: ("rooms", 0, "jid").
Path = tuple[str | int, ...]

_BLANK = " \t\n"
_BARE_ENDS = " \t\n.=]"
_SCALAR_ENDS = ",]}#\n"


def lines(text: str) -> dict[Path, int]:
    """Return the line, from 1, of each table, key and element of a list in `text`, TOML that
    tomllib has taken."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._breaks = [i for i, c in enumerate(text) if c == "\n"]
        self._found: dict[Path, int] = {}
        self._lists: dict[Path, int] = {}  # how many [[tables]] there are of a name

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._found

    def _header(self) -> Path:
        many = self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        at = self._at
        names = self._key()
        table: Path = ()
        for name in names[:-1]:
            table = self._last((*table, name))
        table = (*table, names[-1])
        self._note(table, at)
        if many:
            self._lists[table] = self._lists.get(table, -1) + 1
            table = self._last(table)
            self._note(table, at)
        self._at = self._text.index("]", self._at) + (2 if many else 1)
        return table

    def _last(self, table: Path) -> Path:
        return (*table, self._lists[table]) if table in self._lists else table

    def _pair(self, table: Path) -> None:
        at = self._at
        for name in self._key():
            table = (*table, name)
            self._note(table, at)
        self._at = self._text.index("=", self._at) + 1
        self._value(table)

    def _key(self) -> list[str]:
        # Blanks around the dots, and quotes, are allowed
        names = []
        while True:
            self._skip()
            start = self._at
            if self._peek() in "\"'":
                self._string()
                names.append(next(iter(tomllib.loads(f"{self._text[start : self._at]}=0"))))
            else:
                while self._peek() not in _BARE_ENDS:
                    self._at += 1
                names.append(self._text[start : self._at])
            self._skip()
            if self._peek() != ".":
                return names
            self._at += 1

    def _value(self, path: Path) -> None:
        self._skip()
        c = self._peek()
        if c in "\"'":
            self._string()
        elif c in "[{":
            self._at += 1
            end = "]" if c == "[" else "}"
            count = 0
            while self._skip() and self._peek() != end:
                if self._peek() == ",":
                    self._at += 1
                elif c == "{":
                    self._pair(path)
                else:
                    self._note((*path, count), self._at)
                    self._value((*path, count))
                    count += 1
            self._at += 1
        else:
            while self._peek() not in _SCALAR_ENDS:
                self._at += 1

    def _string(self) -> None:
        text = self._text
        quote = self._peek()
        if text.startswith(3 * quote, self._at):
            quote *= 3
        self._at += len(quote)
        while not text.startswith(quote, self._at):
            self._at += 2 if quote[0] == '"' and self._peek() == "\\" else 1
        self._at += len(quote)
        if len(quote) == 3:  # up to two more may belong to it
            while self._peek() == quote[0]:
                self._at += 1

    def _skip(self) -> bool:
        # Over blanks and comments; whether there is more
        while self._at < len(self._text):
            if self._peek() == "#":
                self._at = self._text.find("\n", self._at)
                self._at = len(self._text) if self._at < 0 else self._at
            elif self._peek() in _BLANK:
                self._at += 1
            else:
                return True
        return False

    def _peek(self) -> str:
        # At the end: what ends everything
        return self._text[self._at] if self._at < len(self._text) else "\n"

    def _note(self, path: Path, at: int) -> None:
        self._found.setdefault(path, bisect(self._breaks, at - 1) + 1)
