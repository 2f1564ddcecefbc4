"""Onboarding samples are repeatable, exact in number, and in an order in which a queue could bring them."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from service.core.errors import CODES
from service.local.samples.onboarding import SPAN_DAYS, Sample, onboarding_samples
from service.local.samples.poison import POISONS


def _loaded(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    return [json.loads(sample.text) for sample in samples if sample.fate == "loaded"]


def test_the_same_arguments_give_the_same_bytes(samples: list[Sample], start: datetime) -> None:
    assert list(onboarding_samples(count=len(samples), seed=7, start=start)) == samples


def test_a_start_written_in_another_zone_is_the_same_start(start: datetime) -> None:
    elsewhere = start.astimezone(timezone(timedelta(hours=-6)))
    assert list(onboarding_samples(count=300, seed=1, start=elsewhere)) == list(
        onboarding_samples(count=300, seed=1, start=start)
    )


def test_another_seed_gives_other_events(start: datetime) -> None:
    first, second = (_loaded(onboarding_samples(count=200, seed=seed, start=start)) for seed in (1, 2))
    assert not {event["event_id"] for event in first} & {event["event_id"] for event in second}


@pytest.mark.parametrize("count", [0, 1, 2, 7, 199, 1_000])
def test_exactly_as_many_as_asked_for(count: int, start: datetime) -> None:
    assert sum(1 for _ in onboarding_samples(count=count, seed=3, start=start)) == count


def test_a_start_without_a_zone_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="zone"):
        onboarding_samples(count=1, seed=1, start=datetime(2024, 1, 1))  # noqa: DTZ001 - the very thing that is refused


def test_fates_add_up_and_keep_their_shares(samples: list[Sample]) -> None:
    fates = Counter(sample.fate for sample in samples)
    assert fates.total() == len(samples)
    assert fates["duplicate"] / len(samples) == pytest.approx(0.01, abs=0.004)
    assert fates["rejected"] / len(samples) == pytest.approx(0.005, abs=0.0025)
    assert all((sample.code is not None) == (sample.fate == "rejected") for sample in samples)


def test_every_code_of_a_poison_occurs_and_is_one_of_the_closed_set(samples: list[Sample]) -> None:
    codes = {sample.code for sample in samples if sample.code is not None}
    assert codes == {code for code, _ in POISONS} <= CODES
    assert codes == {"bad_json", "too_deep", "missing_required", "bad_type", "too_long", "bad_time"}


def test_a_duplicate_follows_its_first_copy_in_both_forms(samples: list[Sample]) -> None:
    sent: dict[str, str] = {}
    forms: Counter[bool] = Counter()
    for sample in samples:
        if sample.fate == "rejected":
            continue
        event_id = json.loads(sample.text)["event_id"]
        assert (event_id in sent) == (sample.fate == "duplicate")
        if sample.fate == "duplicate":
            forms[sample.text == sent[event_id]] += 1
        sent.setdefault(event_id, sample.text)
    assert forms[True]
    assert forms[False]


def test_a_record_is_one_line(samples: list[Sample]) -> None:
    assert not [sample for sample in samples if "\n" in sample.text or "\r" in sample.text]


def test_good_events_lie_within_the_span_and_some_come_late(samples: list[Sample], start: datetime) -> None:
    moments = [datetime.fromisoformat(event["occurred_at"]) for event in _loaded(samples)]
    # The sender may cut a moment down to the second.
    assert start - timedelta(seconds=1) < min(moments)
    assert max(moments) < start + timedelta(days=SPAN_DAYS)
    newest, late = moments[0], 0
    for moment in moments:
        newest = max(newest, moment)
        late += newest - moment > timedelta(hours=1)
    assert late / len(moments) == pytest.approx(0.02, abs=0.01)


def test_times_come_with_many_offsets_and_precisions(samples: list[Sample]) -> None:
    texts = [event["occurred_at"] for event in _loaded(samples)]
    assert {"Z", "+05:30", "-03:00", "+09:00"} <= {"Z" if text.endswith("Z") else text[-6:] for text in texts}
    assert {19, 23, 26} <= {len(text.removesuffix("Z").split("+")[0]) for text in texts}


def test_an_applicant_takes_the_steps_in_order(samples: list[Sample]) -> None:
    taken: dict[str, list[tuple[datetime, str]]] = {}
    for event in _loaded(samples):
        moment = datetime.fromisoformat(event["occurred_at"]).astimezone(UTC)
        taken.setdefault(event["applicant"]["id"], []).append((moment, event["step"]))
    # An applicant's first event may be among the poison, so only what is last can be held against all.
    last = {"card_ordered", "application_abandoned"}
    for steps in taken.values():
        assert not [step for _, step in sorted(steps)[:-1] if step in last]


def test_names_use_many_scripts(samples: list[Sample]) -> None:
    names = {event["customer"]["full_name"] for event in _loaded(samples) if "customer" in event}
    assert any("Ł" in name for name in names)
    assert any(name.endswith("田中") for name in names)


def test_a_hundred_thousand_take_seconds_at_most(start: datetime) -> None:
    began = time.process_time()
    for _ in onboarding_samples(count=100_000, seed=1, start=start):
        pass
    # About one second; the rest is for slow machines.
    assert time.process_time() - began < 10
