"""What was rejected, as a dataset: what the quarantine layer writes, the loader compares and the table has."""

import re

from service.core.datasets import SYSTEM_COLUMNS, sound
from service.core.errors_dataset import ERRORS, STATES
from service.core.zones import REFINED_KEY, refined_key

REQUIRED = """error_id fingerprint layer code sentence first_failed_at last_failed_at attempts state updated_at"""


def test_an_error_row_replaces_its_earlier_versions() -> None:
    assert (ERRORS.schema, ERRORS.name, ERRORS.key) == ("acequia", "errors", ("error_id",))
    assert (ERRORS.event_time, ERRORS.version, ERRORS.partition) == ("first_failed_at", "updated_at", "day")
    assert ERRORS.duplicate_days is None, "a version may lie anywhere"


def test_its_columns_and_those_that_no_row_lacks() -> None:
    assert [f"{name} {kind}" for name, kind in ERRORS.stored_columns] == [
        "error_id varchar(64)", "fingerprint varchar(64)", "layer varchar(16)", "dataset varchar(63)",
        "code varchar(32)", "sentence varchar(2048)", "field varchar(1024)", "raw_file varchar(1024)",
        "row_index bigint", "record_index bigint", "message_id varchar(128)", "first_failed_at timestamp",
        "last_failed_at timestamp", "attempts integer", "size_bytes bigint", "preview varchar(4096)",
        "original_uri varchar(1024)", "state varchar(16)", "updated_at timestamp", "round_id varchar(64)",
        "_record_id varchar(64)", "_received_at timestamp", "_raw_file varchar(1024)",
    ]  # fmt: skip
    assert ERRORS.never_null == {*REQUIRED.split(), *dict(SYSTEM_COLUMNS)}


def test_notices_about_its_files_are_sound() -> None:
    assert all(sound(*column) for column in ERRORS.stored_columns)
    assert re.fullmatch("[0-9a-f]{12}", ERRORS.definition)
    key = refined_key(ERRORS.name, "dt=2026-03-20", "20260320T080000000Z-0123456789abcdef", ERRORS.definition)
    assert REFINED_KEY.fullmatch(key)


def test_a_state_fits_its_column() -> None:
    assert sorted(STATES) == ["open", "parked", "reprocessed", "resolved"]
    assert all(len(state) <= ERRORS.column("state").type.length for state in STATES)
