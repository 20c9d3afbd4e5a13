"""What somebody has told an owner: each message once, whatever came twice."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_DELAY = "{urn:xmpp:delay}delay"


@dataclass(frozen=True, slots=True)
class Entry:
    """A message: `sender` is the full JID, `id` None where it has none. `stamps` are its
    XEP-0203 stamps by who set them, in the order they stand there; `stamp` is the earliest."""

    sender: str
    id: str | None
    body: str
    stamps: tuple[tuple[str, datetime], ...] = ()

    @property
    def stamp(self) -> datetime | None:
        """When it was sent, where somebody kept it back; None: it came at once."""
        return min((moment for _, moment in self.stamps), default=None)


class Ledger:
    """The distinct messages with a body of one bare JID, in the order of their first arrival:
    `entries`. It keeps their texts, not their XML.

    `duplicates` are the ids of those that came again (once for each time) and were dropped,
    `conflicts` those of them whose body was another one. A message without an id is always new.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.duplicates: list[str] = []
        self.conflicts: list[str] = []
        self._by_id: dict[str, int] = {}

    @property
    def bodies(self) -> list[str]:
        """The text of each."""
        return [entry.body for entry in self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def add(self, sender: str, body: str, xml: ET.Element) -> bool:
        """Enter a message; False where it is a duplicate."""
        number = xml.get("id")
        if number is not None:
            known = self._by_id.get(number)
            if known is not None:
                self.duplicates.append(number)
                if self.entries[known].body != body:
                    self.conflicts.append(number)
                return False
            self._by_id[number] = len(self.entries)
        self.entries.append(Entry(sender, number, body, stamps(xml)))
        return True


def stamps(xml: ET.Element) -> tuple[tuple[str, datetime], ...]:
    """Return (who, when) of each XEP-0203 delay that says when, in the order of the stanza."""
    found = []
    for delay in xml.findall(_DELAY):
        try:
            moment = datetime.fromisoformat(delay.get("stamp", ""))
        except ValueError:
            continue
        # XEP-0082: a time without an offset is UTC
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        found.append((delay.get("from", ""), moment))
    return tuple(found)
