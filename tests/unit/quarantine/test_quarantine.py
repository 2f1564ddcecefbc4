"""The quarantine layer loses nothing, whatever comes and wherever it dies, and counts no failure twice."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.datasets import Dataset
from service.core.dead_letter import PLACES_MAX, Place, read_letter
from service.core.errors import TransientError
from service.core.marks import MARK_ATTRIBUTE, Mark
from service.core.model import Attribute, Message
from service.core.notice import File, FileNotice
from service.quarantine.quarantine import FILES_A_NOTICE, Quarantined
from tests.fakes.journal import Away, Crash
from tests.fakes.time import run_virtual
from tests.unit.quarantine.bench import (
    NOON,
    RAW_FILE,
    SEALED,
    UNOPENABLE,
    Bench,
    about_message,
    about_records,
    batch_of,
    dead,
    raw_file,
)

Make = Callable[..., Bench]
RECORD = '{"id":"1","loan":{"amount":"x"},"customer":{"document":"123"}}'
EFFECTS = [
    "put errors originals/dt=2024-03-04",
    "put errors errors/dt=2024-03-04",
    "load send 1",
    "replace errors fingerprints",
    "replace errors fingerprints",
    "reprocess send 3",
]


def both_kinds() -> list[Message]:
    """Records of one raw file, and two messages that failed whole for one cause."""
    return [
        about_records((0, 0), (0, 1)),
        about_message(dead(RECORD, "m5"), message_id="d1"),
        about_message(dead("other", "m6"), message_id="d2"),
    ]


def test_letters_become_rows_originals_counts_and_copies(bench: Make) -> None:
    async def main() -> Bench:
        made = bench()
        made.store.objects[RAW_FILE] = raw_file(f"{RECORD}\nnot JSON")
        await made.take(*both_kinds())
        return made

    made = run_virtual(main())
    assert made.journal.effects == EFFECTS
    rows = sorted(made.rows(), key=lambda row: (row["layer"], row["record_index"] or 0, row["message_id"]))
    assert [(row["layer"], row["message_id"], row["record_index"], row["size_bytes"]) for row in rows] == [
        ("land", "m5", None, 62),
        ("land", "m6", None, 5),
        ("refine", "m0", 0, 62),
        ("refine", "m0", 1, 8),
    ]
    masked = '{"id":"1","customer":"***","document":"***","amount":"x"}'
    assert [row["preview"] for row in rows] == [None, None, masked, None]
    originals = made.originals()
    assert [originals[row["error_id"]]["body"].decode() for row in rows] == [RECORD, "other", RECORD, "not JSON"]
    assert {row["original_uri"] for row in rows} == {uri for uri in made.store.objects if "originals/" in uri}
    assert made.counted() == {"bad_type": 2, "unknown_dataset": 2}
    assert sorted(made.reprocess_queue.bodies) == sorted(message.body for message in both_kinds())
    assert made.told == [Quarantined("refine", letters=3, records=4, about_errors=0)]


def test_a_copy_keeps_its_attributes(bench: Make) -> None:
    letter = about_records((0, 0))

    async def main() -> Bench:
        made = bench()
        await made.take(letter)
        return made

    [copy] = run_virtual(main()).reprocess_queue.sent.values()
    assert (copy.body, copy.attributes) == (letter.body, letter.attributes)


@pytest.mark.parametrize("again", ["the same batch", "another batch"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(len(EFFECTS)))
def test_it_dies_at_any_effect_and_nothing_is_lost_or_counted_twice(
    bench: Make, at: int, when: str, again: str
) -> None:
    async def main() -> Bench:
        made = bench()
        made.store.objects[RAW_FILE] = raw_file(f"{RECORD}\nnot JSON")
        effects = 0

        def die(effect: str) -> None:
            nonlocal effects
            if effect.startswith(("get", "read")):
                return
            effects += 1
            if effects == at + 1:
                raise Crash

        setattr(made.journal, when, die)
        with pytest.raises(Crash):
            await made.take(*both_kinds())
        setattr(made.journal, when, lambda _: None)
        await asyncio.sleep(60)
        await made.take(*both_kinds(), sealed_at=SEALED if again == "the same batch" else SEALED + timedelta(minutes=9))
        return made

    made = run_virtual(main())
    assert len(made.table()) == 4
    assert len(set(made.reprocess_queue.bodies)) == 3
    assert made.counted() == {"bad_type": 2, "unknown_dataset": 2}
    assert made.originals().keys() == made.table().keys()
    if again == "the same batch":
        assert len({uri for uri in made.store.objects if "errors/dt=" in uri}) == 1
        assert len(made.rows()) == 4
        assert len(set(made.load_queue.bodies)) == 1


def test_letters_that_come_again_in_other_batches_are_not_counted_again(bench: Make) -> None:
    """It died before they were deleted, and SQS hands them out in another grouping, later, and one by one."""

    async def main() -> Bench:
        made = bench()
        made.store.objects[RAW_FILE] = raw_file(f"{RECORD}\nnot JSON", RECORD)
        bare = [dead(f"bare {number}", f"d{number}") for number in range(9)]
        overlapping = about_records((0, 1), (1, 0), message_id="d10", failed_at=NOON - timedelta(days=1))
        letters = [*both_kinds(), *bare[3:], overlapping]
        await made.take(*letters)
        for number, some in enumerate(([letters[0], bare[4]], [letters[1], letters[2]], letters[3:])):
            await made.take(*some, sealed_at=SEALED + timedelta(minutes=10 + number))
        return made

    made = run_virtual(main())
    assert made.counted() == {"bad_type": 3, "unknown_dataset": 2, "redriven": 6}
    assert len(made.table()) == 11


@pytest.mark.parametrize(
    "effect", ["put errors originals", "put errors errors", "load send", "replace", "reprocess send"]
)
def test_what_is_reached_is_not_done_again_when_a_dependency_is_down(bench: Make, effect: str) -> None:
    async def main() -> Bench:
        made = bench()
        made.store.objects[RAW_FILE] = raw_file(f"{RECORD}\nnot JSON")
        made.journal.before = Away(effect, "s3", times=1)
        layer, batch = made.layer(), batch_of(*both_kinds())
        with pytest.raises(TransientError):
            await layer.handle(batch)
        await layer.handle(batch)
        return made

    made = run_virtual(main())
    sends = [done for done in made.journal.effects if "send" in done]
    assert sends == ["load send 1", "reprocess send 3"]
    assert made.counted() == {"bad_type": 2, "unknown_dataset": 2}
    assert len(made.told) == 1


def test_the_raw_file_is_read_once_for_all_its_letters_and_not_again_once_rows_are_stored(bench: Make) -> None:
    async def main() -> list[str]:
        made = bench()
        gets: list[str] = []
        made.store.objects[RAW_FILE] = raw_file(RECORD)
        away = Away("load send", "sqs", times=1)

        def before(effect: str) -> None:
            gets.extend([effect] if effect.startswith("get") else [])
            away(effect)

        made.journal.before = before
        layer = made.layer()
        batch = batch_of(about_records((0, 0)), about_records((0, 1), message_id="d1", column="at", code="bad_time"))
        with pytest.raises(TransientError):
            await layer.handle(batch)
        await layer.handle(batch)
        return gets

    assert len(run_virtual(main())) == 1


def test_the_same_letter_twice_in_a_batch_is_one_row_and_one_count(bench: Make) -> None:
    async def main() -> Bench:
        made = bench()
        await made.take(about_records((0, 0)), about_records((0, 0), message_id="d1"))
        return made

    made = run_virtual(main())
    assert len(made.rows()) == 1
    assert made.counted() == {"bad_type": 1}
    assert len(made.reprocess_queue) == 1


def test_of_two_reports_of_a_failure_the_later_counts(bench: Make) -> None:
    later = about_records((0, 0), message_id="d1", failed_at=NOON + timedelta(minutes=3))

    async def main(*letters: Message) -> Bench:
        made = bench()
        await made.take(*letters)
        return made

    for letters in ([about_records((0, 0)), later], [later, about_records((0, 0))]):
        [row] = run_virtual(main(*letters)).rows()
        assert row["last_failed_at"] == row["updated_at"] == (NOON + timedelta(minutes=3)).replace(tzinfo=None)


def test_the_same_letter_in_two_batches_is_one_row_of_one_version_and_one_count(bench: Make) -> None:
    async def main() -> Bench:
        made = bench()
        await made.take(about_records((0, 0)), dead("x", "d7"))
        await made.take(about_records((0, 0), message_id="d1"), sealed_at=SEALED + timedelta(minutes=9))
        return made

    made = run_virtual(main())
    assert len(made.rows()) == 3
    assert len(made.table()) == 2
    assert len({row["updated_at"] for row in made.rows() if row["code"] == "bad_type"}) == 1
    assert made.counted() == {"bad_type": 1, "redriven": 1}


def test_a_fingerprint_lasts_from_its_first_failure_to_its_last(bench: Make) -> None:
    moments = [NOON + timedelta(minutes=minutes) for minutes in (3, 0, 5)]

    async def main() -> Bench:
        made = bench()
        await made.take(*(about_records((n, 0), message_id=f"d{n}", failed_at=at) for n, at in enumerate(moments)))
        return made

    made = run_virtual(main())
    [state] = [json.loads(body) for uri, body in made.store.objects.items() if "fingerprints/" in uri]
    told = state["first_failed_at"], state["last_failed_at"], state["failed"]
    assert told == (moments[1].isoformat(), moments[2].isoformat(), 3)


def test_of_the_same_failure_in_one_batch_the_earliest_moment_and_the_most_tries_stay(bench: Make) -> None:
    """The letter was sent twice after a crash; and others are about some of these records, one of them tried before."""
    day = timedelta(days=1)

    async def main() -> Bench:
        made = bench()
        mark = Mark("e", "m7", 1, "round-1", NOON - 2 * day)
        await made.take(
            about_records((0, 0), (1, 0), message_id="d0", failed_at=NOON),
            about_records((1, 0), (2, 0), message_id="d1", failed_at=NOON - day),
            about_records((2, 0), (4, 0), message_id="d3", failed_at=NOON - day, attempts=3),
            about_records((3, 0), message_id="d2", failed_at=NOON - day, code="bad_time"),
            dead("x", "m7"),
            Message("m9", "x", {MARK_ATTRIBUTE: mark.attribute()}, NOON, NOON, 1, "r"),
        )
        return made

    made = run_virtual(main())
    found = {
        (row["code"], row["row_index"]): ((NOON.replace(tzinfo=None) - row["first_failed_at"]) // day, row["attempts"])
        for row in made.rows()
    }
    assert found == {
        ("bad_type", 0): (0, 1),
        ("bad_type", 1): (1, 1),
        ("bad_type", 2): (1, 3),
        ("bad_type", 4): (1, 3),
        ("bad_time", 3): (1, 1),
        ("redriven", None): (2, 2),
    }
    assert len(made.rows()) == 6
    [twice] = [row for row in made.rows() if row["row_index"] == 1]
    assert twice["last_failed_at"] == NOON.replace(tzinfo=None), "all else is the latest letter's"
    assert made.counted() == {"bad_type": 4, "bad_time": 1, "redriven": 1}


def test_of_the_same_failure_under_two_definitions_in_one_batch_the_later_one_counts(bench: Make) -> None:
    """Its moment is the first one's."""
    later = NOON + timedelta(hours=1)

    async def main() -> Bench:
        made = bench()
        first = about_records((0, 0), message_id="d0")
        again = about_records(
            (0, 0), message_id="d1", failed_at=later, attempts=2, round_id="round-1", first_failed_at=later
        )
        other = replace(again, body=again.body.replace('"definition":"0a"', '"definition":"0b"'))
        assert other != again
        await made.take(first, other)
        return made

    made = run_virtual(main())
    [row] = made.rows()
    assert (row["attempts"], row["round_id"], row["last_failed_at"]) == (2, "round-1", later.replace(tzinfo=None))
    assert row["first_failed_at"] == NOON.replace(tzinfo=None)


