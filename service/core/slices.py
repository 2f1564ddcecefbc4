"""A sequence in pieces of at most so many."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def slices(whole: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """The pieces, in order; only the last may be shorter."""
    return (whole[start : start + most] for start in range(0, len(whole), most))
