"""One ordered list of what happened to the world, and the places where a crash or an outage can be arranged."""

from collections.abc import Callable
from dataclasses import dataclass, field

from service.core.errors import TransientError


class Crash(BaseException):
    """The process dies here: nothing in it may react, so it is no Exception."""


@dataclass
class Journal:
    """Effects in order, each as `where verb detail`, and what each was done to. `before` may raise: a fault."""

    effects: list[str] = field(default_factory=list)
    details: list[list[str]] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None
    after: Callable[[str], None] = lambda _: None

    def act(self, effect: str) -> "_Act":
        """Around one effect: it may be prevented (before), or be done and its answer lost (after)."""
        return _Act(self, effect)


class _Act:
    def __init__(self, journal: Journal, effect: str) -> None:
        self._journal = journal
        self._effect = effect
        self._details: list[str] = []

    def __enter__(self) -> list[str]:
        self._journal.before(self._effect)
        return self._details

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._journal.effects.append(self._effect)
            self._journal.details.append(self._details)
            self._journal.after(self._effect)


class Away:
    """A dependency that is down for so many calls of one effect: hand it to `Journal.before`."""

    def __init__(self, effect: str, dependency: str, *, times: int) -> None:
        self._effect = effect
        self._dependency = dependency
        self._times = times
        self.failures = 0

    def __call__(self, effect: str) -> None:
        if effect.startswith(self._effect) and self.failures < self._times:
            self.failures += 1
            raise TransientError(self._dependency, "it is away")
