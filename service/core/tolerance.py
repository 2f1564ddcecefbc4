"""How much rejection is taken for bad data. Beyond it something else is wrong: a bad deployment, a changed producer.

Then the dataset pauses: what would have filled a dead-letter queue goes back to its queue, to come again later. After
each pause one piece of work is tried; when it is mostly good the dataset goes on, else it pauses again.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from service.core.ports import Clock

WINDOW_SECONDS = 600.0
TRIALS_MAX = 12
"""After that many pauses a piece of work is taken even if nothing else has come that could have been good."""
TRIPPED_MAX = 1_000
"""Pieces of work that are remembered, of each dataset: those that were tried last."""
PAUSES_MAX = 2_016
"""After so many pauses in a row, a week's at the default length, a piece of work a pause is taken, whichever it is."""


@dataclass(frozen=True, slots=True)
class ToleranceLimits:
    """Up to `rejected_max` rejected items in a row, or in ten minutes where they are more than `share_max` of all.

    A share of 1 takes everything.
    """

    share_max: float
    rejected_max: int
    pause_seconds: float

    def __post_init__(self) -> None:
        assert 0 < self.share_max <= 1
        assert self.rejected_max >= 1
        assert self.pause_seconds > 0


@dataclass(slots=True)
class _Seen:
    window: deque[tuple[float, int, int]] = field(default_factory=deque)
    run: int = 0
    paused_until: float | None = None
    pauses: int = 0
    """How many in a row, with nothing good in between."""
    tripped: dict[str, int] = field(default_factory=dict)
    """How often a piece of work has made the dataset pause."""
    outlived: set[str] = field(default_factory=set)
    """Those among them after which other work was good: they are to blame themselves."""


Told = Callable[[str, str | None], None]
"""A dataset pauses, and why; or (None) goes on."""


class Tolerance:
    """What a layer has seen of each dataset lately."""

    def __init__(self, limits: ToleranceLimits, *, clock: Clock, told: Told) -> None:
        self._limits = limits
        self._clock = clock
        self._told = told
        self._seen: dict[str, _Seen] = {}

    def paused_seconds(self, dataset: str) -> float:
        """For how long nothing of the dataset is tried; 0 when something may be."""
        until = self._of(dataset).paused_until
        return 0.0 if until is None else max(0.0, until - self._clock.monotonic())

    def takes(self, dataset: str, what: str, items: int, rejected: int) -> bool:
        """Whether this much rejection is still bad data's; if not, the dataset pauses, and the work must not be done.

        Asking counts nothing: work that is tried again asks again. A piece of work that made the dataset pause is
        taken when other work was good meanwhile, or when it has been tried for long: so nothing waits for ever.
        """
        seen = self._of(dataset)
        why = self._excess(seen, items, rejected) if rejected and self._limits.share_max < 1 else None
        if why is None or what in seen.outlived or seen.tripped.get(what, 0) >= TRIALS_MAX:
            return True
        seen.pauses += 1
        seen.tripped[what] = seen.tripped.pop(what, 0) + 1
        if len(seen.tripped) > TRIPPED_MAX:
            oldest = next(iter(seen.tripped))  # done by another process, most likely
            del seen.tripped[oldest]
            seen.outlived.discard(oldest)
        seen.paused_until = self._clock.monotonic() + self._limits.pause_seconds
        if seen.pauses > PAUSES_MAX:
            seen.tripped[what] = TRIALS_MAX
            return True
        self._told(dataset, why)
        return False

    def count(self, dataset: str, what: str, items: int, rejected: int) -> None:
        """That work is done. A dataset that was tried after a pause goes on."""
        seen = self._of(dataset)
        blamed = seen.tripped.pop(what, 0) > 0
        seen.outlived.discard(what)
        if blamed:
            return  # it stands for itself alone, and says nothing about the others
        if seen.paused_until is not None:
            seen.paused_until, seen.pauses = None, 0
            seen.window.clear()
            seen.run = 0
            seen.outlived.update(seen.tripped)
            self._told(dataset, None)
        seen.run = seen.run + rejected if rejected == items else 0
        seen.window.append((self._clock.monotonic(), items, rejected))

    def _excess(self, seen: _Seen, items: int, rejected: int) -> str | None:
        """Why that would be too much, or None."""
        if seen.paused_until is not None:
            too_much = rejected > self._limits.share_max * items
            return f"{rejected} of {items} would be rejected still" if too_much else None
        recent = self._recent(seen)
        total, bad = items + sum(entry[1] for entry in recent), rejected + sum(entry[2] for entry in recent)
        if bad >= self._limits.rejected_max and bad > self._limits.share_max * total:
            return f"{bad} of the last {total} were rejected"
        run = seen.run + rejected
        return f"{run} in a row were rejected" if rejected == items and run >= self._limits.rejected_max else None

    def _recent(self, seen: _Seen) -> deque[tuple[float, int, int]]:
        while seen.window and seen.window[0][0] < self._clock.monotonic() - WINDOW_SECONDS:
            seen.window.popleft()
        return seen.window

    def _of(self, dataset: str) -> _Seen:
        return self._seen.setdefault(dataset, _Seen())
