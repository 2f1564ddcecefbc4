"""Single records of a raw file: the same places as those that refine gives."""

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.core.errors import RejectedError
from service.core.model import Message
from service.land.encode import encode
from service.refine.open import open_bodies
from service.refine.pick import pick
from service.refine.unpack import EXPANDED_BYTES_MAX

SENT = datetime(2024, 3, 4, 11, tzinfo=UTC)
RECORDS = ['{"a":1}', '{"b":"€ 😀"}', '{"c":[1,2]}']
BODIES = {
    "one": RECORDS[0],
    "array": f"[{','.join(RECORDS)}]",
    "ndjson": "\n\n".join(RECORDS),
    "gzip": base64.b64encode(gzip.compress("\n".join(RECORDS).encode())).decode(),
    "sns": json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": "\n".join(RECORDS)}),
}
BROKEN = "H4sIAAAA broken"
Make = Callable[..., Message]


@pytest.fixture
def raw(message: Make) -> bytes:
    bodies = [*BODIES.values(), BROKEN]
    messages = [message(body=body, message_id=f"m{number}") for number, body in enumerate(bodies)]
    return encode([replace(one, sent_at=SENT) for one in messages], "records")


def test_every_place_that_refine_gives_holds_that_record(raw: bytes) -> None:
    opened = open_bodies(list(BODIES.values()))
    places = list(zip(opened.rows, opened.indexes, strict=True))
    found = pick(raw, places, expanded_bytes_max=EXPANDED_BYTES_MAX)
    assert [one[0] for one in found if one is not None] == opened.records
    assert [one[1:] for one in found if one is not None] == [(f"m{row}", SENT) for row, _ in places]


def test_at_the_place_of_a_body_that_cannot_be_opened_it_stands_whole(raw: bytes) -> None:
    row = len(BODIES)
    assert pick(raw, [(row, 0), (row, 1)], expanded_bytes_max=EXPANDED_BYTES_MAX) == [(BROKEN, f"m{row}", SENT), None]


def test_places_that_do_not_exist_hold_nothing(raw: bytes) -> None:
    assert pick(raw, [(0, 5), (99, 0)], expanded_bytes_max=EXPANDED_BYTES_MAX) == [None, None]


def test_compressed_bodies_share_what_they_may_become(raw: bytes) -> None:
    row = list(BODIES).index("gzip")
    assert pick(raw, [(row, 0)], expanded_bytes_max=5) == [(BODIES["gzip"], f"m{row}", SENT)]


def test_what_is_no_raw_file_is_said_to_be_none() -> None:
    with pytest.raises(RejectedError) as raised:
        pick(b"no parquet", [(0, 0)], expanded_bytes_max=1)
    assert raised.value.code == "bad_file"
