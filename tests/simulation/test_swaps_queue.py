"""What the queue says of each message matters, and when a claim is over: services that do not listen are found."""

import copy
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from service.aws import sqs
from service.aws.sqs import SqsQueue
from service.intake import letters
from service.intake.inflight import Inflight
from service.intake.letters import DeadLetters
from tests.simulation.mutants import Mutant, breach
from tests.simulation.test_swaps import LateStore


def _deaf(patch: pytest.MonkeyPatch, call: str) -> None:
    """The `Failed` entries of that call's answers are dropped."""
    begin = SqsQueue.__init__

    class Client:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            real = getattr(self._client, name)

            async def unheard(**given: Any) -> Any:
                return {key: value for key, value in (await real(**given)).items() if key != "Failed"}

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
    a_call_takes_more_than_sqs_does,
    claims_are_never_over,
    a_late_extension_is_believed,
    letters_are_sent_before_their_originals_are_stored,
    originals_are_not_stored,
    large_originals_travel_whole,
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_service_that_does_not_listen_to_the_queue_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    assert breach() is not None
