"""What the layers do to the world, and in which order."""

import asyncio
import io
from itertools import pairwise

import pyarrow.parquet as pq
import pytest

from service.core.errors import TransientError
from service.core.events import BatchClosed, FileRefined, GroupLoaded, LayerPaused, LayerResumed
from service.core.model import Outgoing
from tests.fakes.journal import Away
from tests.fakes.time import run_virtual
from tests.fakes.world import World, event, live


def test_every_durable_effect_comes_in_its_order(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), event(2, day=2), '{"event_id": "e003"}')
        await live(world)

    run_virtual(main())
    assert world.journal.effects == [
        "put raw events/dt=2026-01-01/hr=00",
        "refine send 1",
        "records delete 1",
        "refine-dlq send 1",
        "put refined events/dt=2025-12-01",
        "put refined events/dt=2025-12-02",
        "load send 1",
        "refine delete 1",
        "warehouse columns",
        "warehouse commit",
        "warehouse columns",
        "warehouse commit",
        "warehouse ledger_lock",
        "warehouse ledger_known",
        "put refined _manifests/events",
        "warehouse stage_create",
        "warehouse copy",
        "warehouse copy_count",
        "warehouse fresh_create",
        "warehouse fresh_counts",
        "warehouse fresh_insert",
        "warehouse stage_drop",
        "warehouse fresh_drop",
        "warehouse ledger_add",
        "warehouse commit",
        "load delete 1",
    ]


def test_a_bad_record_costs_one_record_and_its_letter_names_its_place(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), "not json", event(2, amount=5.5), event(3))
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001", "e003"]
    found = [(letter["code"], letter["column"], letter["places"]) for letter in world.letters("refine")]
    assert sorted(found, key=str) == [("bad_json", None, [[0, 1]]), ("bad_type", "amount", [[0, 2]])]
    assert all(letter["raw_file"].startswith("s3://raw/events/dt=2026-01-01/") for letter in world.letters("refine"))


def test_a_message_without_a_dataset_goes_to_dead_letters_byte_for_byte(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send('{"event_id":  "x"}', dataset=None)
        world.send(event(1), dataset="strangers")
        world.send(event(2))
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e002"]
    first, second = world.letters("records")
    assert (first["code"], first["original"]["body"]) == ("unknown_dataset", '{"event_id":  "x"}')
    assert second["original"]["attributes"]["dataset"]["value"] == "strangers"


def test_a_foreign_notice_is_rejected_and_nothing_outside_the_zones_is_read(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        await live(world, until=lambda: len(world.queues["refine"]) == 1, layers=("land",))
        [notice] = world.queues["refine"].bodies
        for body in (notice.replace("s3://raw/", "s3://other/"), '{"Records": []}', "no notice"):
            world.queues["refine"].put(_outgoing(body))
        await live(world)

    run_virtual(main())
    assert [letter["code"] for letter in world.letters("refine")] == ["bad_notice"] * 3
    assert world.event_ids() == ["e001"]


def test_the_same_record_delivered_twice_is_in_the_warehouse_once(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), event(1))
        await live(world)
        world.send(event(1), event(2))
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002"]
    assert [(rows, inserted, twice) for rows, inserted, twice in world.warehouse.ledger("events").values()] == [
        (2, 1, 1),
        (2, 1, 1),
    ]


def test_a_file_that_copy_refuses_costs_that_file_alone(world: World) -> None:
    async def main() -> None:
        world.open()
        for number in range(8):
            world.send(event(number))
            await live(world, until=lambda n=number: len(world.queues["load"]) > n, layers=("land", "refine"))  # type: ignore[misc]
        bad = sorted(uri for uri in world.store.objects if uri.startswith("s3://raw/"))[3]
        world.warehouse.refuse.add(bad)
        await live(world)

    run_virtual(main())
    assert world.event_ids() == [f"e{number:03d}" for number in range(8) if number != 3]
    [letter] = world.letters("load")
    assert (letter["code"], letter["column"]) == ("load_refused", "amount")
    assert letter["sentence"] == "the warehouse refused the data: Invalid value … for the column"
    attempts = world.journal.effects.count("warehouse copy")
    assert attempts <= 2 * 3 + 1, "halving finds one of eight in at most 2·log2(8) attempts after the first"


def test_a_notice_tells_what_is_in_the_object_that_lay_there_already(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), event(2))
        await live(world, until=lambda: len(world.queues["refine"]) == 1, layers=("land",))
        raw = world.queues["refine"].bodies
        await live(world, until=lambda: not len(world.queues["refine"]), layers=("refine",))
        world.queues["load"].take()
        [address] = [uri for uri in world.store.objects if uri.startswith("s3://refined/events/")]
        sink = io.BytesIO()
        pq.write_table(pq.read_table(io.BytesIO(world.store.objects[address])).slice(0, 1), sink)
        world.store.objects[address] = sink.getvalue()  # what a run with other limits would have left
        world.queues["refine"].put(*map(Outgoing, raw))
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001"]
    assert not world.letters("load")


