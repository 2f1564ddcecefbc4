"""What was rejected, as a dataset: built in, with a table, a ledger and files like any other. No TOML defines it.

Its files lie in the errors zone. A row is written again when its state changes or its record fails again: the same
`error_id`, a higher `updated_at`, and the higher one stays. `_record_id` is the `error_id`, `_raw_file` is the error
file's own address.
"""

import hashlib
import json
from datetime import date
from typing import Literal, get_args

from service.core.columns import ColumnType
from service.core.datasets import SERVICE_SCHEMA, Column, Dataset

State = Literal["open", "reprocessed", "resolved", "parked"]
"""Of an error row: nothing was done yet; its record was sent back, is in a committed file, or failed too often."""
STATES: tuple[State, ...] = get_args(State)

_REQUIRED, _OPTIONAL = True, False
_COLUMNS = (
    # The same failure of the same record has the same id, however often it is reported.
    ("error_id", "varchar(64)", _REQUIRED),
    # What failures of one kind share: one cause, many records.
    ("fingerprint", "varchar(64)", _REQUIRED),
    # Which layer rejected it: land, refine or load.
    ("layer", "varchar(16)", _REQUIRED),
    # NULL where the message named none.
    ("dataset", "varchar(63)", _OPTIONAL),
    ("code", "varchar(32)", _REQUIRED),
    # What is wrong, without values.
    ("sentence", "varchar(2048)", _REQUIRED),
    # The column, or the path in the record where no column maps it; NULL where the fault lies in no single field.
    ("field", "varchar(1024)", _OPTIONAL),
    # The landed file that the record lies in, or that refine rejected whole; NULL where it had not landed, or is none.
    ("raw_file", "varchar(1024)", _OPTIONAL),
    # The message's row in that file, from 0; NULL where no single record was rejected, but a message or a whole file.
    ("row_index", "bigint", _OPTIONAL),
    # The record's place in that message, from 0.
    ("record_index", "bigint", _OPTIONAL),
    # The message in which it first arrived.
    ("message_id", "varchar(128)", _OPTIONAL),
    # It stays what it is when a record that was sent back fails again; a replay begins anew.
    ("first_failed_at", "timestamp", _REQUIRED),
    ("last_failed_at", "timestamp", _REQUIRED),
    ("attempts", "integer", _REQUIRED),
    # Of the original, as it arrived.
    ("size_bytes", "bigint", _OPTIONAL),
    # The beginning of the original, masked.
    ("preview", "varchar(4096)", _OPTIONAL),
    # Where the original lies, byte for byte; few may read it.
    ("original_uri", "varchar(1024)", _OPTIONAL),
    ("state", "varchar(16)", _REQUIRED),
    # The version: of two rows of one failure the later stays.
    ("updated_at", "timestamp", _REQUIRED),
    # The round of reprocessing that it was last part of.
    ("round_id", "varchar(64)", _OPTIONAL),
)

ERRORS = Dataset(
    name="errors",
    schema=SERVICE_SCHEMA,
    identity="key",
    key=("error_id",),
    event_time="first_failed_at",
    partition="day",
    rest=None,
    event_time_oldest=date(2000, 1, 1),
    event_time_future_days_max=2,
    columns=tuple(
        Column(name, (name,), ColumnType.parse(written), required, mask=None, truncate=False)
        for name, written, required in _COLUMNS
    ),
    diststyle="auto",
    definition=hashlib.sha256(json.dumps(_COLUMNS).encode()).hexdigest()[:12],
    version="updated_at",
)
