"""Dead letters on their way to the queue."""

import json
from datetime import UTC, datetime

from service.core.dead_letter import LETTER_BYTES_MAX, rejected_message
from service.core.errors import RejectedError
from service.core.model import Attribute, Message
from service.core.zones import Zone
from service.intake.letters import DeadLetters
from tests.fakes.journal import Journal
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore
from tests.fakes.time import run_virtual

NOW = datetime(2024, 3, 4, tzinfo=UTC)


def _sent(body: str) -> tuple[Journal, FakeQueue, FakeStore]:
    journal = Journal()
    store = FakeStore(journal)

    async def main() -> FakeQueue:
        queue = FakeQueue("dlq", journal)
        message = Message("m1", body, {"dataset": Attribute("String", "x")}, NOW, NOW, 1, "r1")
        letter = rejected_message("land", "", message, RejectedError("unknown_dataset", "no dataset"), NOW)
        await DeadLetters(queue, store=store, errors=Zone("errors", "errors", "")).send([letter])
        return queue

    return journal, run_virtual(main()), store


def test_an_original_that_fits_travels_in_its_letter() -> None:
    _, queue, store = _sent('{"a":  1}')
    [body] = queue.bodies
    assert json.loads(body)["original"]["body"] == '{"a":  1}'
    assert not store.objects


def test_an_original_that_does_not_fit_is_stored_first_and_pointed_to() -> None:
    huge = '"' * (LETTER_BYTES_MAX // 2)
    journal, queue, store = _sent(huge)
    assert journal.effects == ["put errors originals/dt=2024-03-04", "dlq send 1"]
    [body] = queue.bodies
    letter = json.loads(body)
    assert len(body) < 1_000
    assert json.loads(store.objects[letter["original"]["uri"]])["body"] == huge
    assert letter["original"]["uri"].endswith(f"/{letter['error_id']}.json")
