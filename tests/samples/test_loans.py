"""The twin of the real loan events has the same shape, and its known answers are true."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.local.samples.loans import LoanAnswers, loan_events


class Twin(NamedTuple):
    """The full twin, read once."""

    records: list[dict[str, Any]]
    answers: LoanAnswers


@pytest.fixture(scope="module")
def twin() -> Twin:
    texts, answers = loan_events()
    return Twin([json.loads(text) for text in texts], answers)


@pytest.fixture(scope="module")
def real(repository: Path) -> list[dict[str, Any]]:
    path = repository.parent / "shared" / "data" / "loan_events.ndjson.gz"
    if not path.exists():
        pytest.skip("the real loan events are not beside this repository (../shared/data)")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _recount(records: Iterable[dict[str, Any]]) -> LoanAnswers:
    rows = list(records)
    times = [datetime.fromisoformat(row["timestamp"]).astimezone(UTC) for row in rows]
    submitted = [row["application"]["amount_requested"] for row in rows if row["step"] == "A_SUBMITTED"]
    return LoanAnswers(
        rows=len(rows),
        distinct_event_ids=len({row["event_id"] for row in rows}),
        applications=len({row["application_id"] for row in rows}),
        rows_by_step=Counter(row["step"] for row in rows),
        amount_submitted_sum=sum(submitted),
        event_time_min=min(times),
        event_time_max=max(times),
    )


def _paths(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every path in the record's own order, with the type of its value."""
    for name, value in record.items():
        yield prefix + name, type(value).__name__
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{name}.")


def _shapes(records: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(record["step"][0], *_paths(record)) for record in records}


def _without_user(records: list[dict[str, Any]]) -> float:
    return sum("user" not in record for record in records) / len(records)


def test_answers_equal_a_recount_from_the_text(twin: Twin) -> None:
    assert asdict(_recount(twin.records)) == asdict(twin.answers)


def test_every_mapped_path_occurs_and_only_work_items_are_left_to_rest(
    twin: Twin, definition: Callable[[str], dict[str, Any]]
) -> None:
    mapped = {column.get("path", column["name"]) for column in definition("loan_events")["column"]}
    leaves = {path for record in twin.records for path, kind in _paths(record) if kind != "dict"}
    assert leaves - mapped == {"work_item.queue"}
    assert mapped - leaves == set()


def test_the_default_has_the_real_numbers(twin: Twin) -> None:
    answers = twin.answers
    assert (answers.rows, answers.distinct_event_ids, answers.applications) == (262_200, 262_200, 13_087)
    assert answers.rows_by_step["A_SUBMITTED"] == 13_087
    assert len(answers.rows_by_step) == 24


def test_events_are_in_time_order_and_numbered_within_an_application(twin: Twin) -> None:
    moments = [datetime.fromisoformat(record["timestamp"]) for record in twin.records]
    assert moments == sorted(moments)
    last: Counter[str] = Counter()
    for record in twin.records:
        last[record["application_id"]] += 1
        assert record["event_id"] == f"{record['application_id']}-{last[record['application_id']]:04d}"


def test_times_have_milliseconds_and_the_offset_of_their_season(twin: Twin) -> None:
    summer_ends, summer_begins = datetime(2011, 10, 30, 1, tzinfo=UTC), datetime(2012, 3, 25, 1, tzinfo=UTC)
    offsets = Counter(record["timestamp"][-6:] for record in twin.records)
    assert set(offsets) == {"+01:00", "+02:00"}
    for record in twin.records:
        moment = datetime.fromisoformat(record["timestamp"])
        winter = summer_ends <= moment < summer_begins
        assert record["timestamp"].endswith("+01:00" if winter else "+02:00")
        assert len(record["timestamp"]) == len("2011-10-01T00:38:44.546+02:00")
    assert datetime(2011, 9, 30, 22, tzinfo=UTC) <= twin.answers.event_time_min
    assert twin.answers.event_time_max < datetime(2012, 3, 31, 22, tzinfo=UTC)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first, again, other = (list(loan_events(applications=50, events=1_000, seed=seed)[0]) for seed in (5, 5, 6))
    assert first == again != other


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("applications", "events"), [(1, 3), (1, 4), (1, 5), (2, 9), (7, 140), (40, 801), (300, 2_000)]
)
def test_small_twins_are_exact_too(applications: int, events: int, seed: int) -> None:
    texts, answers = loan_events(applications=applications, events=events, seed=seed)
    assert asdict(_recount(json.loads(text) for text in texts)) == asdict(answers)
    assert (answers.rows, answers.distinct_event_ids, answers.applications) == (events, events, applications)


@pytest.mark.parametrize(("applications", "events"), [(0, 0), (0, 10), (2, 5)])
def test_fewer_events_than_applications_need_are_refused(applications: int, events: int) -> None:
    with pytest.raises(ValueError, match="at least 3"):
        loan_events(applications=applications, events=events)


def test_shapes_are_the_real_ones(twin: Twin, real: list[dict[str, Any]]) -> None:
    assert _shapes(twin.records) == _shapes(real)


def test_steps_and_transitions_are_the_real_ones_in_about_the_real_shares(
    twin: Twin, real: list[dict[str, Any]]
) -> None:
    counted, expected = (
        Counter((record["step"], record["transition"]) for record in records) for records in (twin.records, real)
    )
    assert set(counted) == set(expected)
    for step, count in expected.items():
        assert counted[step] == pytest.approx(count, rel=0.25, abs=30), step


def test_the_share_without_a_user_is_about_the_real_one(twin: Twin, real: list[dict[str, Any]]) -> None:
    assert _without_user(twin.records) == pytest.approx(_without_user(real), abs=0.005)
