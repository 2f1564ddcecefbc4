"""Zones: what lies in one, and no way out of it."""

from datetime import UTC, datetime

import pytest

from service.core.errors import RejectedError
from service.core.zones import (
    Place,
    Zone,
    manifest_key,
    marks_key,
    original_key,
    originals_key,
    raw_key,
    raw_place,
    refined_key,
    refined_place,
    split_uri,
)

ZONE = Zone("raw", "lake", "bank/raw")


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [("s3://lake", "lake", ""), ("s3://lake/", "lake", ""), ("s3://lake/a/b/", "lake", "a/b")],
)
def test_a_zone_is_a_bucket_and_a_prefix(uri: str, bucket: str, prefix: str) -> None:
    assert Zone.parse("raw", uri) == Zone("raw", bucket, prefix)


@pytest.mark.parametrize("uri", ["", "lake/raw", "https://lake/raw", "s3:///raw", "s3://lake/raw?x=1", "s3://lake/r#f"])
def test_anything_else_is_no_zone(uri: str) -> None:
    with pytest.raises(ValueError, match=r"s3://bucket/prefix"):
        Zone.parse("raw", uri)


@pytest.mark.parametrize(
    ("prefix", "uri"), [("bank/raw", "s3://lake/bank/raw/a/b.parquet"), ("", "s3://lake/a/b.parquet")]
)
def test_a_zone_holds_what_it_addresses(prefix: str, uri: str) -> None:
    zone = Zone("raw", "lake", prefix)
    assert zone.uri("a/b.parquet") == uri
    assert zone.holds(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "s3://lake/bank/raw",
        "s3://lake/bank/raw/",
        "s3://lake/bank/raw/../secret",
        "s3://lake/bank/raw/a/../../b",
        "s3://lake/bank/raw/..",
        "s3://lake/bank/raw//a",
        "s3://lake/bank/raw/a//b",
        "s3://lake/bank/raw/a\\b",
        "s3://lake/bank/raw2/a",
        "s3://lake/bank/rawa",
        "s3://lake2/bank/raw/a",
        "s3://other/bank/raw/a",
        "s3://other/s3://lake/bank/raw/a",
        "S3://lake/bank/raw/a",
        "https://lake/bank/raw/a",
        "/bank/raw/a",
        "bank/raw/a",
    ],
)
def test_nothing_steps_out_of_a_zone(uri: str) -> None:
    assert not ZONE.holds(uri)
    with pytest.raises(RejectedError) as raised:
        raw_place(ZONE, uri)
    assert raised.value.code == "bad_notice"


@pytest.mark.parametrize("tail", ["\ud800", "a\x00b", "a\nb", "k" * 1_100])
def test_an_address_that_no_store_takes_is_in_no_zone(tail: str) -> None:
    assert not ZONE.holds(ZONE.uri(tail))


BATCH = "20240304T050600000Z-0123456789abcdef"


def test_an_address_of_ours_tells_dataset_partition_and_batch() -> None:
    raw = ZONE.uri(f"things/dt=2024-03-04/hr=05/{BATCH}.parquet")
    assert raw_place(ZONE, raw) == Place("things", "dt=2024-03-04/hr=05", BATCH)
    refined = ZONE.uri(f"things/dt=2024-03-03/{BATCH}.0123456789ab.parquet")
    assert refined_place(ZONE, refined) == Place("things", "dt=2024-03-03", BATCH)
    hourly = ZONE.uri(f"things/dt=2024-03-03/hr=07/{BATCH}.0123456789ab.parquet")
    assert refined_place(ZONE, hourly) == Place("things", "dt=2024-03-03/hr=07", BATCH)


@pytest.mark.parametrize(
    "key",
    [
        f"things/{BATCH}.parquet",
        f"things/dt=2024-03-04/hr=05/{BATCH}.csv",
        f"things/dt=2024-03-04/hr=05/{BATCH}.0123456789ab.parquet",
        "things/dt=2024-03-04/hr=05/b1.parquet",
        f"a/things/dt=2024-03-04/hr=05/{BATCH}.parquet",
        f"Things/dt=2024-03-04/hr=05/{BATCH}.parquet",
    ],
)
def test_a_file_in_the_zone_that_land_would_not_write_is_a_bad_notice(key: str) -> None:
    assert ZONE.holds(ZONE.uri(key))
    with pytest.raises(RejectedError) as raised:
        raw_place(ZONE, ZONE.uri(key))
    assert raised.value.code == "bad_notice"


def test_an_address_splits_into_bucket_and_key() -> None:
    assert split_uri("s3://lake/bank/raw/a.parquet") == ("lake", "bank/raw/a.parquet")


def test_keys_are_by_arrival_by_event_time_and_hidden_for_manifests() -> None:
    sealed = datetime(2024, 3, 4, 5, 6, tzinfo=UTC)
    assert raw_key("things", sealed, "b1") == "things/dt=2024-03-04/hr=05/b1.parquet"
    assert refined_key("things", "dt=2024-03-03", "b1", "d1") == "things/dt=2024-03-03/b1.d1.parquet"
    assert manifest_key("things", "g1") == "_manifests/things/g1.manifest"


def test_what_lies_in_the_errors_zone_beside_its_dataset() -> None:
    failed = datetime(2024, 3, 4, 5, 6, tzinfo=UTC)
    assert original_key(failed, "e1") == "originals/dt=2024-03-04/e1.json"
    assert originals_key(failed, BATCH) == f"originals/dt=2024-03-04/{BATCH}.parquet"
    assert marks_key(BATCH) == f"marks/{BATCH}.json"
    for key in (originals_key(failed, BATCH), marks_key(BATCH)):
        assert ZONE.holds(ZONE.uri(key))
