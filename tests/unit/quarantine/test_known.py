"""Which records are known: exactly those that were told of, as far as there is room for them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.dead_letter import Place
from service.quarantine.known import CHARS_MAX, Brought, KnownRecords

PLACES = st.sets(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)), max_size=20)
TOLD = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), PLACES), max_size=9)


def brought(raw_file: str, places: set[Place] | list[Place], *, sent_back: bool = False) -> Brought:
    return Brought("l", len(places), raw_file, sorted(places), sent_back)


@given(TOLD)
def test_each_record_is_fresh_once(told: list[tuple[str, set[Place]]]) -> None:
    text, known = "", set[tuple[str, Place]]()
    for raw_file, places in told:
        records = KnownRecords(text)
        these = {(raw_file, place) for place in places}
        assert records.fresh([brought(raw_file, places)]) == len(these - known)
        known |= these
        text = records.text()


def test_what_has_no_places_and_what_was_sent_back_is_fresh_whatever_is_known() -> None:
    records = KnownRecords("")
    assert records.fresh([brought("a", [(0, 0)]), Brought("l", 7)]) == 8
    assert records.fresh([brought("a", [(0, 0)], sent_back=True), brought("a", [(1, 0)], sent_back=True)]) == 2
    assert records.fresh([brought("a", [(0, 0), (1, 0)]), Brought("l", 7)]) == 7


def test_a_letter_brings_no_more_than_no_other_one_did() -> None:
    """Of what two letters of a batch tell one brings nothing."""
    records = KnownRecords("")
    assert records.fresh([Brought("l", 1, "a", [(0, 0), (1, 0)]), Brought("m", 1, "a", [(1, 0)])]) == 1


def test_there_is_room_for_the_raw_files_that_were_told_of_last() -> None:
    source = random.Random(1)
    text, each = "", 100
    for number in range(600):
        records = KnownRecords(text)
        rows = sorted(source.sample(range(1_000), each))
        assert records.fresh([brought(f"{number}", [(row, 0) for row in rows])]) == each
        text = records.text()
        assert len(text) <= CHARS_MAX
    all_rows = [(row, 0) for row in range(1_000)]
    left = [KnownRecords(text).fresh([brought(f"{number}", all_rows)]) for number in range(600)]
    known = left.count(900)
    assert known > 400
    assert left == [1_000] * (600 - known) + [900] * known


def test_a_raw_file_that_is_told_of_again_is_the_last_one() -> None:
    many = [(3 * row, 0) for row in range(20_000)]
    records = KnownRecords("")
    for raw_file, places in (("a", many), ("b", many), ("a", [(1, 0)]), ("c", many)):
        records.fresh([brought(raw_file, places)])
    kept = KnownRecords(records.text())
    assert [kept.fresh([brought(name, many[:1])]) for name in "abc"] == [0, 1, 0], "there is room for two"


def test_a_raw_file_that_alone_has_no_room_drives_out_no_others() -> None:
    records = KnownRecords("")
    records.fresh([brought("a", [(5, 0)]), brought("b", [(3 * row, 0) for row in range(60_000)])])
    kept = KnownRecords(records.text())
    assert kept.fresh([brought("a", [(5, 0)]), brought("b", [(3, 0)])]) == 1


@pytest.mark.parametrize("packed", ["", ":", "y", "é", "////", "gICAgICAgIA=", "\ud800", "AA:AA", " x", "AA==\n:"])
def test_what_is_damaged_is_nobodys(packed: str) -> None:
    records = KnownRecords("")
    records.fresh([brought("a", [(7, 0)])])
    name, _, _ = records.text().partition(":")
    records = KnownRecords(f"{name}:{packed}")
    assert records.fresh([brought("a", [(5, 0)])]) == 1
    assert KnownRecords(records.text()).fresh([brought("a", [(5, 0)])]) == 0
