"""Rows of one raw file that were refined more than once: of the same records, and of others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.upkeep.explain import Bounds, Output
from service.upkeep.lake import Made
from service.upkeep.refinings import rows_again
from tests.fakes.time import LoopClock, run_virtual
from tests.fakes.world import World
from tests.unit.upkeep.bed import tools

BATCH = "20260101T100000000Z-0123456789abcdef"


def output(world: World, refining: str, records: Sequence[str], day: int = 1) -> Output:
    """A refined file, not yet in the ledger, which holds these."""
    uri = f"s3://refined/events/dt=2025-12-{day:02d}/{BATCH}.{refining * 12}.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"_record_id": pa.array(records, pa.string()), "amount": range(len(records))}), sink)
    world.store.objects[uri] = bytes(sink.getvalue())
    return Output(uri, len(records), Made(uri, BATCH, len(world.store.objects[uri]), LoopClock().now()), None)


@pytest.mark.parametrize(
    ("refinings", "again"),
    [
        ({"a": ["1", "2", "3"]}, 0),
        ({"a": ["1", "1", "1"]}, 0),
        ({"a": ["1", "2"], "b": ["3"]}, 0),
        ({"a": ["1", "2", "3"], "b": ["2"]}, 1),
        ({"a": ["2"], "b": ["1", "2", "3"]}, 1),
        ({"a": ["1", "1", "2"], "b": ["1"]}, 1),
        ({"a": ["1"], "b": ["1", "1", "2"]}, 1),
        ({"a": ["1", "2"], "b": ["1", "2"], "c": ["2", "3"]}, 3),
        ({"a": [], "b": ["1"]}, 0),
        ({"a": [], "b": []}, 0),
    ],
)
def test_rows_of_the_same_record(world: World, refinings: Mapping[str, Sequence[str]], again: int) -> None:
    async def main() -> Bounds:
        world.open()
        return await rows_again(tools(world), [output(world, *one) for one in refinings.items()], mended=0)

    assert run_virtual(main()) == (again, again)


def test_a_record_in_two_partitions_of_one_refining_was_there_twice(world: World) -> None:
    async def main() -> Bounds:
        world.open()
        outputs = [output(world, "a", ["1"]), output(world, "a", ["1"], day=2), output(world, "b", ["1"])]
        return await rows_again(tools(world), outputs, mended=0)

    assert run_virtual(main()) == (1, 1)


@pytest.mark.parametrize("body", [None, b"no Parquet"])
def test_what_cannot_be_read_counts_as_other_records(world: World, body: bytes | None) -> None:
    async def main() -> Bounds:
        world.open()
        outputs = [output(world, "a", ["1", "2"]), output(world, "b", ["1"]), output(world, "c", ["2"])]
        del world.store.objects[outputs[1].uri]
        if body is not None:
            world.store.objects[outputs[1].uri] = body
        return await rows_again(tools(world), [*outputs, replace(outputs[0], uri=outputs[2].uri, made=None)], mended=0)

    assert run_virtual(main()) == (1, 1)


@pytest.mark.parametrize(
    ("mended", "refinings", "again"),
    [
        (1, {"a": ["1"], "b": ["1"]}, (0, 1)),
        (1, {"a": ["1"], "b": ["1"], "c": ["1"]}, (1, 2)),
        (2, {"a": ["1"], "b": ["2"], "c": ["2"]}, (0, 1)),
        (1, {"a": ["1"], "b": ["2"], "c": ["2"]}, (1, 1)),
        (3, {"a": ["1"], "b": ["2", "3", "4"], "c": ["2", "3", "4"]}, (3, 3)),
        (0, {"a": ["1", "2"], "b": ["1", "2", "3"]}, (2, 2)),
    ],
)
def test_a_record_of_which_the_raw_file_has_two_may_be_new_where_one_was_mended(
    world: World, mended: int, refinings: Mapping[str, Sequence[str]], again: Bounds
) -> None:
    async def main() -> Bounds:
        world.open()
        outputs = []
        for one in refinings.items():
            outputs.append(output(world, *one))
            await LoopClock().sleep(1)
        return await rows_again(tools(world), outputs[::-1], mended)

    assert run_virtual(main()) == again
