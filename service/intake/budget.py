"""How many bytes of message bodies the process may hold, all layers together."""

from typing import Protocol


class Holder(Protocol):
    """Something that holds bytes."""

    body_bytes: int


class Budget:
    """Full means: receive no more until something is settled."""

    def __init__(self, bytes_max: int) -> None:
        assert bytes_max > 0
        self._bytes_max = bytes_max
        self._holders: list[Holder] = []

    def include(self, holder: Holder) -> None:
        """Count this holder too."""
        self._holders.append(holder)

    def full(self) -> bool:
        """Whether the process holds as much as it may."""
        return sum(holder.body_bytes for holder in self._holders) >= self._bytes_max