def test_records_that_a_replay_rejects_again_are_the_same_failures(bench: Make) -> None:
    """Under another definition, some of them, beside others; what was sent back in between counts by the try."""
    hours = [NOON + timedelta(hours=number) for number in range(6)]

    async def main() -> list[int]:
        made, counts = bench(), list[int]()
        told: list[tuple[str, str, list[Place]]] = [
            ("0a", "", [(0, 0), (1, 0), (1, 1), (2, 0)]),
            ("0b", "", [(0, 0), (1, 0), (1, 1), (2, 0)]),
            ("0c", "", [(1, 0), (2, 0)]),
            ("0c", "round-1", [(1, 0), (2, 0)]),
            ("0d", "", [(0, 0), (2, 0), (9, 0)]),
        ]
        for number, (definition, round_id, places) in enumerate(told):
            letter = about_records(*places, message_id=f"d{number}", failed_at=hours[number], round_id=round_id)
            body = letter.body.replace('"definition":"0a"', f'"definition":"{definition}"')
            for again in range(2):
                at = hours[number] + timedelta(minutes=5 + again)
                await made.take(replace(letter, body=body, received_at=hours[number]), sealed_at=at)
            counts.append(made.counted()["bad_type"])
        assert len(made.table()) == 5
        return counts

    assert run_virtual(main()) == [4, 4, 4, 6, 7]


