"""All four layers together: what is rejected becomes rows in the warehouse, mail, and a copy that can be sent back."""

from collections import Counter

from service.core.events import LettersQuarantined, MailSent
from service.core.model import Attribute, Outgoing
from service.settings import LAYERS
from tests.fakes.time import run_virtual
from tests.fakes.world import REPROCESS, World, event, live


def quarantined(world: World) -> bool:
    """Whether nothing is left to do."""
    dead = sum(len(world.queues[f"{name}-dlq"]) for name in ("records", "refine", "load"))
    return world.settled() and not dead and bool(world.warehouse.rows("errors"))


def mailed(world: World) -> bool:
    """Whether a mail went out."""
    return any(isinstance(one, MailSent) for one in world.events)


def test_each_kind_of_failure_becomes_rows_a_mail_and_a_copy(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), event(2, amount="much"), "{", event(3))
        world.send("lost", dataset=None)
        world.queues["refine"].put(Outgoing("no notice"))
        world.queues["load-dlq"].put(Outgoing("moved by SQS", {"dataset": Attribute("String", "events")}))
        await live(world, lambda: quarantined(world) and mailed(world), layers=LAYERS)

    run_virtual(main())
    assert world.event_ids() == ["e001", "e003"]
    rows = world.warehouse.rows("errors")
    assert Counter((row["layer"], row["code"], row["state"]) for row in rows) == {
        ("refine", "bad_type", "open"): 1,
        ("refine", "bad_json", "open"): 1,
        ("refine", "bad_notice", "open"): 1,
        ("land", "unknown_dataset", "open"): 1,
        ("load", "redriven", "open"): 1,
    }
    assert len(world.queues[REPROCESS]) == 5
    [(subject, text)] = world.notifier.mails
    assert "5" in subject
    assert all(row["fingerprint"] in text for row in rows)
    assert "much" not in text
    assert sum(one.records for one in world.events if isinstance(one, LettersQuarantined)) == 5


def test_what_cannot_be_loaded_of_the_errors_makes_no_errors_of_its_own(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send("lost", dataset=None)
        world.warehouse.refuses = lambda row: "error_id" in row
        waiting = lambda: bool(len(world.queues[REPROCESS]) >= 2 and world.settled())  # noqa: E731
        await live(world, waiting, layers=LAYERS)

    run_virtual(main())
    assert not world.warehouse.rows("errors")
    assert sum(one.about_errors for one in world.events if isinstance(one, LettersQuarantined)) == 1
    assert len(world.queues[REPROCESS]) == 2


def test_what_killed_its_processes_too_often_comes_with_a_guess(world: World) -> None:
    async def main() -> None:
        world.open()
        world.queues["refine"].dead = (world.queues["refine-dlq"], 20)
        world.queues["refine"].put(Outgoing("no notice"))
        for _ in range(20):
            await world.queues["refine"].receive(wait_seconds=0, visibility_seconds=0)
        await live(world, lambda: quarantined(world), layers=LAYERS)

    run_virtual(main())
    [row] = world.warehouse.rows("errors")
    assert (row["code"], row["layer"]) == ("redriven", "refine")
    assert "bad_notice" in row["sentence"]
