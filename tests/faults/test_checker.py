"""The checker bites: histories and stores with one thing wrong each."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.checker import confinement, order, unfinished
from tests.faults.history import Entry, What
from tests.faults.line import Line
from tests.faults.rules import Rules
from tests.faults.stores import Stored, Stores

DAY = "dt=2012-01-01"
BATCH = "20120101T000000000Z-0123456789abcdef"
RAW = f"s3://acequia-raw/a/d/{DAY}/hr=00/{BATCH}.parquet"
REFINED = f"s3://acequia-refined/a/d/{DAY}/{BATCH}.0123456789ab.parquet"


def _written(*steps: tuple[What, str, str, dict[str, Any]]) -> list[Entry]:
    return [
        Entry(number, float(number), what, number, "worker-1", _service(operation), operation, target, facts)
        for number, (what, operation, target, facts) in enumerate(steps, start=1)
    ]


def _service(operation: str) -> str:
    return "s3" if operation.endswith("Object") else "warehouse" if operation.isupper() else "sqs"


def _stores() -> Stores:
    body = io.BytesIO()
    pq.write_table(pa.table({"message_id": ["m"], "body": ["{}"]}), body)
    return Stores({RAW: Stored(RAW, body.getvalue())}, {}, {}, {}, {}, 0, Counter(), Counter(), [])


Step = tuple[What, str, str, dict[str, Any]]
RECEIVED: Step = ("done", "ReceiveMessage", "a-records", {"messages": [{"id": "m", "receipt": "r"}]})
PUT: Step = ("done", "PutObject", RAW.removeprefix("s3://"), {"status": 200})
ANNOUNCED: Step = ("done", "SendMessageBatch", "a-refine", {"messages": [{"id": "n", "files": [RAW]}]})
DELETED: Step = ("asked", "DeleteMessageBatch", "a-records", {"receipts": {"0": "r"}})
NOTICE: Step = ("done", "ReceiveMessage", "a-refine", {"messages": [{"id": "n", "receipt": "s", "files": [RAW]}]})
ON: Step = ("done", "SendMessageBatch", "a-load", {"messages": [{"id": "l", "files": [REFINED]}]})
REFINE_DELETED: Step = ("asked", "DeleteMessageBatch", "a-refine", {"receipts": {"0": "s"}})
LOAD: Step = ("done", "ReceiveMessage", "a-load", {"messages": [{"id": "l", "receipt": "t", "files": [REFINED]}]})
COMMIT: Step = ("done", "COMMIT", "BEGIN COPY", {"failed": False, "uris": [REFINED]})
LOAD_DELETED: Step = ("asked", "DeleteMessageBatch", "a-load", {"receipts": {"0": "t"}})
WHOLE = (RECEIVED, PUT, ANNOUNCED, DELETED, NOTICE, ON, REFINE_DELETED, LOAD, COMMIT, LOAD_DELETED)


def test_the_right_order_is_right() -> None:
    assert list(order(_written(*WHOLE), _stores())) == []


@pytest.mark.parametrize("without", [RECEIVED, PUT, ANNOUNCED, NOTICE, ON, LOAD, COMMIT])
def test_each_effect_is_needed_before_the_deletion(without: Any) -> None:
    steps = [step for step in WHOLE if step is not without]
    assert list(order(_written(*steps), _stores()))
    late: Sequence[Any] = [*steps, without]
    assert list(order(_written(*late), _stores())), "too late is as bad"


def test_a_raw_object_without_the_message_does_not_count() -> None:
    other = ("done", "ReceiveMessage", "a-records", {"messages": [{"id": "other", "receipt": "r"}]})
    steps: list[Any] = [other if step is RECEIVED else step for step in WHOLE]
    [problem] = order(_written(*steps), _stores())
    assert problem.startswith("a-records: deleted before")


def test_a_fault_counts_only_when_something_was_settled_after_it() -> None:
    rule = Rules().on("PutObject", _never)
    fault: Any = ("fault", "PutObject", "x", {"rule": rule.name})
    settled: Any = ("done", "DeleteMessageBatch", "a-records", {"receipts": ["r"]})
    assert unfinished(_written(fault, settled), rule)
    assert not unfinished(_written(settled, fault), rule)
    assert not unfinished(_written(settled), rule)


@pytest.mark.stack
@pytest.mark.asyncio(loop_scope="session")
async def test_calls_to_other_places_are_seen(line: Line, tmp_path: Path) -> None:
    queue, prefix = line.queue("records"), line.zone("raw").removeprefix("s3://")
    ours = _written(
        ("asked", "ReceiveMessage", queue, {}),
        ("asked", "PutObject", f"{prefix}/d/x.parquet", {}),
        ("asked", "COPY", "", {"tables": [f"lake.{line.dataset}"]}),
    )
    assert list(confinement(ours, line)) == []
    theirs = _written(
        ("asked", "ReceiveMessage", f"{queue}-other", {}),
        ("asked", "PutObject", f"{prefix}-other/d/x.parquet", {}),
        ("asked", "COPY", "", {"tables": ["lake.other"]}),
    )
    assert len(list(confinement(theirs, line))) == 3


async def _never(call: Any, forward: Any) -> Any:
    raise AssertionError
