"""A group was refused for the data's sake: which of its units is to blame?

Redshift often names the file. Where it does not, halves tell: of a refused group the left half is tried; when it loads,
the guilty one is on the right, which needs no trial. One guilty unit among 500 is found in at most 11 attempts; the
rest then loads in one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from service.core.errors import RejectedError

T = TypeVar("T")
Attempt = Callable[[Sequence[T]], Awaitable[RejectedError | None]]
"""Load these, all or none; returns why they were refused."""
Blame = Callable[[Sequence[T], RejectedError], Awaitable[Sequence[T]]]
"""Whom the refusal names, if anybody: a hint, because each is tried alone before it is given up."""


async def isolate(items: Sequence[T], attempt: Attempt[T], blame: Blame[T]) -> list[tuple[T, RejectedError]]:
    """Load all that can be; returns the others, each with its own refusal. At most about three attempts an item."""
    guilty: list[tuple[T, RejectedError]] = []
    while items:
        wrong = await attempt(items)
        if wrong is None:
            break
        if len(items) == 1:
            return [*guilty, (items[0], wrong)]
        suspects = await blame(items, wrong)
        if not suspects:
            return [*guilty, *await _halve(items, attempt, blame)]
        for suspect in suspects:
            alone = await attempt([suspect])
            if alone is not None:
                guilty.append((suspect, alone))
        items = [item for item in items if item not in suspects]
    return guilty


async def _halve(refused: Sequence[T], attempt: Attempt[T], blame: Blame[T]) -> list[tuple[T, RejectedError]]:
    """Corner one guilty item, then load the rest at once; only where that is refused too, go on with its pieces."""
    put_off: list[Sequence[T]] = []
    why: RejectedError | None = None
    while len(refused) > 1:
        middle = len(refused) // 2
        left, right = refused[:middle], refused[middle:]
        why = await attempt(left)
        if why is None:
            refused = right
        else:
            put_off.append(right)
            refused = left
    guilty = [(refused[0], why)] if why is not None else await isolate(refused, attempt, blame)
    rest = [item for piece in put_off for item in piece]
    if not rest or await attempt(rest) is None:
        return guilty
    for piece in put_off:
        guilty += await isolate(piece, attempt, blame)
    return guilty