@pytest.mark.parametrize("there", [b"", b"no Parquet at all", b"PAR1 nor this PAR1"], ids=repr)
def test_an_object_that_cannot_be_read_where_a_refined_one_belongs_gives_way(world: World, there: bytes) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), event(2))
        await live(world, until=lambda: len(world.queues["refine"]) == 1, layers=("land",))
        raw = world.queues["refine"].bodies
        await live(world, until=lambda: not len(world.queues["refine"]), layers=("refine",))
        world.queues["load"].take()
        [address] = [uri for uri in world.store.objects if uri.startswith("s3://refined/events/")]
        world.store.objects[address] = there
        world.queues["refine"].put(*map(Outgoing, raw))
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002"]
    assert not world.letters("refine")
    assert not world.letters("load")
    assert world.journal.effects.count("replace refined events/dt=2025-12-01") == 1


def _answers_short(world: World, zone: str, times: int) -> None:
    """So many reads of that zone's objects bring half of them, with nothing to tell it by."""
    get = world.store.get
    left = times

    async def short(uri: str) -> bytes:
        nonlocal left
        body = await get(uri)
        if left and uri.startswith(f"s3://{zone}/"):
            left -= 1
            return body[: len(body) // 2]
        return body

    world.store.get = short  # type: ignore[method-assign]


def test_a_raw_file_that_comes_short_is_read_again_and_is_no_bad_file(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), event(2))
        _answers_short(world, "raw", times=2)
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002"]
    assert not world.letters("refine")
    assert any(isinstance(e, LayerPaused) for e in world.events)


def test_a_refined_object_that_comes_short_is_read_again_and_stays(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), event(2))
        await live(world, until=lambda: len(world.queues["refine"]) == 1, layers=("land",))
        raw = world.queues["refine"].bodies
        await live(world, until=lambda: not len(world.queues["refine"]), layers=("refine",))
        world.queues["refine"].put(*map(Outgoing, raw))
        _answers_short(world, "refined", times=2)
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002"]
    assert not any(effect.startswith(("replace", "remove")) for effect in world.journal.effects)


