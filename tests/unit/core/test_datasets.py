"""Definitions: what is read, and a sentence with a place and a remedy for everything that is wrong."""

from datetime import date
from pathlib import Path

import pytest

from service.core.definitions import load_dataset, load_datasets
from service.core.errors import DefinitionError

GOOD = """
key = ["id"]
event_time = "at"
partition = "hour"
rest = "others"
event_time_oldest = 2011-01-01
event_time_future_days_max = 5
[[column]]
name = "id"
type = "varchar(32)"
required = true
[[column]]
name = "at"
path = "meta.time"
type = "timestamp"
required = true
[[column]]
name = "card"
type = "varchar(19)"
mask = "last4"
[[column]]
name = "mail"
type = "varchar(100)"
mask = "hash"
[[column]]
name = "note"
type = "varchar(10)"
too_long = "truncate"
"""
CARD = 'name = "card"\ntype = "varchar(19)"\nmask = "last4"'


def written(tmp_path: Path, text: str, name: str = "things") -> Path:
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path) -> str:
    with pytest.raises(DefinitionError) as raised:
        load_dataset(path)
    return str(raised.value)


def test_a_definition_is_read_in_full(tmp_path: Path) -> None:
    dataset = load_dataset(written(tmp_path, GOOD))
    assert (dataset.name, dataset.identity, dataset.key, dataset.event_time) == ("things", "key", ("id",), "at")
    assert (dataset.partition, dataset.rest) == ("hour", "others")
    assert (dataset.event_time_oldest, dataset.event_time_future_days_max) == (date(2011, 1, 1), 5)
    assert dataset.column("at").path == ("meta", "time")
    assert dataset.column("note").truncate
    assert dataset.schema == "lake"
    assert dataset.stored_columns == (
        ("id", "varchar(32)"),
        ("at", "timestamp"),
        ("card", "varchar(20)"),
        ("mail", "varchar(64)"),
        ("note", "varchar(10)"),
        ("others", "super"),
        ("_record_id", "varchar(64)"),
        ("_received_at", "timestamp"),
        ("_raw_file", "varchar(1024)"),
    )


def test_what_is_not_given_has_a_default(tmp_path: Path) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith(("partition", "rest", "event_time_"))]
    dataset = load_dataset(written(tmp_path, "\n".join(lines)))
    assert (dataset.partition, dataset.rest) == ("day", None)
    assert (dataset.event_time_oldest, dataset.event_time_future_days_max) == (date(2000, 1, 1), 2)


def test_the_definition_hash_follows_the_meaning_not_the_writing(tmp_path: Path) -> None:
    first = load_dataset(written(tmp_path, GOOD)).definition
    assert load_dataset(written(tmp_path, "# a remark\n" + GOOD)).definition == first
    assert load_dataset(written(tmp_path, GOOD.replace("varchar(10)", "varchar(11)"))).definition != first
    assert len(first) == 12


@pytest.mark.parametrize(
    ("given", "version", "days"),
    [
        ('key = ["id"]', None, None),
        ('key = ["id"]\non_duplicate = "keep"', None, None),
        ('key = ["id"]\non_duplicate = "replace"\nversion = "at"', "at", None),
        ('key = ["id"]\nduplicate_window_days = 3', None, 3),
        ('key = ["id", "at"]', None, 0),
        ('identity = "content"\nduplicate_window_days = 3', None, 3),
    ],
)
def test_what_becomes_of_duplicates_is_the_tables_matter_and_no_other_file(
    tmp_path: Path, given: str, version: str | None, days: int | None
) -> None:
    dataset = load_dataset(written(tmp_path, GOOD.replace('key = ["id"]', given)))
    assert (dataset.version, dataset.duplicate_days) == (version, days)
    if given.startswith('key = ["id"]'):
        assert dataset.definition == load_dataset(written(tmp_path, GOOD)).definition


