"""What one process writes, another reads: notices, dead letters, addresses."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.dead_letter import rejected_message
from service.core.errors import RejectedError
from service.core.model import Attribute, Message
from service.core.notice import COUNT_MAX, File, FileNotice, Replaces
from service.core.zones import Zone, raw_key, refined_key, split_uri
from service.refine.open import open_bodies

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MOMENTS = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
    datetime(2900, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
FILES = st.builds(
    File, uri=TEXT, etag=TEXT, content_length_bytes=st.integers(0, COUNT_MAX), rows=st.integers(0, COUNT_MAX),
    event_time_min=st.none() | MOMENTS, event_time_max=st.none() | MOMENTS,
)  # fmt: skip
NOTICES = st.builds(
    FileNotice, dataset=TEXT, zone=TEXT, files=st.lists(FILES, min_size=1, max_size=3, unique_by=lambda file: file.uri),
    columns=st.lists(st.tuples(TEXT, TEXT), max_size=3), batch_id=TEXT, definition=TEXT, produced_at=MOMENTS,
    replaces=st.none() | st.builds(Replaces, TEXT, st.lists(TEXT, max_size=3).map(tuple)), event_time=TEXT,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
ATTRIBUTES = st.dictionaries(
    TEXT, st.builds(Attribute, st.just("String"), TEXT) | st.builds(Attribute, st.just("Binary"), st.binary(max_size=9))
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
ZONES = st.builds(Zone, st.just("raw"), NAMES, st.sampled_from(["", "a", "a/b", "raw"]))
BATCH_IDS = st.from_regex(r"[0-9TZa-f-]{1,40}", fullmatch=True)


@given(NOTICES)
def test_a_notice_is_read_as_it_was_written(notice: FileNotice) -> None:
    assert FileNotice.from_json(notice.to_json()) == notice


@given(JSON)
def test_other_json_is_a_bad_notice(value: object) -> None:
    with pytest.raises(RejectedError) as raised:
        FileNotice.from_json(json.dumps(value))
    assert raised.value.code == "bad_notice"


SHAPES = JSON | st.lists(JSON, min_size=1, max_size=2)
FIELDS = st.sampled_from(["v", "files", "columns", "dataset", "batch_id", "produced_at"])


@settings(max_examples=200)
@given(st.dictionaries(FIELDS, SHAPES, min_size=1, max_size=2), NOTICES)
def test_a_notice_with_a_field_of_another_shape_is_read_or_a_bad_notice(
    fields: dict[str, object], notice: FileNotice
) -> None:
    with suppress(RejectedError):
        FileNotice.from_json(json.dumps(json.loads(notice.to_json()) | fields))


@given(TEXT, ATTRIBUTES, TEXT, MOMENTS)
def test_a_letter_holds_the_very_message(
    body: str, attributes: dict[str, Attribute], dataset: str, now: datetime
) -> None:
    message = Message("m", body, attributes, now, now, 3, "")
    out = rejected_message("land", dataset, message, RejectedError("bad_notice", "no"), now).outgoing()
    read = json.loads(out.body)
    assert read["original"]["body"] == body
    found = {name: Attribute.from_json(stored) for name, stored in read["original"]["attributes"].items()}
    assert (found, read["attempts"]) == (attributes, 1)


@given(st.dictionaries(TEXT, st.integers()))
def test_a_record_in_a_letter_opens_to_its_exact_text(record: dict[str, int]) -> None:
    body = json.dumps(record, ensure_ascii=False, indent=1)
    message = Message("m", body, {}, datetime.now(UTC), datetime.now(UTC), 1, "")
    letter = rejected_message("land", "", message, RejectedError("bad_notice", "no"), datetime.now(UTC))
    assert open_bodies([letter.outgoing().body]).records == [body]


@given(ZONES, NAMES, MOMENTS, BATCH_IDS, BATCH_IDS)
def test_every_address_that_we_make_is_in_its_zone(
    zone: Zone, dataset: str, moment: datetime, batch_id: str, definition: str
) -> None:
    for key in (raw_key(dataset, moment, batch_id), refined_key(dataset, "dt=2024-03-04/hr=05", batch_id, definition)):
        assert zone.holds(zone.uri(key))
        assert split_uri(zone.uri(key)) == (zone.bucket, f"{zone.prefix}/{key}".removeprefix("/"))


@given(ZONES, st.text("ab./\\:s3rw", max_size=25))
def test_what_a_zone_holds_begins_with_it_and_never_steps_up(zone: Zone, tail: str) -> None:
    for uri in (tail, f"s3://{tail}", f"s3://{zone.bucket}{tail}", zone.uri(tail)):
        if zone.holds(uri):
            bucket, key = split_uri(uri)
            assert bucket == zone.bucket
            assert key.startswith(f"{zone.prefix}/" if zone.prefix else "")
            assert ".." not in key.split("/")
