"""A bad deployment rejects everything: its dataset waits, costs nothing, and goes on when it is mended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.core.definitions import load_datasets
from service.core.errors import TransientError
from service.core.events import DatasetPaused, DatasetResumed, FileRefined, MessagesDeferred, RecordsRejected
from service.core.model import Outgoing
from tests.fakes.journal import Away
from tests.fakes.time import run_virtual
from tests.fakes.world import DEFINITION, World, event, live

WRONG = DEFINITION.replace('name = "amount"', 'name = "amount"\nrequired = true')


@pytest.fixture
def two(tmp_path: Path) -> World:
    """`events` with a wrong definition, and `others`."""
    (tmp_path / "others.toml").write_text(DEFINITION)
    (tmp_path / "events.toml").write_text(WRONG)
    return World(load_datasets(tmp_path))


def test_a_dataset_that_is_rejected_wholesale_waits_and_the_others_go_on(two: World, tmp_path: Path) -> None:
    async def main() -> None:
        two.open()
        for number in range(30):
            two.send(event(number))
        two.send(event(99), dataset="others")
        await live(
            two,
            lambda: sum(isinstance(e, MessagesDeferred) for e in two.events) >= 3,
            refine_rejected_max=20,
            land_batch_records_max=10,
        )
        assert len(two.warehouse.rows("others")) == 1
        assert len(two.letters("refine")) == 1, "what came before the limit was passed"
        assert len(two.queues["refine"]) == 2, "the notices wait, as new messages"
        (tmp_path / "events.toml").write_text(DEFINITION)
        two.datasets = load_datasets(tmp_path)
        await live(two, refine_rejected_max=20)

    run_virtual(main())
    assert len(two.rows()) == 20
    assert sum(e.records for e in two.events if isinstance(e, RecordsRejected)) == 10
    assert next(e.reason for e in two.events if isinstance(e, DatasetPaused)) == "20 of the last 20 were rejected"
    assert max(two.queues["refine"].receives.values(), default=1) == 1


def test_a_dataset_goes_on_by_itself_when_what_comes_is_good_again(two: World) -> None:
    def has_told(kind: type[object]) -> bool:
        return any(isinstance(e, kind) for e in two.events)

    def resumed() -> bool:
        if has_told(DatasetPaused) and not two.rows() and two.queues["refine"].take():
            for number in range(20):
                two.send(event(number, amount=1))
        return has_told(DatasetResumed) and two.settled()

    async def main() -> None:
        two.open()
        for number in range(20):
            two.send(event(number))
        await live(two, resumed, refine_rejected_max=20)

    run_virtual(main())
    assert len(two.rows()) == 20
    assert not two.letters("refine")


def test_files_that_the_warehouse_refuses_one_after_the_other_wait_likewise(two: World, tmp_path: Path) -> None:
    async def main() -> None:
        two.open()
        for number in range(6):
            two.send(event(number), dataset="others")
            await live(two, lambda n=number: len(two.queues["load"]) > n, layers=("land", "refine"))  # type: ignore[misc]
        two.warehouse.refuse |= {uri for uri in two.store.objects if uri.startswith("s3://raw/")}
        await live(two, lambda: any(isinstance(e, MessagesDeferred) for e in two.events), load_rejected_max=4)
        assert not two.letters("load")
        assert len(two.queues["load"]) == 6
        two.warehouse.refuse.clear()
        await live(two, load_rejected_max=4)

    run_virtual(main())
    assert len(two.warehouse.rows("others")) == 6
    assert not two.letters("load")
    assert any(isinstance(e, DatasetPaused) for e in two.events)
    assert not any(isinstance(e, DatasetResumed) for e in two.events), "another process never knew"


def test_an_outage_makes_no_dataset_pause_and_counts_no_record_twice(two: World) -> None:
    down = Away("put refined", "s3", times=30)

    async def main() -> None:
        two.open()
        two.send(*(event(number) for number in range(15)), event(99, amount=1))
        two.journal.before = down
        await live(two, refine_rejected_max=20)

    run_virtual(main())
    assert down.failures == 30
    assert two.event_ids() == ["e099"]
    assert not any(isinstance(e, DatasetPaused) for e in two.events)
    assert sum(e.records for e in two.events if isinstance(e, RecordsRejected)) == 15


def test_a_batch_that_an_outage_stopped_goes_on_where_it_stopped(two: World) -> None:
    async def main() -> None:
        two.open()
        for number in range(4):
            two.send(event(number, amount=1))
            await live(two, lambda n=number: len(two.queues["refine"]) > n, layers=("land",))  # type: ignore[misc]
        away = iter([False, False, True, True, False, False])
        two.journal.before = lambda effect: _down(effect, away)
        await live(two)

    def _down(effect: str, away: Iterator[bool]) -> None:
        if effect.startswith("put refined events") and next(away):
            raise TransientError("s3", "it is away")

    run_virtual(main())
    assert len(two.rows()) == 4
    assert sum(isinstance(e, FileRefined) for e in two.events) == 4


def test_a_notice_that_is_in_hand_twice_at_the_same_moment_is_refined_twice_and_loaded_once(two: World) -> None:
    async def main() -> None:
        two.open()
        two.send(event(1, amount=1))
        await live(two, lambda: len(two.queues["refine"]) == 1, layers=("land",))
        [raw] = two.queues["refine"].take()
        failed = False

        def once(effect: str) -> None:
            nonlocal failed
            if effect.startswith("put refined events") and not failed:
                failed = True
                two.queues["refine"].double()
                raise TransientError("s3", "it is away")

        two.journal.before = once
        two.queues["refine"].put(Outgoing(raw))
        await live(two, refine_batch_files_max=1)

    run_virtual(main())
    assert two.event_ids() == ["e001"]


def test_one_message_of_a_thousand_bad_lines_is_one_bad_message(two: World) -> None:
    async def main() -> None:
        two.open()
        two.send(*["x"] * 1_000)
        two.send(event(1, amount=1))
        await live(two)

    run_virtual(main())
    assert two.event_ids() == ["e001"]
    assert [(letter["code"], len(letter["places"])) for letter in two.letters("refine")] == [("bad_json", 1_000)]
    assert not any(isinstance(e, DatasetPaused) for e in two.events)


def test_a_deployment_without_a_definition_pauses_instead_of_filling_dead_letters(two: World, tmp_path: Path) -> None:
    async def main() -> None:
        two.open()
        for number in range(30):
            two.send(event(number, amount=1))
        await live(two, layers=("land",), until=lambda: len(two.queues["refine"]) == 15, land_batch_records_max=2)
        whole = two.datasets
        two.datasets = {"others": whole["others"]}
        deferred = lambda: any(isinstance(e, MessagesDeferred) for e in two.events)  # noqa: E731
        await live(two, deferred, layers=("refine",), refine_rejected_max=5)
        assert len(two.letters("refine")) == 2, "what came before the limit was passed"
        assert next(e for e in two.events if isinstance(e, DatasetPaused)).dataset == ""
        (tmp_path / "events.toml").write_text(DEFINITION)
        two.datasets = load_datasets(tmp_path)
        await live(two)

    run_virtual(main())
    assert len(two.rows()) == 26
    assert [letter["code"] for letter in two.letters("refine")] == ["unknown_dataset"] * 2


def test_the_load_layer_pauses_likewise(two: World, tmp_path: Path) -> None:
    async def main() -> None:
        two.open()
        for number in range(6):
            two.send(event(number), dataset="others")
            await live(two, lambda n=number: len(two.queues["load"]) > n, layers=("land", "refine"))  # type: ignore[misc]
        whole = two.datasets
        two.datasets = {"events": whole["events"]}
        deferred = lambda: any(isinstance(e, MessagesDeferred) for e in two.events)  # noqa: E731
        await live(two, deferred, layers=("load",), load_rejected_max=3)
        assert not two.letters("load")
        two.datasets = whole
        await live(two, layers=("load",))

    run_virtual(main())
    assert len(two.warehouse.rows("others")) == 6


def test_a_dataset_whose_table_does_not_fit_takes_no_room_from_the_others(two: World, tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text(DEFINITION)
    two.datasets = load_datasets(tmp_path)

    async def main() -> None:
        two.open()
        two.send(event(1, amount=1))
        await live(two, lambda: len(two.queues["load"]) > 0, layers=("land", "refine"))
        [body] = two.queues["load"].take()
        del two.warehouse.columns["events"][2]
        two.queues["load"].put(*(Outgoing(body) for _ in range(150)))
        two.send(event(9), dataset="others")
        await live(two, lambda: len(two.warehouse.rows("others")) == 1, messages_inflight_max=100)
        assert any(isinstance(e, MessagesDeferred) for e in two.events)
        two.warehouse.columns["events"].insert(2, ("amount", "integer"))
        await live(two)

    run_virtual(main())
    assert two.event_ids() == ["e001"]
    assert not two.letters("load")
