"""Failed records get an id each, and their texts from the raw file, so many at a time."""

from collections.abc import Sequence

from service.core.datasets import Dataset
from service.core.dead_letter import DeadLetter, Place
from service.quarantine.arrivals import Arrivals, Failure
from service.quarantine.records import PLACES_AT_A_TIME, Landed, messages_block, record_blocks
from tests.unit.quarantine.bench import (
    ERRORS_ZONE,
    NOON,
    RAW,
    RAW_FILE,
    UNOPENABLE,
    about_message,
    about_records,
    dead,
    raw_file,
    read_lines,
    sound,
)


def failure_of(message: object, loans: Dataset) -> Failure:
    return Arrivals("refine", zones=(RAW, ERRORS_ZONE), datasets={"loans": loans}, check=sound).failure(message)  # type: ignore[arg-type]


def show(_: Failure, text: str) -> str:
    return f"<{text}>"


def test_each_record_has_the_id_that_a_letter_with_that_first_place_has(loans: Dataset) -> None:
    [block] = record_blocks(failure_of(about_records((3, 1), (0, 0)), loans), None, set(), read_lines, show)
    alone = [
        DeadLetter(
            "refine", "loans", "bad_type", "", "amount", NOON, definition="0a", raw_file=RAW_FILE, places=[place]
        )
        for place in [(3, 1), (0, 0)]
    ]
    assert block.error_ids == [letter.error_id for letter in alone]


def test_texts_message_ids_and_previews_come_from_the_raw_file(loans: Dataset) -> None:
    raw = raw_file("a\nb", "c", f"{UNOPENABLE}x")
    places = [(0, 1), (1, 0), (2, 0), (2, 1), (9, 0)]
    [block] = record_blocks(failure_of(about_records(*places), loans), raw, set(), read_lines, show)
    assert block.places == places
    assert block.bodies == [b"b", b"c", b"H4sIx", None, None]
    assert block.message_ids == ["m0", "m1", "m2", None, None]
    assert block.previews == ["<b>", "<c>", "<H4sIx>", None, None]


def test_a_raw_file_that_is_gone_leaves_rows_without_texts(loans: Dataset) -> None:
    [block] = record_blocks(failure_of(about_records((0, 0), (5, 2)), loans), None, set(), read_lines, show)
    assert block.places == [(0, 0), (5, 2)]
    assert [*block.bodies, *block.previews, *block.message_ids] == [None] * 6


def test_many_places_are_read_some_at_a_time_and_a_place_that_is_there_twice_once(loans: Dataset) -> None:
    asked: list[Sequence[Place]] = []

    def read(_: bytes, places: Sequence[Place]) -> list[Landed | None]:
        asked.append(places)
        return [None] * len(places)

    places = [(row, 0) for row in range(PLACES_AT_A_TIME + 5)]
    blocks = [*record_blocks(failure_of(about_records(*places, (0, 0)), loans), b"", set(), read, show)]
    assert [len(one) for one in asked] == [PLACES_AT_A_TIME, 5]
    assert [place for block in blocks for place in block.places] == places


def test_what_is_known_is_left_out(loans: Dataset) -> None:
    known: set[str] = set()
    records, whole = failure_of(about_records((0, 0)), loans), failure_of(about_message(dead("{}", "m1")), loans)
    assert [*record_blocks(records, None, known, read_lines, show)]
    assert not [*record_blocks(records, None, known, read_lines, show)]
    assert len(messages_block([whole, whole], known, show).error_ids) == 1
    assert not messages_block([whole], known, show).error_ids


def test_only_messages_of_land_are_shown_as_records(loans: Dataset) -> None:
    land, load = about_message(dead("{}", "m1")), about_message(dead("{}", "m2"), layer="load", code="bad_file")
    block = messages_block([failure_of(land, loans), failure_of(load, loans)], set(), show)
    assert block.previews == ["<{}>", None]