@pytest.mark.parametrize("identity", ["content", "message"])
def test_identity_may_be_the_content_or_the_message(tmp_path: Path, identity: str) -> None:
    dataset = load_dataset(written(tmp_path, GOOD.replace('key = ["id"]', f'identity = "{identity}"')))
    assert (dataset.identity, dataset.key) == (identity, ())


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (GOOD, "key = [", "not valid TOML: "),
        ('key = ["id"]', "", 'give either key = ["column", …] or identity = "content" or "message"'),
        ('key = ["id"]', 'key = ["id"]\nidentity = "content"', 'give either key = ["column", …] or identity = '),
        ('key = ["id"]', 'identity = "hash"', 'identity is "content" or "message"'),
        ('key = ["id"]', "key = []", "key lists columns that have required = true"),
        ('key = ["id"]', 'key = "id"', "key lists columns that have required = true"),
        ('key = ["id"]', 'key = ["card"]', "key lists columns that have required = true"),
        ('key = ["id"]', 'key = ["none"]', "key lists columns that have required = true"),
        ('key = ["id"]', 'key = ["id"]\nkeys = 1', "'keys' is not known; use column, diststyle, duplicate_"),
        ('key = ["id"]', 'key = ["id"]\non_duplicate = "last"', "on_duplicate is one of 'keep', 'replace'"),
        ('key = ["id"]', 'key = ["id"]\nversion = "at"', 'version is for on_duplicate = "replace"'),
        ('key = ["id"]', 'key = ["id"]\non_duplicate = "replace"', 'on_duplicate = "replace" needs version = the name'),
        (
            'key = ["id"]',
            'key = ["id"]\non_duplicate = "replace"\nversion = "card"',
            'on_duplicate = "replace" needs version = the name of a column with required = true, of type smallint, ',
        ),
        (
            'key = ["id"]',
            'key = ["id"]\non_duplicate = "replace"\nversion = 5',
            'on_duplicate = "replace" needs version = the name of a column',
        ),
        (
            'key = ["id"]',
            'key = ["id"]\nduplicate_window_days = 0',
            "duplicate_window_days is a whole number of days, ",
        ),
        ('key = ["id"]', 'key = ["id"]\nduplicate_window_days = true', "duplicate_window_days is a whole number of "),
        (
            'key = ["id"]',
            'key = ["id", "at"]\nduplicate_window_days = 3',
            "duplicate_window_days has no use here: 'at' is part of the key",
        ),
        ('event_time = "at"', "", "event_time is missing or not text"),
        ('event_time = "at"', "event_time = 5", "event_time is missing or not text"),
        ('event_time = "at"', 'event_time = "id"', "event_time = 'id' must name a column of type timestamp with req"),
        ('event_time = "at"', 'event_time = "when"', "event_time = 'when' must name a column of type timestamp "),
        ('type = "timestamp"\nrequired = true', 'type = "timestamp"', "event_time = 'at' must name a column of type"),
        ('partition = "hour"', 'partition = "month"', "partition is one of 'day', 'hour'"),
        ('rest = "others"', 'rest = "card"', 'rest names a column of its own, such as rest = "rest"'),
        ('rest = "others"', 'rest = "_r"', 'rest names a column of its own, such as rest = "rest"'),
        ('rest = "others"', "rest = true", 'rest names a column of its own, such as rest = "rest"'),
        ("2011-01-01", '"2011-01-01"', "event_time_oldest is a date, such as 2011-01-01"),
        ("2011-01-01", "2011-01-01T00:00:00Z", "event_time_oldest is a date, such as 2011-01-01"),
        ("days_max = 5", "days_max = -1", "event_time_future_days_max is a whole number of days, 0 to 36500"),
        ("days_max = 5", "days_max = true", "event_time_future_days_max is a whole number of days, 0 to 36500"),
        ("days_max = 5", "days_max = 36501", "event_time_future_days_max is a whole number of days, 0 to 36500"),
        (GOOD, 'event_time = "at"', "give 1 to 1500 [[column]] tables"),
        ('name = "card"', 'name = "Card"', "column 3: name must be lower case letters, digits and _, starting with"),
        ('name = "card"', "", "column 3: name must be lower case letters, digits and _, starting with a letter"),
        ('name = "card"', 'name = "id"', "column name 'id' is given twice"),
        ('name = "card"', 'name = "card"\npath = "id"', "column path 'id' is given twice"),
        ('name = "card"', 'name = "card"\npth = "x"', "column 'card': 'pth' is not known; use mask, name, path, "),
        ('name = "card"', 'name = "card"\npath = ""', "column 'card': path is field names joined by dots, such as "),
        ('name = "card"', 'name = "card"\npath = "a..b"', "column 'card': path is field names joined by dots, such"),
        ('name = "card"', 'name = "card"\npath = \'a"b\'', "column 'card': path is field names joined by dots, such"),
        ('name = "card"', "name = \"card\"\npath = 'a\\b'", "column 'card': path is field names joined by dots, such"),
        ('name = "card"', 'name = "card"\npath = 5', "column 'card': path is field names joined by dots, such as "),
        ("varchar(19)", "text", "column 'card': type 'text' is not known; use one of smallint, integer, "),
        ("varchar(19)", "varchar(0)", "column 'card': varchar takes 1 to 65535 bytes"),
        ('"varchar(19)"', "19", "column 'card': type 19 is not known; use one of smallint, integer, "),
        ('mask = "last4"', 'mask = "md5"', 'column \'card\': mask is "hash", "redact" or "last4"'),
        (CARD, 'name = "card"\ntype = "bigint"\nmask = "hash"', "column 'card': only a varchar column can be masked"),
        ('too_long = "truncate"', 'too_long = "cut"', 'column \'note\': too_long is "reject" or "truncate", on a'),
        ('type = "varchar(10)"', 'type = "date"', 'column \'note\': too_long is "reject" or "truncate", on a varchar'),
        ('mask = "last4"', 'required = "yes"', "column 'card': required is true or false"),
        ('name = "card"', 'name = "card"\npath = "*"', "column 'card': path is field names joined by dots, such as "),
        ('key = ["id"]', 'key = [["id"]]', "key lists columns that have required = true"),
        (GOOD[GOOD.index("[[column]]") :], 'column = ["id"]', "column 1: "),
    ],
)
def test_every_complaint_names_the_file_the_place_and_the_remedy(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in GOOD
    path = tmp_path / "things.toml"
    told = complaint(written(tmp_path, GOOD.replace(old, new, 1)))
    assert told.startswith(f"{path}: {sentence}")


@pytest.mark.parametrize("name", ["Things", "1things", "_things", "things-2", "t" * 64, "t h"])
def test_a_file_whose_name_is_no_dataset_name_is_refused(tmp_path: Path, name: str) -> None:
    assert complaint(written(tmp_path, GOOD, name)).endswith("lower case letters, digits and _, at most 63")


def test_the_name_of_what_was_rejected_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, "errors")
    sentence = "the name 'errors' is taken by the built-in dataset of what was rejected: use another"
    assert complaint(path) == f"{path}: {sentence}"
    with pytest.raises(DefinitionError):
        load_datasets(tmp_path)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "things.toml"
    path.write_bytes(b"key = '\xff'")
    assert complaint(path).startswith(f"{path}: not valid TOML: ")


def test_a_directory_is_read_by_file_name_and_must_hold_something(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"holds no dataset definition \(\*\.toml\)"):
        load_datasets(tmp_path)
    written(tmp_path, GOOD, "b")
    written(tmp_path, GOOD, "a")
    assert [(name, d.name) for name, d in load_datasets(tmp_path).items()] == [("a", "a"), ("b", "b")]