@pytest.mark.parametrize("notices_length", [True, False], ids=["as announced", "as it lies there"])
def test_a_raw_object_that_is_another_one_costs_that_file(world: World, notices_length: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        world.open()
        world.send(event(1))
        await live(world, until=lambda: len(world.queues["refine"]) == 1, layers=("land",))
        [address] = [uri for uri in world.store.objects if uri.startswith("s3://raw/")]
        world.store.objects[address] = bytes(len(world.store.objects[address]) if notices_length else 100)
        world.send(event(2))
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e002"]
    assert [letter["code"] for letter in world.letters("refine")] == ["bad_file"]


def test_an_outage_costs_no_message_more_than_one_receive_and_reaches_no_dead_letter(world: World) -> None:
    down = Away("warehouse begin", "warehouse", times=40)

    async def main() -> None:
        world.open()
        world.journal.before = down
        for number in range(3):
            world.send(event(number))
        await live(world)

    run_virtual(main())
    assert down.failures == 40
    assert world.event_ids() == ["e000", "e001", "e002"]
    assert not any(len(world.queues[f"{name}-dlq"]) for name in ("records", "refine", "load"))
    paused = [e for e in world.events if isinstance(e, LayerPaused | LayerResumed)]
    assert [type(e) for e in paused] == [LayerPaused, LayerResumed]
    assert sum(effect.startswith("load hide") for effect in world.journal.effects) > 0, "the held notice was kept ours"
    assert world.journal.effects.count("load delete 1") == 1


def test_what_arrives_during_a_copy_forms_the_next_group(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(0))
        await live(world, until=lambda: len(world.queues["load"]) == 1, layers=("land", "refine"))

        def meanwhile(effect: str) -> None:
            if effect == "warehouse copy" and len(world.queues["records"]) == 0 and not world.rows():
                world.queues["load"].put(*[_outgoing(body) for body in world.queues["load"].bodies * 3])

        world.journal.before = meanwhile
        await live(world)

    run_virtual(main())
    groups = [e for e in world.events if isinstance(e, GroupLoaded)]
    assert [(group.files, group.known_files) for group in groups] == [(1, 0), (0, 1)]


def test_a_table_that_lacks_a_column_holds_its_dataset_up_and_nothing_is_rejected(world: World) -> None:
    async def main() -> None:
        world.open()
        del world.warehouse.columns["events"][2]
        world.send(event(1))
        said = lambda: any(isinstance(e, LayerPaused) for e in world.events)  # noqa: E731
        await live(world, until=said)
        world.warehouse.columns["events"].insert(2, ("amount", "integer"))
        await live(world)

    run_virtual(main())
    [paused] = [e for e in world.events if isinstance(e, LayerPaused)]
    assert paused.reason == "warehouse: table lake.events lacks the column amount: run acequia migrate"
    assert world.event_ids() == ["e001"]
    assert not world.letters("load")


def test_a_file_that_is_gone_or_another_costs_that_file_and_no_copy(world: World) -> None:
    async def main() -> None:
        world.open()
        for number in range(3):
            world.send(event(number))
            await live(world, until=lambda n=number: len(world.queues["load"]) > n, layers=("land", "refine"))  # type: ignore[misc]
        first, second, _ = sorted(uri for uri in world.store.objects if uri.startswith("s3://refined/events"))
        del world.store.objects[first]
        world.store.objects[second] += b"more"
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e002"]
    assert [letter["code"] for letter in world.letters("load")] == ["missing_object", "bad_file"]
    assert world.journal.effects.count("warehouse copy") == 1


def test_copies_of_a_table_keep_their_interval(world: World) -> None:
    began: list[float] = []

    def note(effect: str) -> None:
        if effect == "warehouse copy":
            began.append(asyncio.get_running_loop().time())

    async def main() -> None:
        world.open()
        world.journal.before = note
        for number in range(5):
            world.send(event(number))
            await live(world, until=lambda n=number: len(world.queues["load"]) > n, layers=("land", "refine"))  # type: ignore[misc]
        await live(world, load_batch_files_max=1, load_copy_interval_seconds=30)

    run_virtual(main())
    assert [later - earlier for earlier, later in pairwise(began)] == [30.0] * 4


def test_draining_seals_and_lands_what_is_held_and_says_why(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        held = lambda: any(world.queues["records"].receives.values())  # noqa: E731
        await live(world, until=held, layers=("land",), land_batch_seconds_max=50)

    run_virtual(main())
    assert [e.reason for e in world.events if isinstance(e, BatchClosed)] == ["drain"]
    assert (len(world.queues["records"]), len(world.queues["refine"])) == (0, 1)


def test_draining_during_an_outage_gives_messages_back_at_once(world: World) -> None:
    def down(effect: str) -> None:
        if effect.startswith("put "):
            raise TransientError("s3", "it is away")

    async def main() -> None:
        world.open()
        world.journal.before = down
        world.send(event(1))
        await live(world, until=lambda: any(isinstance(e, LayerPaused) for e in world.events), layers=("land",))

    run_virtual(main())
    assert world.journal.effects == ["records hide 1 for 0"]
    assert len(world.queues["records"]) == 1


def test_bytes_held_close_batches_early_and_everything_still_arrives(world: World) -> None:
    async def main() -> None:
        world.open()
        for number in range(60):
            world.send(event(number, note="x" * 200))
        await live(world, memory_bytes_max=2048, land_batch_seconds_max=50)

    run_virtual(main())
    assert len(world.event_ids()) == 60
    assert "memory" in {e.reason for e in world.events if isinstance(e, BatchClosed)}


def test_more_event_dates_than_a_notice_names_become_further_notices(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(*(event(day, day=day) for day in range(1, 11)))
        await live(world, refine_partitions_max=4)

    run_virtual(main())
    assert "load send 1" in world.journal.effects
    assert world.journal.effects.count("load send 1") == 3
    assert len(world.event_ids()) == 10
    [refined] = [e for e in world.events if isinstance(e, FileRefined)]
    assert (refined.files, refined.refined) == (10, 10)


def _outgoing(body: str) -> Outgoing:
    return Outgoing(body)


def test_a_deletion_that_fails_for_long_sends_no_letter_twice(world: World) -> None:
    down = Away("records delete", "sqs", times=20)

    async def main() -> None:
        world.open()
        world.send("lost", dataset=None)
        world.journal.before = down
        await live(world)

    run_virtual(main())
    assert down.failures == 20
    assert len(world.letters("records")) == 1


def test_an_upload_that_fails_for_long_sends_no_letter_twice(world: World) -> None:
    down = Away("put refined", "s3", times=20)

    async def main() -> None:
        world.open()
        world.send(event(1), "poison")
        world.journal.before = down
        await live(world)

    run_virtual(main())
    assert down.failures == 20
    assert len(world.letters("refine")) == 1
