"""How a try of a command ended: well, stopped, killed, or with a sentence about what was down. All else is a bug."""

import asyncio
from typing import Literal

from service.core.errors import RejectedError, SetupError, TransientError
from tests.fakes.world import crashes
from tests.simulation.people_gates import Person
from tests.simulation.run import BrokenError

Ended = Literal["done", "stopped", "killed", "down"]


def ended(person: Person, working: "asyncio.Future[bool]") -> Ended:
    """Of a try that is over; raises BrokenError where no command may end so."""
    if working.cancelled():
        return "stopped"
    wrong = working.exception()
    if wrong is None:
        return "done" if working.result() else "stopped"
    if person.dead and crashes(wrong):
        return "killed"
    person.said = repr(wrong)
    if _told(wrong):
        return "down"
    raise BrokenError(f"{person.name} met a bug: {wrong!r}") from wrong


def _told(wrong: BaseException) -> bool:
    """Whether it is one of those that a command ends with a sentence for."""
    if isinstance(wrong, BaseExceptionGroup):
        return all(map(_told, wrong.exceptions))
    return isinstance(wrong, TransientError | SetupError | RejectedError)
