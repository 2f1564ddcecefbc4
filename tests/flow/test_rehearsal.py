"""What is forecast of messages that hold several records, and what then becomes of them."""

from collections import Counter

from service.core.model import Original
from service.quarantine.reprocess.rehearse import Fault, Specimen
from tests.fakes.queue import EPOCH
from tests.fakes.time import run_virtual
from tests.fakes.world import World, event
from tests.flow.test_reprocess import Operator

BAD_TYPE = "column amount: the field holds no integer value"
NO_TIME = "column event_time: the field is missing or null"


def test_a_message_of_many_records_passes_and_its_bad_records_fail_one_by_one(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        for first in (0, 10, 20, 30):
            world.send(*(event(first + number) for number in range(9)), event(first + 9, amount="many"), dataset=None)
        await operator.lives()
        operator.changed["records_dataset_default"] = "events"
        planned = await operator.plan()
        expected = planned.forecast
        assert (expected.passing, expected.failing.total(), expected.chosen) == (4, 0, 4)
        assert (expected.inside.messages, expected.inside.files, expected.inside.passing) == (4, 0, 36)
        assert expected.inside.failing == {("events", "bad_type", BAD_TYPE): 4}
        assert not expected.hopeless
        assert len(expected.record_ids[""]) == 36
        await operator.send(planned)
        await operator.lives(15)
        assert len(world.event_ids()) == 36

    run_virtual(main())


def test_a_message_of_which_every_record_fails_fails(world: World) -> None:
    """For what most of its records fail of. One record alone is no pile of records."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many"), event(2, amount="few"), {"event_id": "e003"}, dataset=None)
        world.send(event(4), dataset=None)
        world.send(event(5, amount="many"), dataset=None)
        world.send("[]", dataset=None)
        world.send(event(6), event(7), dataset=None)
        await operator.lives()
        operator.changed["records_dataset_default"] = "events"
        expected = (await operator.plan()).forecast
        assert expected.failing == {("events", "bad_type", BAD_TYPE): 2}
        assert (expected.passing, expected.chosen) == (3, 5)
        assert (expected.inside.messages, expected.inside.passing, expected.inside.failing) == (1, 2, Counter())

    run_virtual(main())


def test_records_that_are_no_json_count_among_those_of_their_message(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send("{", event(1), event(2), dataset=None)
        world.send("{", dataset=None)
        await operator.lives()
        operator.changed["records_dataset_default"] = "events"
        expected = (await operator.plan()).forecast
        assert [(code, count) for (_, code, _), count in expected.failing.items()] == [("bad_json", 1)]
        assert (expected.passing, expected.inside.messages, expected.inside.passing) == (1, 1, 2)
        assert [code for _, code, _ in expected.inside.failing] == ["bad_json"]

    run_virtual(main())


def test_most_records_of_messages_that_would_fail_are_asked_about(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1), event(2, amount="few"), event(3, amount="many"), dataset=None)
        await operator.lives()
        operator.changed["records_dataset_default"] = "events"
        expected = (await operator.plan()).forecast
        assert (expected.passing, expected.failing.total(), expected.hopeless) == (1, 0, True)

    run_virtual(main())


def test_a_body_that_could_not_be_opened_is_counted_by_its_records_where_it_can_be_now(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        body = '{"event_id": "e1", "event_time": "2026-01-01T00:00:00Z"}\n{"event_id": "e2"}'
        whole = Specimen("x", Original("m1", EPOCH, {}, body), "s3://raw/x", (0, 0))
        record = Specimen("y", Original("m2", EPOCH, {}, body.split("\n")[1]), "s3://raw/x", (1, 0), opened=True)
        told = await operator.tools.rehearse("refine", "events", [record, whole, record])
        wrong = Fault("missing_required", NO_TIME)
        assert told.faults == [wrong, None, wrong]
        assert (told.inside.messages, told.inside.passing) == (1, 1)
        assert told.inside.failing == {("events", "missing_required", NO_TIME): 1}
        assert len(told.record_ids) == 1

    run_virtual(main())
