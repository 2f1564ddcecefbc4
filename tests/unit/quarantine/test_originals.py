"""Originals are kept byte for byte, in one file a batch."""

import io
import json

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from service.core.datasets import Dataset
from service.core.model import Attribute, Message
from service.quarantine.arrivals import Arrivals, Failure
from service.quarantine.originals import SCHEMA, Originals
from service.quarantine.records import messages_block, record_blocks
from tests.unit.quarantine.bench import (
    ERRORS_ZONE,
    NOON,
    RAW,
    RAW_FILE,
    about_message,
    about_records,
    dead,
    raw_file,
    read_lines,
    sound,
)


def failure_of(message: Message, loans: Dataset) -> Failure:
    return Arrivals("land", zones=(RAW, ERRORS_ZONE), datasets={"loans": loans}, check=sound).failure(message)


def show(_: Failure, __: str) -> None:
    return None


def test_a_message_has_all_that_sending_it_back_needs(loans: Dataset) -> None:
    attributes = {"a": Attribute("String", "é\ud800"), "b": Attribute("Binary.png", b"\x00\xff")}
    failure = failure_of(Message("m1", '{"a":  1}\r\n', attributes, NOON, NOON, 1, "r"), loans)
    originals = Originals()
    originals.add(messages_block([failure], set(), show))
    table = pq.read_table(io.BytesIO(originals.close()))
    assert table.schema.equals(SCHEMA)
    [row] = table.to_pylist()
    assert (row["error_id"], row["message_id"], row["sent_at"]) == (failure.error_id, "m1", NOON)
    assert row["body"] == b'{"a":  1}\r\n'
    assert {name: Attribute.from_json(told) for name, told in json.loads(row["attributes"]).items()} == attributes
    assert (row["raw_file"], row["row_index"], row["record_index"]) == (None, None, None)


def test_a_record_has_its_text_and_its_place(loans: Dataset) -> None:
    failure = failure_of(about_records((0, 1), (7, 7)), loans)
    originals = Originals()
    for block in record_blocks(failure, raw_file('{}\n{"id":  1}'), set(), read_lines, show):
        originals.add(block)
    assert originals.rows == 1
    [row] = pq.read_table(io.BytesIO(originals.close())).to_pylist()
    assert (row["body"], row["message_id"], row["sent_at"]) == (b'{"id":  1}', "m0", NOON)
    assert (row["raw_file"], row["row_index"], row["record_index"]) == (RAW_FILE, 0, 1)


def test_a_message_id_that_is_no_text_is_made_one(loans: Dataset) -> None:
    letter = json.loads(about_message(dead("{}")).body)
    letter["original"]["message_id"] = "m\ud800"
    originals = Originals()
    originals.add(messages_block([failure_of(dead(json.dumps(letter)), loans)], set(), show))
    [row] = pq.read_table(io.BytesIO(originals.close())).to_pylist()
    assert row["message_id"] == "m?"


def test_what_lies_under_originals_already_is_not_stored_again(loans: Dataset) -> None:
    letter = json.loads(about_message(dead("{}")).body)
    pointing = dead(json.dumps({**letter, "original": {"uri": "s3://errors/originals/dt=2024-03-04/0f.json"}}))
    originals = Originals()
    originals.add(messages_block([failure_of(pointing, loans)], set(), show))
    assert originals.rows == 0


def test_moments_at_the_ends_of_time_are_stored(loans: Dataset) -> None:
    odd = dead("{}")
    for sent_at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        letter = json.loads(about_message(odd).body)
        letter["original"]["sent_at"] = sent_at
        originals = Originals()
        originals.add(messages_block([failure_of(dead(json.dumps(letter)), loans)], set(), show))
        assert originals.close()


@given(st.text(st.characters(exclude_categories=[])))
def test_any_body_at_all_is_kept(loans: Dataset, body: str) -> None:
    originals = Originals()
    originals.add(messages_block([failure_of(dead(body), loans)], set(), show))
    [row] = pq.read_table(io.BytesIO(originals.close())).to_pylist()
    assert row["body"].decode("utf-8", "surrogatepass") == body
