"""What the queue says of each message matters, and when a claim is over: services that do not listen are found."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from service import runtime
from service.aws import sqs
from service.aws.sqs import SqsQueue
from service.intake import letters
from service.intake.consume import Intake
from service.intake.inflight import Inflight
from service.intake.letters import DeadLetters
from tests.simulation.mutants import Mutant, breach
from tests.simulation.plan import Plan
from tests.simulation.test_swaps import LateStore


def _deaf(patch: pytest.MonkeyPatch, call: str) -> None:
    """That call's answers say of every entry that it was done."""
    begin = SqsQueue.__init__

    class Client:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            real = getattr(self._client, name)

            async def unheard(**given: Any) -> Any:
                await real(**given)
                return {"Successful": [{"Id": entry["Id"]} for entry in given["Entries"]]}

            return unheard if name == call else real

    def changed(self: SqsQueue, *given: Any, calls: Any, **named: Any) -> None:
        begin(self, *given, calls=Client(calls), **named)

    patch.setattr(SqsQueue, "__init__", changed)


def failed_deletions_are_dropped(patch: pytest.MonkeyPatch) -> None:
    _deaf(patch, "delete_message_batch")


def failed_extensions_are_dropped(patch: pytest.MonkeyPatch) -> None:
    _deaf(patch, "change_message_visibility_batch")


def failed_sends_are_dropped(patch: pytest.MonkeyPatch) -> None:
    _deaf(patch, "send_message_batch")


def polls_that_hang_are_waited_for(patch: pytest.MonkeyPatch) -> None:
    begin = Intake.__init__

    class Forgetful(list[Any]):
        def append(self, _: Any) -> None:
            return

    def changed(self: Intake[Any], *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        self._pollers = Forgetful()

    patch.setattr(Intake, "__init__", changed)


def what_a_cancelled_batch_of_calls_leaves_is_waited_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runtime, "ABANDON_SECONDS", 1_000.0)


def what_is_not_named_as_failed_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    """An answer without content says nothing of any entry; here that is taken for good news."""

    def trusting(items: Sequence[Any], answer: Mapping[str, Any]) -> list[Any]:
        failed = {entry["Id"] for entry in answer.get("Failed", [])}
        return [item for place, item in enumerate(items) if str(place) in failed]

    patch.setattr(sqs, "_not_done", trusting)


def a_call_takes_more_than_sqs_does(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sqs, "ENTRIES_MAX", 11)


def claims_are_never_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Inflight, "let_go_expired", lambda self: None)


def a_late_extension_is_believed(patch: pytest.MonkeyPatch) -> None:
    """The queue says OK after a claim's time was up, and did nothing."""
    extending: ContextVar[bool] = ContextVar("extending", default=False)
    extend, let_go = Inflight._extend, Inflight.let_go_expired  # noqa: SLF001 (a test may break what it likes)

    async def trusting(self: Inflight) -> None:
        token = extending.set(True)
        try:
            await extend(self)
        finally:
            extending.reset(token)

    patch.setattr(Inflight, "_extend", trusting)
    patch.setattr(Inflight, "let_go_expired", lambda self: None if extending.get() else let_go(self))


def letters_are_sent_before_their_originals_are_stored(patch: pytest.MonkeyPatch) -> None:
    send = DeadLetters.send

    async def swapped(self: Any, given: Sequence[Any]) -> None:
        other = copy.copy(self)
        late = other._store = LateStore(self._store)  # noqa: SLF001
        await send(other, given)
        await late.flush()

    patch.setattr(DeadLetters, "send", swapped)


def originals_are_not_stored(patch: pytest.MonkeyPatch) -> None:
    send = DeadLetters.send

    async def forgetful(self: Any, given: Sequence[Any]) -> None:
        other = copy.copy(self)
        other._store = LateStore(self._store)  # noqa: SLF001
        await send(other, given)

    patch.setattr(DeadLetters, "send", forgetful)


def large_originals_travel_whole(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(letters, "LETTER_BYTES_MAX", 1 << 30)


MUTANTS: tuple[Mutant, ...] = (
    failed_deletions_are_dropped,
    failed_extensions_are_dropped,
    failed_sends_are_dropped,
    polls_that_hang_are_waited_for,
    what_a_cancelled_batch_of_calls_leaves_is_waited_for,
    what_is_not_named_as_failed_counts_as_done,
    a_call_takes_more_than_sqs_does,
    claims_are_never_over,
    a_late_extension_is_believed,
    letters_are_sent_before_their_originals_are_stored,
    originals_are_not_stored,
    large_originals_travel_whole,
)

NEAR: dict[Mutant, str] = {
    polls_that_hang_are_waited_for: "-dlq send hang",
    what_a_cancelled_batch_of_calls_leaves_is_waited_for: "hang",
}
"""Found soonest where such a fault is drawn."""
FIRST: dict[Mutant, int] = {
    what_a_cancelled_batch_of_calls_leaves_is_waited_for: 131,
    a_late_extension_is_believed: 35,
}
"""The worlds that show what few others do."""
AMONG: dict[Mutant, Callable[[Plan], bool]] = {a_call_takes_more_than_sqs_does: lambda plan: plan.crowded}
"""Found where so many messages come."""


def _alone(plan: Plan) -> bool:
    """Whether nobody runs commands, which takes long."""
    return not plan.peopled


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_service_that_does_not_listen_to_the_queue_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    found = breach(NEAR.get(mutant, ""), AMONG.get(mutant, _alone), first=FIRST.get(mutant))
    assert found is not None
