"""How long JSON may be in a SUPER column: a limit in bytes, exactly; what long records cost; a file's address."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.core.errors import DefinitionError
from service.core.model import Message, Outgoing
from service.core.notice import FileNotice
from service.land.encode import encode
from service.refine.compile import SUPER_BYTES_MAX, compile_dataset, compile_datasets
from service.refine.execute import Judged, Keys, judge
from service.refine.portions import cuts
from service.settings import Settings
from tests.fakes.time import run_virtual
from tests.fakes.world import DEFINITION, World, event, live

Define = Callable[..., Dataset]
MakeMessage = Callable[..., Message]

DOCUMENT = '[[column]]\nname = "doc"\ntype = "super"\n'
LARGER = 200_000
REST_BRACES = len('{"k":""}')
MEMORY_BYTES = 256 * 1024 * 1024
MEMORY_BYTES_MIN = 64 * 1024 * 1024
FIRST_FIELDS = '"at":"2024-03-04T00:00:00Z"'


@pytest.fixture
def refine(message: MakeMessage, keys: Keys) -> Callable[..., Judged]:
    """Judge records with these fields (ids 0, 1, …) under a limit."""

    def run(dataset: Dataset, *fields: str, limit: int, memory_bytes: int = MEMORY_BYTES) -> Judged:
        bodies = [f'{{"id":"{number}",{FIRST_FIELDS},{field}}}' for number, field in enumerate(fields)]
        raw = encode([message(body, f"m{number}") for number, body in enumerate(bodies)], "records")
        return judge(raw, "s3://raw/f", compile_dataset(dataset, super_bytes_max=limit), keys, memory_bytes)

    return run


@pytest.mark.parametrize("limit", [1_024, SUPER_BYTES_MAX, LARGER])
@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
@pytest.mark.parametrize(("column", "field", "around"), [("doc", "doc", 2), ("rest", "k", REST_BRACES)])
def test_json_of_exactly_the_limit_passes_and_a_byte_more_is_rejected(
    define: Define, refine: Callable[..., Judged], limit: int, letter: str, column: str, field: str, around: int
) -> None:
    text = _of_bytes(limit - around, letter)
    judged = refine(define(DOCUMENT), *(f'"{field}":"{given}"' for given in (text, text + "a", "short")), limit=limit)
    [stored, _] = judged.good.column(column).to_pylist()
    assert len(stored.encode()) == limit
    assert text in stored
    [rejection] = judged.rejections
    assert (rejection.fault.code, rejection.fault.column, rejection.places) == ("too_long", column, [(1, 0)])
    assert rejection.fault.sentence == f"column {column}: longer than {limit} bytes as JSON"


def test_the_usual_limit_is_the_settings_default() -> None:
    """Files are named after any other one."""
    assert Settings.model_fields["super_string_bytes_max"].default == SUPER_BYTES_MAX


def test_another_limit_gives_other_addresses_where_it_matters(define: Define) -> None:
    dataset, without = define(DOCUMENT), define("", head="")
    limits = (SUPER_BYTES_MAX, 1_024, LARGER)
    hashes = [compile_dataset(dataset, super_bytes_max=limit).dataset.definition for limit in limits]
    assert hashes[0] == dataset.definition
    assert len(set(hashes)) == len(limits)
    assert {len(one) for one in hashes} == {len(dataset.definition)}
    assert compile_dataset(without, super_bytes_max=LARGER).dataset == without
    [rest_only] = compile_datasets({"things": define()}, super_bytes_max=LARGER).values()
    assert rest_only.dataset.definition != define().definition


def test_a_raw_file_that_is_refined_again_under_a_raised_limit_gives_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text(DEFINITION)
    world = World(load_datasets(tmp_path))

    async def main() -> None:
        world.open()
        world.send(event(1), event(2, k="a" * LARGER))
        await live(world, until=lambda: len(world.queues["refine"]) == 1, layers=("land",))
        [notice] = world.queues["refine"].bodies
        await live(world, until=lambda: len(world.queues["load"]) == 1, layers=("refine",))
        world.queues["refine"].put(Outgoing(notice))
        raised = {"super_string_bytes_max": LARGER * 2}
        await live(world, until=lambda: len(world.queues["load"]) == 2, layers=("refine",), **raised)

    run_virtual(main())
    before, after = (FileNotice.from_json(body) for body in world.queues["load"].bodies)
    assert [(file.rows, file.uri) for file in (*before.files, *after.files)] == [
        (1, _named(before.files[0].uri, before.definition)),
        (2, _named(before.files[0].uri, after.definition)),
    ]
    assert [letter["code"] for letter in world.letters("refine")] == ["too_long"]


def test_a_definition_cannot_ask_for_json_to_be_cut(define: Define) -> None:
    with pytest.raises(DefinitionError, match=r"column 'doc': JSON cannot be cut: leave out too_long, and a longer"):
        define(DOCUMENT + 'too_long = "truncate"\n')


def test_long_records_do_not_need_many_times_their_size(define: Define, refine: Callable[..., Judged]) -> None:
    """An eighth of the memory in records is what a raw file may hold, also when each of them is long."""
    dense = f'"doc":[{"1," * 30_000}1]'
    count = MEMORY_BYTES_MIN // 8 // len(dense) - 1
    judged = refine(define(DOCUMENT), *[dense] * count, limit=SUPER_BYTES_MAX, memory_bytes=MEMORY_BYTES_MIN)
    assert (judged.good.num_rows, judged.rejections) == (count, [])


def test_a_record_that_takes_all_memory_costs_only_itself(define: Define, refine: Callable[..., Judged]) -> None:
    fields = ['"k":1', f'"doc":[{"1," * 500_000}1]', '"k":2']
    judged = refine(define(DOCUMENT), *fields, limit=16_000_000, memory_bytes=MEMORY_BYTES_MIN)
    assert judged.good.column("id").to_pylist() == ["0", "2"]
    [rejection] = judged.rejections
    assert (rejection.fault.code, rejection.places, judged.records) == ("too_large", [(1, 0)], 3)


@pytest.mark.parametrize(
    ("lengths", "ends"),
    [([], [0]), ([5], [0, 1]), ([50], [0, 1]), ([5, 5, 1], [0, 2, 3]), ([5, 50, 5], [0, 1, 2, 3]), ([0, 10], [0, 2])],
)
def test_a_portion_is_full_or_holds_one_long_record(lengths: list[int], ends: list[int]) -> None:
    assert list(cuts(lengths, 10)) == ends


def _named(uri: str, definition: str) -> str:
    batch, _, _ = uri.rpartition("/")[2].split(".")
    return f"{uri.rpartition('/')[0]}/{batch}.{definition}.parquet"


def _of_bytes(size: int, letter: str) -> str:
    width = len(letter.encode())
    return letter * (size // width) + "a" * (size % width)