def test_a_notice_that_refine_could_not_work_on_is_a_row_about_its_raw_file(bench: Make) -> None:
    notice = FileNotice("loans", "raw", [File(RAW_FILE, "e", 1, 9)], [], "b", "", NOON).to_json()

    async def main() -> Bench:
        made = bench()
        wrong = {"layer": "refine", "dataset": "loans", "code": "bad_file", "sentence": "not readable"}
        await made.take(about_message(dead(notice, "m7"), **wrong))
        return made

    made = run_virtual(main())
    [row] = made.rows()
    assert (row["raw_file"], row["row_index"], row["record_index"], row["message_id"]) == (RAW_FILE, None, None, "m7")
    assert row["preview"] is None
    [original] = made.originals().values()
    assert (original["body"].decode(), original["raw_file"]) == (notice, None), "it is a message, no record"
    assert not [effect for effect in made.journal.effects if effect.startswith("get")]


def test_a_message_that_was_sent_back_and_fails_once_more_counts_once_more(bench: Make) -> None:
    async def main() -> Bench:
        made = bench(source="land")
        await made.take(dead("{}", "m1"))
        [row] = made.rows()
        mark = Mark(row["error_id"], "m1", 1, "round-1", NOON)
        again = Message("m9", "{}", {MARK_ATTRIBUTE: mark.attribute()}, NOON, NOON + timedelta(hours=1), 1, "r")
        await made.take(again, sealed_at=SEALED + timedelta(hours=1))
        return made

    made = run_virtual(main())
    [row] = made.table().values()
    assert (row["message_id"], row["attempts"], row["round_id"]) == ("m1", 2, "round-1")
    assert (row["first_failed_at"], row["last_failed_at"]) == tuple(
        moment.replace(tzinfo=None) for moment in (NOON, NOON + timedelta(hours=1))
    )
    assert made.counted() == {"redriven": 2}


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "\0",
        "\ud800",
        "[" * 100_000,
        '"' * 1_000_000,
        "é" * 500_000,
        "{}",
        "H4sIAAAA",
        '{"acequia_dead_letter":1}',
    ],
)
def test_there_is_nothing_that_it_cannot_store(bench: Make, body: str) -> None:
    async def main() -> Bench:
        made = bench(source="land")
        await made.take(dead(body, "m1"))
        return made

    made = run_virtual(main())
    [row] = made.rows()
    original = made.originals()[row["error_id"]]
    assert original["body"] == body.encode("utf-8", "surrogatepass")
    assert (row["code"], row["size_bytes"]) == ("redriven", len(original["body"]))
    [copy] = made.reprocess_queue.bodies
    letter = read_letter(copy)
    assert letter is not None
    assert letter.error_id == row["error_id"]
    assert letter.original_uri == row["original_uri"] if letter.original is None else letter.original.body == body
    assert len(copy.encode("utf-8", "surrogatepass")) < 1024 * 1024


