"""Records of a raw file that are sent back: judged alone, under their own places, and none is forgotten."""

import base64
import gzip
import hashlib
from collections.abc import Callable, Sequence

import pytest

from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.model import Message
from service.core.notice import WHOLE_MESSAGE
from service.land.encode import encode
from service.refine.compile import compile_dataset
from service.refine.execute import Judged, Keys, judge, judge_rows
from service.refine.open import Opened
from service.refine.rows import Chosen

MEMORY_BYTES = 256 * 1024 * 1024
Places = Sequence[tuple[int, int]]
JudgeRows = Callable[..., Judged]


def record(number: int, time: str = "2024-03-04T00:00:00Z") -> str:
    return f'{{"id":"{number}","at":"{time}"}}'


BODIES = [
    record(0),
    "\n".join([record(10), record(11, "never"), record(12)]),
    "nonsense",
    "\n".join([record(30, "never"), "no JSON", record(32, "never")]),
    f"[{record(40)},{record(41)}]",
    "neither\nnor",
]


@pytest.fixture
def judge_some(message: Callable[..., Message], keys: Keys) -> JudgeRows:
    def run(dataset: Dataset, places: Places, bodies: Sequence[str] = BODIES, memory: int = MEMORY_BYTES) -> Judged:
        raw = encode([message(body, f"m{number}") for number, body in enumerate(bodies)], "records")
        return judge_rows(raw, "s3://raw/things/f.parquet", places, compile_dataset(dataset), keys, memory)

    return run


def ids(judged: Judged) -> list[str]:
    return sorted(judged.good.column("id").to_pylist())


def rejected(judged: Judged) -> list[tuple[str, tuple[int, int]]]:
    found = [(rejection.fault.code, place) for rejection in judged.rejections for place in rejection.places]
    return sorted(found, key=lambda one: one[1])


@pytest.mark.parametrize(
    ("places", "good", "bad"),
    [
        ([(0, 0)], ["0"], []),
        ([(1, 2), (4, 0)], ["12", "40"], []),
        ([(4, 1), (1, 0), (4, 1)], ["10", "41"], []),
        ([(1, 1)], [], [("bad_time", (1, 1))]),
        ([(2, 0), (3, 1), (3, 2)], [], [("bad_json", (2, 0)), ("bad_json", (3, 1)), ("bad_time", (3, 2))]),
        ([(5, 1)], [], [("bad_json", (5, 1))]),
        ([(1, WHOLE_MESSAGE)], ["10", "12"], [("bad_time", (1, 1))]),
        ([(3, WHOLE_MESSAGE), (4, 1)], ["41"], [("bad_time", (3, 0)), ("bad_json", (3, 1)), ("bad_time", (3, 2))]),
    ],
)
def test_only_what_is_chosen_is_judged_and_keeps_its_places(
    define: Callable[..., Dataset],
    judge_some: JudgeRows,
    places: Places,
    good: list[str],
    bad: list[tuple[str, tuple[int, int]]],
) -> None:
    judged = judge_some(define(), places)
    assert (ids(judged), rejected(judged), judged.records) == (good, bad, len(good) + len(bad))


def test_a_record_is_the_one_that_it_was_among_all(
    define: Callable[..., Dataset], judge_some: JudgeRows, message: Callable[..., Message], keys: Keys
) -> None:
    dataset = define(identity='identity = "message"')
    raw = encode([message(body, f"m{number}") for number, body in enumerate(BODIES)], "records")
    whole = judge(raw, "s3://raw/things/f.parquet", compile_dataset(dataset), keys, MEMORY_BYTES).good
    some = judge_some(dataset, [(4, 1), (1, 2)]).good
    rows = {row["id"]: row for row in whole.to_pylist()}
    assert [rows[row["id"]] for row in some.to_pylist()] == some.to_pylist()
    assert some.schema == whole.schema
    assert some.num_rows == 2


@pytest.mark.parametrize("places", [[(6, 0)], [(0, 0), (99, WHOLE_MESSAGE)], [(0, 1)], [(1, 3)], [(1, 0), (4, 2)]])
def test_a_place_that_the_file_does_not_have_is_a_bad_notice(
    define: Callable[..., Dataset], judge_some: JudgeRows, places: Places
) -> None:
    with pytest.raises(RejectedError) as raised:
        judge_some(define(), places)
    assert raised.value.code == "bad_notice"


LITTLE = 12 * 1024 * 1024
"""Memory in which an eighth of it is less than one body of `packed(2_000)`, and enough for four of `packed(400)`."""


def packed(records: int) -> str:
    """So many records of some 900 bytes, in a tenth of that."""
    pads = (hashlib.sha256(str(number).encode()).hexdigest() * 14 for number in range(records))
    lines = [f'{{"id":"{n}","at":"2024-03-04T00:00:00Z","pad":"{pad}"}}' for n, pad in enumerate(pads)]
    return base64.b64encode(gzip.compress("\n".join(lines).encode())).decode()


def test_a_body_that_opens_now_comes_with_all_its_records(
    define: Callable[..., Dataset], judge_some: JudgeRows
) -> None:
    bodies = [record(0), packed(2_000)]
    assert rejected(judge_some(define(), [(1, WHOLE_MESSAGE)], bodies, memory=LITTLE)) == [("too_large", (1, 0))]
    assert judge_some(define(), [(1, WHOLE_MESSAGE)], bodies).good.num_rows == 2_000
    assert judge_some(define(), [(1, 1_999)], bodies).good.num_rows == 1


def test_a_body_that_does_not_open_any_more_is_told_whichever_record_was_meant(
    define: Callable[..., Dataset], judge_some: JudgeRows
) -> None:
    judged = judge_some(define(), [(0, 0), (1, 1_500)], [record(0), packed(2_000)], memory=LITTLE)
    assert rejected(judged) == [("too_large", (1, 0))]
    assert ids(judged) == ["0"]


def test_one_bad_record_is_not_taken_for_a_body_that_does_not_open() -> None:
    opened = Opened(rows=[0], indexes=[1], records=["{}"], wrong=[(0, 0, "bad_json")])
    Chosen.of([(7, 1)], rows=8).keep(opened)
    assert (opened.indexes, opened.wrong) == ([1], [])


def test_what_the_other_records_of_the_file_take_does_not_count(
    define: Callable[..., Dataset], judge_some: JudgeRows, message: Callable[..., Message], keys: Keys
) -> None:
    """Compressed bodies share a limit; those that are sent back have it to themselves."""
    bodies = [packed(400)] * 9
    raw = encode([message(body, f"m{number}") for number, body in enumerate(bodies)], "records")
    whole = judge(raw, "s3://raw/things/f.parquet", compile_dataset(define()), keys, LITTLE)
    assert ("too_large", (8, 0)) in rejected(whole)
    assert judge_some(define(), [(8, WHOLE_MESSAGE)], bodies, memory=LITTLE).good.num_rows == 400
