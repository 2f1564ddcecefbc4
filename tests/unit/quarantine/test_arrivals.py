"""Everything that comes out of a dead-letter queue is one failure, and only our own letters are believed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.core.datasets import Dataset
from service.core.dead_letter import LETTER_BYTES_MAX
from service.core.errors import RejectedError
from service.core.marks import MARK_ATTRIBUTE, Mark
from service.core.model import Attribute, Message, Outgoing
from service.core.notice import File, FileNotice
from service.quarantine.arrivals import RECEIVES_READ_MAX, Arrivals, Check, Source
from tests.unit.quarantine.bench import ERRORS_ZONE, NOON, RAW, RAW_FILE, about_message, about_records, dead, sound

HUGE = '"' * (LETTER_BYTES_MAX // 2)


def arrivals(loans: Dataset, source: Source = "land", check: Check = sound) -> Arrivals:
    return Arrivals(source, zones=(RAW, ERRORS_ZONE), datasets={"loans": loans}, check=check)


def altered(message: Message, **changed: Any) -> Message:
    return dead(json.dumps({**json.loads(message.body), **changed}))


def notice(dataset: str, uri: str = RAW_FILE) -> str:
    return FileNotice(dataset, "raw", [File(uri, "e", 1, 1)], [("body", "string")], "b", "", NOON).to_json()


def test_a_letter_about_records_is_told_as_it_says(loans: Dataset) -> None:
    letter = about_records((0, 1), (7, 0))
    failure = arrivals(loans, "refine").failure(letter)
    told = failure.layer, failure.dataset, failure.code, failure.field, failure.definition
    assert told == ("refine", "loans", "bad_type", "amount", "0a")
    assert (failure.raw_file, [*failure.places]) == (RAW_FILE, [(0, 1), (7, 0)])
    assert failure.first_failed_at == failure.last_failed_at == NOON
    assert failure.on_its_way("s3://errors/x") == Outgoing(letter.body, letter.attributes)


def test_a_letter_weighs_as_many_records_as_it_names(loans: Dataset) -> None:
    letter = about_records((0, 1), (7, 0), (8, 0))
    assert arrivals(loans).records(letter) == 3
    assert arrivals(loans).records(altered(letter, more=1)) == 3
    assert arrivals(loans).records(about_message(dead(letter.body))) == 1
    assert arrivals(loans).records(dead("{}")) == 1


def test_a_letter_about_a_message_keeps_its_original(loans: Dataset) -> None:
    original = dead('{"a":  1}', "m7", dataset="nobodys")
    failure = arrivals(loans).failure(about_message(original))
    assert failure.original is not None
    assert (failure.original.body, failure.original.attributes) == ('{"a":  1}', original.attributes)
    assert (failure.original.message_id, failure.dataset, failure.code) == ("m7", "", "unknown_dataset")


def test_moments_become_utc(loans: Dataset) -> None:
    letter = altered(about_records((0, 0)), first_failed_at="2024-03-03T23:30:00-03:00")
    assert arrivals(loans, "refine").failure(letter).first_failed_at == datetime(2024, 3, 4, 2, 30, tzinfo=UTC)


def test_nothing_failed_first_after_it_failed_last(loans: Dataset) -> None:
    letter = altered(about_records((0, 0)), first_failed_at="2024-03-04T12:00:01Z")
    assert arrivals(loans, "refine").failure(letter).first_failed_at == NOON


def test_what_was_sent_back_and_moved_by_sqs_failed_first_when_its_mark_says(loans: Dataset) -> None:
    mark = Mark("e", "m1", 2, "round-1", NOON - timedelta(days=3))
    message = Message("m9", "{}", {MARK_ATTRIBUTE: mark.attribute()}, NOON, NOON, 21, "r")
    failure = arrivals(loans).failure(message)
    assert (failure.first_failed_at, failure.last_failed_at) == (NOON - timedelta(days=3), NOON)
    assert (failure.attempts, failure.round_id) == (3, "round-1")


OTHER_FILE = RAW_FILE.replace("0123456789abcdef", "fedcba9876543210")
TWO_FILES = FileNotice("loans", "raw", [File(uri, "e", 1, 1) for uri in (RAW_FILE, OTHER_FILE)], [], "b", "", NOON)


@pytest.mark.parametrize(
    ("layer", "body", "told"),
    [
        ("refine", notice("loans"), RAW_FILE),
        ("refine", notice("nobodys", RAW_FILE.replace("loans", "nobodys")), RAW_FILE.replace("loans", "nobodys")),
        ("refine", notice("others"), None),
        ("refine", notice("loans", "s3://elsewhere/loans.parquet"), None),
        ("refine", TWO_FILES.to_json(), None),
        ("refine", "no notice", None),
        ("load", notice("loans"), None),
        ("land", notice("loans"), None),
    ],
)
def test_a_notice_that_refine_could_not_work_on_is_about_its_one_raw_file(
    loans: Dataset, layer: Source, body: str, told: str | None
) -> None:
    """By our letter, and as SQS moves it."""
    letter = about_message(dead(body), layer=layer, dataset="loans", code="bad_file", sentence="not readable")
    for message in (letter, dead(body)):
        failure = arrivals(loans, layer).failure(message)
        assert (failure.about_file, failure.raw_file, [*failure.places]) == (told, None, [])


def test_what_sqs_moved_is_redriven_with_the_checks_guess(loans: Dataset) -> None:
    def check(_: Message) -> RejectedError:
        return RejectedError("unknown_dataset", "there is no definition")

    message = dead("{}", "m1", dataset="loans")
    failure = arrivals(loans, check=check).failure(message)
    assert (failure.layer, failure.dataset, failure.code) == ("land", "loans", "redriven")
    assert failure.sentence.endswith("the layer's own checks say unknown_dataset: there is no definition")
    assert failure.first_failed_at == message.received_at
    copy = json.loads(failure.on_its_way("s3://errors/x").body)
    assert (copy["error_id"], copy["original"]["body"]) == (failure.error_id, "{}")
    assert "nothing wrong" in arrivals(loans).failure(message).sentence


def test_checks_that_break_cost_only_the_guess(loans: Dataset) -> None:
    def check(_: Message) -> None:
        raise ZeroDivisionError

    assert "cannot be run" in arrivals(loans, check=check).failure(dead("{}")).sentence


def test_what_was_sent_back_and_redriven_is_the_same_failure_once_more(loans: Dataset) -> None:
    first = arrivals(loans).failure(dead("{}", "m1"))
    mark = Mark(first.error_id, "m1", 1, "round-1")
    again = Message("m9", "{}", {MARK_ATTRIBUTE: mark.attribute()}, NOON, NOON, 1, "r")
    second = arrivals(loans).failure(again)
    assert (second.error_id, first.attempts, second.attempts) == (first.error_id, 1, 2)
    assert second.round_id == "round-1"


def test_a_bare_message_that_is_too_large_travels_as_a_pointer(loans: Dataset) -> None:
    copy = arrivals(loans).failure(dead(HUGE)).on_its_way("s3://errors/originals/x.parquet")
    assert json.loads(copy.body)["original"] == {"uri": "s3://errors/originals/x.parquet"}


@pytest.mark.parametrize(
    ("body", "dataset"),
    [(notice("loans"), "loans"), (notice("nobodys"), ""), ("{", ""), ("[" * 100_000, ""), ("", "")],
)
def test_whose_notice_it_was_only_where_we_know_the_dataset(loans: Dataset, body: str, dataset: str) -> None:
    assert arrivals(loans, "refine").failure(dead(body)).dataset == dataset


def test_a_name_that_a_producer_made_up_is_nobodys(loans: Dataset) -> None:
    assert arrivals(loans).failure(dead("{}", dataset="made_up")).dataset == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"layer": "elsewhere"},
        {"code": "made_up"},
        {"dataset": "No Dataset"},
        {"error_id": "x" * 65},
        {"error_id": "é"},
        {"raw_file": "s3://elsewhere/loans/dt=2024-03-04/hr=11/20240304T115959123Z-0123456789abcdef.parquet"},
        {"raw_file": "s3://raw/loans/dt=2024-03-04/hr=11/../secret.parquet"},
        {"places": []},
        {"places": [[0]]},
        {"places": [[-1, 0]]},
        {"places": [[2**40, 0]]},
        {"raw_file": None, "original": {"uri": "s3://raw/originals/x.json"}},
        {"raw_file": None, "original": {"uri": "s3://errors/fingerprints/x.json"}},
        {"raw_file": None, "original": {"uri": "s3://errors/originals/../errors/x.json"}},
        {"first_failed_at": "0001-01-01T00:00:00+10:00"},
        {"first_failed_at": "1999-12-31T23:59:59Z"},
        {"last_failed_at": "9999-12-31T23:59:59-10:00"},
        {"last_failed_at": "9999-12-31T23:59:59.999999+00:00"},
        {"last_failed_at": "2024-03-05T12:01:01Z"},
        {"attempts": 2**31},
        {"acequia_dead_letter": 2},
    ],
)
def test_a_letter_that_we_would_not_have_written_is_kept_whole_and_not_believed(
    loans: Dataset, changed: dict[str, Any]
) -> None:
    message = altered(about_records((0, 0)), **changed)
    failure = arrivals(loans, "refine").failure(message)
    assert (failure.code, failure.raw_file, failure.original_uri) == ("redriven", None, None)
    assert failure.original is not None
    assert failure.original.body == message.body


@pytest.mark.parametrize("sent_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_letter_whose_original_was_sent_when_no_clock_tells_is_not_believed(loans: Dataset, sent_at: str) -> None:
    original = {**json.loads(about_message(dead("{}")).body)["original"], "sent_at": sent_at}
    message = altered(about_message(dead("{}")), original=original)
    failure = arrivals(loans).failure(message)
    assert failure.code == "redriven"
    assert failure.original is not None
    assert (failure.original.body, failure.original.sent_at) == (message.body, NOON)


def test_a_clock_that_is_an_hour_ahead_is_believed(loans: Dataset) -> None:
    failure = arrivals(loans, "refine").failure(altered(about_records((0, 0)), last_failed_at="2024-03-04T13:00:00Z"))
    assert (failure.code, failure.last_failed_at) == ("bad_type", NOON + timedelta(hours=1))


def test_a_letter_has_the_same_id_however_often_it_is_written(loans: Dataset) -> None:
    def letter_id(message: Message, source: Source = "refine") -> str:
        return arrivals(loans, source).failure(message).letter_id

    one = about_records((0, 1), (7, 0))
    same = [one, dead(one.body, "d7", 5), about_records((0, 1), (7, 0), failed_at=NOON - timedelta(hours=1))]
    assert len({letter_id(message) for message in same}) == 1
    others = [
        one,
        about_records((0, 1)),
        about_records((0, 1), (7, 1)),
        about_records((0, 1), (7, 0), column="id"),
        about_records((0, 1), (7, 0), code="too_long"),
        altered(one, attempts=2),
        altered(one, round_id="round-1"),
        altered(one, definition="0b"),
        altered(one, error_id="e"),
        altered(one, layer="load"),
        altered(one, dataset=""),
    ]
    assert len({letter_id(message) for message in others}) == len(others)
    again = Message("m9", "{}", {MARK_ATTRIBUTE: Mark("e", "d0", 1, "round-1").attribute()}, NOON, NOON, 1, "r")
    assert len({letter_id(message) for message in (dead("{}"), dead("{}", "d0", 3), again)}) == 2


def test_a_pointer_into_our_originals_is_kept(loans: Dataset) -> None:
    uri = "s3://errors/originals/dt=2024-03-04/0f2c.json"
    failure = arrivals(loans).failure(altered(about_message(dead("{}")), original={"uri": uri}))
    assert (failure.code, failure.original_uri, failure.original) == ("unknown_dataset", uri, None)


def test_of_a_letter_that_comes_again_and_again_the_raw_file_is_not_opened(loans: Dataset) -> None:
    letter = about_records((0, 0))
    for receives, opened in ((RECEIVES_READ_MAX, True), (RECEIVES_READ_MAX + 1, False)):
        failure = arrivals(loans, "refine").failure(dead(letter.body, "d0", receives))
        assert (failure.code, failure.opened) == ("bad_type", opened)


def test_what_sqs_moved_brings_its_receives_along_and_is_guessed_at_all_the_same(loans: Dataset) -> None:
    failure = arrivals(loans, "refine").failure(dead("no notice", "d0", 21))
    assert (failure.code, "the layer's own checks" in failure.sentence) == ("redriven", True)


@pytest.mark.parametrize(
    "message",
    [
        about_message(dead(notice("errors")), layer="load", dataset="errors", code="load_refused"),
        about_message(dead(notice("x", "s3://errors/errors/dt=2024-03-04/x.parquet")), layer="load", code="bad_notice"),
        dead(notice("errors", "s3://errors/errors/dt=2024-03-04/x.parquet")),
    ],
)
def test_a_failure_about_error_files_is_known_also_from_an_older_loader(loans: Dataset, message: Message) -> None:
    failure = arrivals(loans, "load").failure(message)
    assert failure.about_errors
    assert failure.dataset == "errors"


def test_a_failure_of_a_producer_who_says_errors_is_an_ordinary_one(loans: Dataset) -> None:
    assert not arrivals(loans).failure(dead("{}", dataset="errors")).about_errors
    assert not arrivals(loans).failure(about_message(dead(notice("errors")), dataset="errors")).about_errors


def test_a_bare_message_failed_when_it_was_received_here(loans: Dataset) -> None:
    late = Message("m", "x", {"a": Attribute("Binary", b"\xff")}, NOON, NOON + timedelta(days=9), 1, "r")
    assert arrivals(loans).failure(late).last_failed_at == NOON + timedelta(days=9)