def test_a_letter_with_ten_thousand_places(bench: Make) -> None:
    async def main() -> Bench:
        made = bench()
        made.store.objects[RAW_FILE] = raw_file(*([RECORD] * PLACES_MAX))
        letter = about_records(*((row, 0) for row in range(PLACES_MAX)))
        assert made.layer().sort(letter).items == PLACES_MAX
        await made.take(letter)
        return made

    made = run_virtual(main())
    rows = made.rows()
    assert {row["row_index"] for row in rows} == set(range(PLACES_MAX))
    assert len({row["error_id"] for row in rows}) == PLACES_MAX
    assert made.counted() == {"bad_type": PLACES_MAX}
    assert made.originals().keys() == {row["error_id"] for row in rows}


@pytest.mark.parametrize("raw", [None, b"no Parquet", b""])
def test_a_raw_file_that_is_gone_or_another_costs_the_previews_alone(bench: Make, raw: bytes | None) -> None:
    async def main() -> Bench:
        made = bench()
        if raw is not None:
            made.store.objects[RAW_FILE] = raw
        await made.take(about_records((0, 0), (4, 2)))
        return made

    made = run_virtual(main())
    rows = made.rows()
    assert [(row["row_index"], row["record_index"]) for row in rows] == [(0, 0), (4, 2)]
    assert not any("originals/" in uri for uri in made.store.objects)
    assert all(row["preview"] is row["original_uri"] is row["size_bytes"] is row["message_id"] is None for row in rows)


