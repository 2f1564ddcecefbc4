"""The checker of what was rejected bites: histories with one step missing each."""

import pytest

from tests.faults.history import Entry
from tests.faults.rejected import Rejected, Told, order_of_letters

ROWS, BACK = "s3://errors/a/errors/dt=2012-01-01/b.parquet", "s3://errors/a/errors/dt=2012-01-01/c.parquet"
ORIGINAL, STATE = "s3://errors/a/originals/dt=2012-01-01/b.parquet", "s3://errors/a/fingerprints/f.json"
PORTION = "rounds/r/1.json"
FOUND = Rejected(
    rows=[],
    told=[
        Told(ROWS, "e", "f", "m", ORIGINAL, "open"),
        Told(BACK, "e", "f", "m", ORIGINAL, "reprocessed"),
    ],
    states={},
    rounds={},
    portions={PORTION: {"items": [{"error_ids": ["e"]}]}},
    copies=[],
    dead=0,
)
LETTER: dict[str, object] = {"id": "m", "receipt": "r", "letter": "e"}
BARE: dict[str, object] = {"id": "m", "receipt": "r"}


def _done(operation: str, target: str, *messages: dict[str, object]) -> Entry:
    return Entry(1, 1.0, "done", 1, "w", "", operation, target, {"status": 200, "messages": list(messages)})


def _put(uri: str) -> Entry:
    return _done("PutObject", uri.removeprefix("s3://"))


def _deleted(queue: str) -> Entry:
    return Entry(1, 1.0, "asked", 1, "w", "", "DeleteMessageBatch", queue, {"receipts": {"0": "r"}})


TOLD = _done("SendMessageBatch", "a-load", {"id": "n", "files": [ROWS]})
COPIED = _done("SendMessageBatch", "a-reprocess", {"id": "c", "letter": "e"})
EFFECTS = {
    "original": _put(ORIGINAL),
    "rows": _put(ROWS),
    "notice": TOLD,
    "count": _put(STATE),
    "copy": COPIED,
}


def _quarantined(message: dict[str, object], without: str = "") -> list[str]:
    steps = [effect for name, effect in EFFECTS.items() if name != without]
    return list(order_of_letters([_done("ReceiveMessage", "a-refine-dlq", message), *steps, _deleted("a-dlq")], FOUND))


@pytest.mark.parametrize("message", [LETTER, BARE])
def test_what_is_kept_may_go(message: dict[str, object]) -> None:
    assert _quarantined(message) == []


@pytest.mark.parametrize("without", EFFECTS)
@pytest.mark.parametrize("message", [LETTER, BARE])
def test_what_is_not_kept_may_not_go(message: dict[str, object], without: str) -> None:
    assert len(_quarantined(message, without)) == 1


def test_a_notice_before_its_rows_does_not_count() -> None:
    received = _done("ReceiveMessage", "a-dlq", LETTER)
    steps = [TOLD, _put(ORIGINAL), _put(ROWS), _put(STATE), COPIED]
    assert len(list(order_of_letters([received, *steps, _deleted("a-dlq")], FOUND))) == 1


@pytest.mark.parametrize("without", [None, 0, 1])
def test_a_copy_goes_when_what_it_is_about_was_written_down(without: int | None) -> None:
    steps = [_put(BACK), _put(f"s3://errors/a/{PORTION}")]
    kept = [step for number, step in enumerate(steps) if number != without]
    history = [_done("ReceiveMessage", "a-reprocess", LETTER), *kept, _deleted("a-reprocess")]
    assert len(list(order_of_letters(history, FOUND))) == (0 if without is None else 1)
