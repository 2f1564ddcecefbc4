"""`on_duplicate = "replace"`: of one record's rows the higher version stays, whenever it came."""

import itertools
from pathlib import Path

import pytest

from service.core.definitions import load_datasets
from tests.fakes.time import run_virtual
from tests.fakes.world import DEFINITION, World, event, live

VERSIONED = 'on_duplicate = "replace"\nversion = "amount"\n' + DEFINITION.replace(
    'type = "integer"', 'type = "integer"\nrequired = true'
)


@pytest.fixture
def versioned(tmp_path: Path) -> World:
    (tmp_path / "events.toml").write_text(VERSIONED)
    return World(load_datasets(tmp_path))


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_the_highest_version_stays_in_whatever_order_they_come(versioned: World, order: tuple[int, ...]) -> None:
    async def main() -> None:
        versioned.open()
        for version in order:
            versioned.send(event(1, amount=version))
            await live(versioned)

    run_virtual(main())
    assert [(row["event_id"], row["amount"]) for row in versioned.rows()] == [("e001", 3)]
    assert _sums(versioned) == (3, 1)


def test_the_highest_version_stays_within_one_group(versioned: World) -> None:
    async def main() -> None:
        versioned.open()
        versioned.send(event(1, amount=2), event(1, amount=9), event(1, amount=5))
        versioned.send(event(1, amount=4), event(2, amount=1))
        await live(versioned)

    run_virtual(main())
    assert sorted((row["event_id"], row["amount"]) for row in versioned.rows()) == [("e001", 9), ("e002", 1)]


def test_the_same_version_again_is_a_duplicate_and_the_first_stays(versioned: World) -> None:
    async def main() -> None:
        versioned.open()
        versioned.send(event(1, amount=2, note="first"))
        await live(versioned)
        versioned.send(event(1, amount=2, note="second"))
        await live(versioned)

    run_virtual(main())
    assert [row["rest"] for row in versioned.rows()] == ['{"note":"first"}']


def _sums(world: World) -> tuple[int, int]:
    """All rows of the ledger, and those of them that were inserted as new; the parts make up the whole."""
    entries = [entry[2:6] for entry in world.warehouse.entries("events").values()]
    assert all(rows == inserted + duplicate + replaced for rows, inserted, duplicate, replaced in entries)
    return sum(entry[0] for entry in entries), sum(entry[1] for entry in entries)
