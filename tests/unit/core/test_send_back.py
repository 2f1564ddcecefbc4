"""What failed goes back byte for byte, with a mark, whatever it held."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.dead_letter import DeadLetter, read_letter, read_original, rejected_message
from service.core.errors import RejectedError
from service.core.marks import MARK_ATTRIBUTE, Mark
from service.core.model import Attribute, Message, Original, Outgoing
from service.core.notice import File, FileNotice
from service.core.send_back import ATTRIBUTES_MAX, BYTES_MAX, send_back
from service.refine.open import open_bodies

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
MARK = Mark(error_id="0" * 32, origin="m0", attempt=1, round_id="r1", first_failed_at=NOON)
TEXT = st.text(st.characters(), max_size=40)
"""Halves of surrogate pairs too, also two that would make a whole."""
ATTRIBUTE = st.builds(Attribute, TEXT, TEXT | st.binary(max_size=20))
NAMES = TEXT | st.sampled_from([MARK_ATTRIBUTE, "dataset"])
ATTRIBUTES = st.dictionaries(NAMES, ATTRIBUTE, max_size=12)
WRONG = RejectedError("unknown_dataset", "no")
BODY = TEXT | st.just("\ud83d\ude00")
NOW = st.just(NOON)
MESSAGE = st.builds(Message, st.just("m0"), BODY, ATTRIBUTES, NOW, NOW, st.integers(1, 9), st.just(""))


def letter(message: Message) -> DeadLetter:
    return rejected_message("land", "", message, WRONG, NOON)


def contents(outgoing: Outgoing) -> tuple[str, dict[str, Attribute]]:
    """The message that a layer sees, out of its envelope if it is in one; without our mark."""
    if len(outgoing.attributes) <= 2 and '"acequia_dead_letter":1' in outgoing.body:
        inner = Original.from_json(json.loads(outgoing.body)["original"])
        return inner.body, dict(inner.attributes)
    return outgoing.body, {name: one for name, one in outgoing.attributes.items() if name != MARK_ATTRIBUTE}


@settings(deadline=None, derandomize=True)
@given(MESSAGE)
def test_what_comes_back_is_the_message_that_failed(message: Message) -> None:
    read = read_letter(letter(message).outgoing().body)
    assert read is not None
    assert read.original == Original.of(message)
    back = send_back(read.original, MARK)
    assert contents(back) == (message.body, dict(message.attributes))
    assert Mark.of(Message("other", back.body, back.attributes, NOON, NOON, 1, "")) == MARK
    assert len(back.attributes) <= ATTRIBUTES_MAX
    if len(message.attributes) < ATTRIBUTES_MAX and MARK_ATTRIBUTE not in message.attributes:
        assert back.body == message.body


@settings(deadline=None, derandomize=True)
@given(MESSAGE)
def test_what_lies_where_a_letter_points_is_the_message_too(message: Message) -> None:
    stored = json.dumps(Original.of(message).as_json(), ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert read_original(stored) == Original.of(message)


@settings(deadline=None, derandomize=True)
@given(MESSAGE, st.integers(1, 4))
def test_it_fails_again_and_again_and_stays_the_same_failure(message: Message, times: int) -> None:
    first = letter(message)
    failed = first
    for attempt in range(1, times + 1):
        read = read_letter(failed.outgoing().body)
        assert read is not None
        assert read.original is not None
        back = send_back(read.original, Mark(read.error_id, "m0", read.attempts, f"r{attempt}"))
        failed = letter(Message(f"later-{attempt}", back.body, back.attributes, NOON, NOON, 1, ""))
        assert (failed.error_id, failed.attempts, failed.round_id) == (first.error_id, attempt + 1, f"r{attempt}")
        assert contents(back) == (message.body, dict(message.attributes))


def attributes(count: int, size: int = 1) -> dict[str, Attribute]:
    return {f"a{number}": Attribute("String", "v" * size) for number in range(count)}


def test_nine_attributes_leave_room_for_the_mark_and_ten_do_not() -> None:
    plain = send_back(Original("m0", NOON, attributes(9), '{"a": 1}'), MARK)
    assert plain == Outgoing('{"a": 1}', attributes(9) | {MARK_ATTRIBUTE: MARK.attribute()})
    wrapped = send_back(Original("m0", NOON, attributes(10), '{"a": 1}'), MARK)
    assert wrapped.attributes == {MARK_ATTRIBUTE: MARK.attribute()}
    assert open_bodies([wrapped.body]).records == ['{"a": 1}']


def test_an_older_mark_makes_room_for_the_new_one() -> None:
    older = attributes(9) | {MARK_ATTRIBUTE: Mark("0" * 32, "m0", 0, "r0").attribute()}
    assert send_back(Original("m0", NOON, older, "{}"), MARK) == Outgoing(
        "{}", attributes(9) | {MARK_ATTRIBUTE: MARK.attribute()}
    )


def test_a_foreign_attribute_of_that_name_is_kept_too() -> None:
    foreign = {MARK_ATTRIBUTE: Attribute("String", "mine"), "a": Attribute("String", "b")}
    back = send_back(Original("m0", NOON, foreign, "{}"), MARK)
    assert contents(back) == ("{}", foreign)
    assert back.attributes == {MARK_ATTRIBUTE: MARK.attribute()}


@pytest.mark.parametrize("own", [{}, {"dataset": Attribute("String", "others")}], ids=["none", "its own"])
@pytest.mark.parametrize("more", [0, 10])
def test_nothing_but_the_mark_is_added_and_a_wrapped_message_still_says_whose_it_is(
    own: dict[str, Attribute], more: int
) -> None:
    back = send_back(Original("m0", NOON, own | attributes(more), "{}"), MARK)
    assert back.attributes == own | {MARK_ATTRIBUTE: MARK.attribute()}
    assert ("acequia_dead_letter" in back.body) == (more == 10)
    assert contents(back) == ("{}", own | attributes(more))


def full(room: int, text: str = "x") -> Original:
    """A message that leaves so many bytes of the most that SQS takes."""
    return Original("m0", NOON, {}, text * ((BYTES_MAX - room) // len(text.encode())))


def test_a_body_that_just_leaves_room_goes_as_it_is() -> None:
    room = len(MARK_ATTRIBUTE) + MARK.attribute().size_bytes
    back = send_back(full(room), MARK)
    assert (back.body, back.size_bytes) == (full(room).body, BYTES_MAX)


def test_bytes_are_counted_as_sqs_counts_them_not_characters() -> None:
    room = len(MARK_ATTRIBUTE) + MARK.attribute().size_bytes
    assert send_back(full(room + 2, "é"), MARK).body == full(room + 2, "é").body
    assert send_back(full(room - 2, "é"), MARK).size_bytes < 100_000


def test_a_body_that_leaves_none_goes_compressed_and_opens_to_the_same_records() -> None:
    record = '{"t":"é \\" ' + "x" * 80 + '"}'
    body = "\n".join([record] * (BYTES_MAX // len((record + "\n").encode())))
    assert BYTES_MAX - 100 < len(body.encode()) <= BYTES_MAX
    back = send_back(Original("m0", NOON, attributes(1), body), MARK)
    assert back.size_bytes <= BYTES_MAX
    assert set(back.attributes) == {MARK_ATTRIBUTE}
    assert "\n".join(open_bodies([back.body]).records) == body
    packed = base64.b64decode(json.loads(back.body)["original"]["body"])
    assert packed[4:8] == bytes(4), "no moment in it: the same message is the same bytes"


def test_what_cannot_be_made_smaller_is_refused_in_a_sentence() -> None:
    huge = attributes(2, BYTES_MAX // 2 - 20)
    with pytest.raises(RejectedError, match="larger than the 1048576 bytes") as raised:
        send_back(Original("m0", NOON, huge, "{}"), MARK)
    assert raised.value.code == "too_large"


def test_a_notice_that_had_to_be_wrapped_is_read_all_the_same() -> None:
    notice = FileNotice("things", "raw", [File("s3://raw/f", "e", 1, 1)], [], "b", "", NOON)
    back = send_back(Original("m0", NOON, attributes(10), notice.to_json()), MARK)
    assert FileNotice.from_json(back.body) == notice


def test_an_envelope_of_ours_is_no_letter_about_it() -> None:
    assert read_letter(send_back(Original("m0", NOON, attributes(10), "{}"), MARK).body) is None
