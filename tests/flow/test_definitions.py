"""Definitions and tables change at different times, and datasets do not stand in each other's way."""

from pathlib import Path

from service.core.definitions import load_datasets
from service.core.events import LayerPaused
from service.core.model import Outgoing
from tests.fakes.time import run_virtual
from tests.fakes.world import DEFINITION, World, event, live


def test_files_written_under_yesterdays_definition_load_under_todays(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        await live(world, until=lambda: len(world.queues["load"]) == 1, layers=("land", "refine"))
        (tmp_path / "events.toml").write_text(DEFINITION.replace("varchar(32)", "varchar(64)"))
        world.datasets = load_datasets(tmp_path)
        world.warehouse.columns["events"][0] = ("event_id", "varchar(64)")
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001"]
    assert not world.letters("load")


def test_files_of_tomorrows_definition_wait_for_its_migration(world: World, tmp_path: Path) -> None:
    more = '\n[[column]]\nname = "channel"\ntype = "varchar(9)"\n'
    today = dict(world.datasets)

    async def main() -> None:
        world.open()
        (tmp_path / "events.toml").write_text(DEFINITION + more)
        world.datasets = load_datasets(tmp_path)
        world.send(event(1, channel="web"))
        await live(world, until=lambda: len(world.queues["load"]) == 1, layers=("land", "refine"))
        world.datasets = today
        await live(world, until=lambda: any(isinstance(e, LayerPaused) for e in world.events))
        world.warehouse.columns["events"].append(("channel", "varchar(9)"))
        await live(world)

    run_virtual(main())
    assert [row["channel"] for row in world.rows()] == ["web"]
    assert not world.letters("load")


def test_large_strings_that_the_cluster_does_not_take_are_an_operators_matter(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        await live(world, lambda: any(isinstance(e, LayerPaused) for e in world.events), super_string_bytes_max=100_000)
        world.warehouse.large_strings = True
        await live(world, super_string_bytes_max=100_000)

    run_virtual(main())
    [paused] = [e.reason for e in world.events if isinstance(e, LayerPaused)]
    assert "set its parameter enable_large_strings_opt_in to Yes" in paused
    assert world.event_ids() == ["e001"]
    assert not world.letters("load")


def test_a_ledger_that_is_not_there_or_lacks_a_column_waits_for_a_migration(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        missing = world.warehouse.ledgers["load_ledger_events"].pop()
        await live(world, lambda: any(isinstance(e, LayerPaused) for e in world.events))
        world.warehouse.ledgers["load_ledger_events"].append(missing)
        await live(world)

    run_virtual(main())
    [paused] = [e.reason for e in world.events if isinstance(e, LayerPaused)]
    assert paused.endswith("acequia.load_ledger_events lacks the column superseded_at: run acequia migrate")
    assert world.event_ids() == ["e001"]


def test_a_type_that_no_definition_has_is_no_notice_of_ours(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        await live(world, until=lambda: len(world.queues["load"]) == 1, layers=("land", "refine"))
        [notice] = world.queues["load"].bodies
        world.queues["load"].put(Outgoing(notice.replace('"integer"', '"integer); DROP TABLE x; --"')))
        await live(world)

    run_virtual(main())
    assert [letter["code"] for letter in world.letters("load")] == ["bad_notice"]
    assert world.event_ids() == ["e001"]


def test_datasets_that_wait_for_their_tables_take_nobodys_place(tmp_path: Path) -> None:
    names = [f"waiting{number}" for number in range(4)]
    for name in ("events", *names):
        (tmp_path / f"{name}.toml").write_text(DEFINITION)
    world = World(load_datasets(tmp_path))

    async def main() -> None:
        world.open()
        for name in names:
            del world.warehouse.columns[name]
            world.send(event(1), dataset=name)
        await live(world, until=lambda: len(world.queues["load"]) == len(names), layers=("land", "refine"))
        world.send(event(2))
        await live(world, until=lambda: len(world.rows()) == 1, load_tables_max=4)

    run_virtual(main())
    assert world.event_ids() == ["e002"]
    assert len(world.queues["load"]) == len(names), "given back, not rejected"
    assert not world.letters("load")