def test_a_body_that_cannot_be_opened_is_kept_whole(bench: Make) -> None:
    async def main() -> Bench:
        made = bench()
        made.store.objects[RAW_FILE] = raw_file(f"{UNOPENABLE}broken")
        await made.take(about_records((0, 0), code="bad_encoding", column=None))
        return made

    made = run_virtual(main())
    [row] = made.rows()
    assert (row["preview"], row["size_bytes"]) == (None, 10)
    assert made.originals()[row["error_id"]]["body"] == b"H4sIbroken"


def test_a_dataset_without_a_definition_has_no_preview(bench: Make) -> None:
    async def main() -> Bench:
        made = bench()
        made.store.objects[RAW_FILE] = raw_file(RECORD)
        made.datasets.clear()
        await made.take(about_records((0, 0)))
        return made

    [row] = run_virtual(main()).rows()
    assert (row["preview"], row["size_bytes"]) == (None, 62)


def test_a_failure_about_error_files_makes_no_row_and_is_kept_all_the_same(bench: Make) -> None:
    letter = about_message(dead("a notice", "m1"), layer="load", dataset="errors", code="load_refused")

    async def main() -> Bench:
        made = bench(source="load")
        await made.take(letter)
        return made

    made = run_virtual(main())
    assert not len(made.load_queue)
    assert [row["body"] for row in made.originals().values()] == [b"a notice"]
    assert made.counted() == {"load_refused": 1}
    assert made.reprocess_queue.bodies == [letter.body]
    assert made.told == [Quarantined("load", letters=1, records=1, about_errors=1)]


def test_many_days_are_many_files_and_few_notices(bench: Make) -> None:
    days = FILES_A_NOTICE + 3

    async def main() -> Bench:
        made = bench()
        letters = [
            about_records((day, 0), message_id=f"d{day}", failed_at=NOON - timedelta(days=day)) for day in range(days)
        ]
        await made.take(*letters)
        return made

    made = run_virtual(main())
    assert len(made.load_queue) == 2
    assert len(made.rows()) == days


def test_all_is_one_pile(bench: Make) -> None:
    async def main() -> None:
        layer = bench().layer()
        items = [layer.sort(message) for message in (*both_kinds(), dead("x"))]
        assert {item.key for item in items} == {"errors"}
        assert [item.items for item in items] == [2, 1, 1, 1]
        assert items[3].size_bytes == 1

    run_virtual(main())


ANY_TEXT = st.text(st.characters(exclude_categories=[]))
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
FIELDS = [*json.loads(about_records((0, 0)).body), "original"]
LETTER_LIKE = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4).map(
    lambda changed: json.dumps({**json.loads(about_records((0, 0)).body), **changed})
)
ORIGINAL_LIKE = st.dictionaries(st.sampled_from(["message_id", "sent_at", "attributes", "body", "uri"]), JSON).map(
    lambda original: json.dumps({**json.loads(about_message(dead("{}")).body), "original": original})
)


@given(
    st.lists(ANY_TEXT | LETTER_LIKE | ORIGINAL_LIKE, min_size=1, max_size=4),
    st.sampled_from(["land", "refine", "load"]),
)
def test_whatever_comes_is_a_row_and_is_kept_byte_for_byte(loans: Dataset, bodies: list[str], source: str) -> None:
    messages = [dead(body, f"m{number}", dataset=body[:9] or "x") for number, body in enumerate(bodies)]

    async def main() -> Bench:
        made = Bench({"loans": loans}, source=source)  # type: ignore[arg-type]
        await made.take(*messages)
        return made

    made = run_virtual(main())
    rows, kept = made.rows(), {row["body"] for row in made.originals().values()}
    copies = made.reprocess_queue.bodies
    wrapped = {letter.original.body for copy in copies if (letter := read_letter(copy)) and letter.original}
    for body in bodies:
        believed = body in copies
        assert believed or (body in wrapped and body.encode("utf-8", "surrogatepass") in kept)
    assert rows
    assert sum(made.counted().values()) == len(rows)


def test_attributes_of_any_kind_are_kept(bench: Make) -> None:
    attributes = {"é": Attribute("String", "ü"), "b": Attribute("Binary", b"\xff"), "dataset": Attribute("Binary", b"")}

    async def main() -> Bench:
        made = bench(source="land")
        await made.take(Message("m1", "x", attributes, NOON, NOON, 1, "r"))
        return made

    [original] = run_virtual(main()).originals().values()
    assert {name: Attribute.from_json(told) for name, told in json.loads(original["attributes"]).items()} == attributes
