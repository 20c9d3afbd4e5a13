"""What the parts of a lab that run have in common: `with` starts them and closes them."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Part(ABC):
    """Something that is started and closed."""

    @abstractmethod
    def start(self) -> Self:
        """Start it; it goes on by itself. Raises LabError."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
