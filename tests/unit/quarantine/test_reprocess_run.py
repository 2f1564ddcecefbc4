"""What is sent back, how, and what is written down about it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from service.core.datasets import Dataset
from service.core.errors import SetupError, TransientError
from service.core.marks import Mark
from service.core.model import Attribute, Original
from service.core.notice import WHOLE_MESSAGE
from service.quarantine.reprocess.run import Run
from tests.fakes.journal import Crash, Journal
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.bench import RAW_FILE
from tests.unit.quarantine.reprocess_bed import (
    FAILED,
    RATE,
    Bed,
    CrashAt,
    choice,
    failed_again,
    lay_raw,
    message,
    records,
)

SECOND_FILE = RAW_FILE.replace("hr=11", "hr=12")


@pytest.fixture
def bed(loans: Dataset) -> Callable[..., Bed]:
    """Call it inside a running loop."""
    return lambda **changed: Bed({"loans": loans}, **changed)


def mark_of(sent: Any) -> Mark:
    mark = Mark.of(Original("m", EPOCH, sent.attributes, sent.body))
    assert mark is not None
    return mark


def test_a_message_goes_back_byte_for_byte_with_its_attributes_and_one_mark(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        body = '{"a": 1}\n\ud800 ü \\u0000'
        await here.fail(message(body, "m1"))
        [copy] = here.reprocess_queue.bodies
        done = await here.run()
        [sent] = here.queues["land"].sent.values()
        assert sent.body == body
        own = {name: value for name, value in sent.attributes.items() if name != "acequia_mark"}
        assert own == {"kind": Attribute("String", "x"), "raw": Attribute("Binary", b"\0\xff")}
        [row] = (await here.now()).values()
        assert mark_of(sent) == Mark(row["error_id"], "m1", 1, done.round_id, FAILED)
        assert (row["state"], row["round_id"], row["attempts"]) == ("reprocessed", done.round_id, 1)
        assert (done.sent, done.messages, done.letters, done.parked) == (1, 1, 1, 0)
        assert not len(here.reprocess_queue)
        assert copy

    run_virtual(main())


def test_each_layers_messages_go_to_its_own_queue(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        for layer in ("land", "refine", "load"):
            await here.fail(message(f"of {layer}", f"m-{layer}", layer=layer, code="bad_notice"))
        await here.run()
        for layer in ("land", "refine", "load"):
            bodies = here.queues[layer].bodies
            assert [one for one in bodies if one.startswith("of ")] == [f"of {layer}"]

    run_virtual(main())


def test_records_go_as_one_notice_for_each_raw_file_and_number_of_tries(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "a\nb", "c")
        lay_raw(here, "d", uri=SECOND_FILE)
        await here.fail(records((0, 0), (0, 1)), records((1, 0), attempts=2, code="bad_time"))
        await here.fail(records((0, 0), uri=SECOND_FILE))
        done = await here.run()
        notices = {(one.files[0].uri, one.attempt): one for one in here.notices()}
        assert {key: one.rows for key, one in notices.items()} == {
            (RAW_FILE, 1): ((0, 0), (0, 1)),
            (RAW_FILE, 2): ((1, 0),),
            (SECOND_FILE, 1): ((0, 0),),
        }
        assert {one.round_id for one in notices.values()} == {done.round_id}
        assert {(one.dataset, one.zone, one.files[0].rows) for one in notices.values()} == {
            ("loans", "raw", 2),
            ("loans", "raw", 1),
        }
        assert await here.states_of() == ["reprocessed"] * 4
        assert (done.sent, done.messages) == (4, 3)

    run_virtual(main())


def test_a_message_that_could_not_be_opened_goes_whole(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "H4sIbad")
        await here.fail(records((0, 0), code="bad_encoding", column=None))
        done = await here.run()
        [notice] = here.notices()
        assert notice.rows == ((0, WHOLE_MESSAGE),)
        _, [portion] = await here.round(done.round_id)
        assert [item.whole for item in portion.items] == [True]

    run_virtual(main())


def test_a_place_that_failed_for_two_reasons_is_sent_once_and_settled_twice(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "a")
        await here.fail(records((0, 0)))
        await here.fail(records((0, 0), after=60, code="too_long", definition="0b"))
        done = await here.run(code="too_long")
        [notice] = here.notices()
        assert notice.rows == ((0, 0),)
        assert await here.states_of() == ["reprocessed"] * 2
        assert (done.sent, done.letters) == (1, 2)
        _, [portion] = await here.round(done.round_id)
        assert len(portion.items[0].error_ids) == 2

    run_virtual(main())


def test_only_the_chosen_are_sent_and_all_others_are_given_back(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"), message("two", "m2", code="too_large"))
        done = await here.run(code="too_large")
        assert [sent.body for sent in here.queues["land"].sent.values()] == ["two"]
        assert (done.sent, len(here.reprocess_queue)) == (1, 1)
        depth = await here.reprocess_queue.depth()
        assert (depth.waiting, depth.in_flight) == (1, 0)
        assert await here.states_of() == ["open", "reprocessed"]

    run_virtual(main())


def test_duplicates_of_a_letter_are_settled_together(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"))
        here.reprocess_queue.put(*here.reprocess_queue.sent.values())
        here.reprocess_queue.put(*list(here.reprocess_queue.sent.values())[:1])
        done = await here.run()
        assert (done.sent, done.letters, len(here.reprocess_queue)) == (1, 3, 0)
        assert len(here.queues["land"]) == 1

    run_virtual(main())


def test_a_letter_about_many_records_stays_until_all_of_them_are_sent(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, *"abc")
        await here.fail(records((0, 0), (1, 0), (2, 0)))
        done = await here.run(limit=2)
        assert (done.sent, done.letters, len(here.reprocess_queue)) == (2, 0, 1)
        done = await here.run(limit=2)
        assert (done.sent, done.letters, len(here.reprocess_queue)) == (1, 1, 0)
        assert sorted(place for one in here.notices() for place in one.rows) == [(0, 0), (1, 0), (2, 0)]

    run_virtual(main())


def test_what_is_no_longer_in_the_queue_comes_from_the_errors_zone(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"))
        here.reprocess_queue.take()
        done = await here.run()
        assert (done.sent, done.letters) == (1, 0)
        assert here.queues["land"].bodies == ["one"]

    run_virtual(main())


def test_a_letter_that_is_younger_than_what_was_sent_stays(bed: Callable[..., Bed]) -> None:
    """It failed again since the errors zone was read: its row is open again."""

    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"))
        planned = await here.planned()
        await here.fail(message("one", "m1", after=30, attempts=2))
        done = await Run(here.tools(), rate=1_000, stop=here.stopped, told=lambda _: None).run(planned)
        assert (done.letters, len(here.reprocess_queue)) == (1, 1)

    run_virtual(main())


def test_letters_that_a_dead_run_left_go_with_the_next_one(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"))

        def die(effect: str) -> None:
            if effect.startswith("reprocess delete"):
                raise Crash(effect)

        here.journal.before = die
        with pytest.raises(Crash):
            await here.run()
        here.journal.before = Journal().before
        await here.fail(message("two", "m2"))
        await LoopClock().sleep(400)
        done = await here.run()
        assert (done.sent, done.letters, len(here.reprocess_queue)) == (1, 2, 0)
        assert here.queues["land"].bodies == ["one", "two"]

    run_virtual(main())


def test_claims_are_kept_for_as_long_as_sending_takes(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(*(message(f"n{number}", f"m{number}") for number in range(100)))
        began = LoopClock().monotonic()
        done = await here.run(rate=0.1)
        assert 950 <= LoopClock().monotonic() - began <= 1_100
        assert (done.sent, done.letters) == (100, 100)
        assert set(here.reprocess_queue.received.values()) == {1}

    run_virtual(main())


def test_a_limit_bounds_what_is_sent_and_parked_together(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, *"abcde")
        await here.fail(records((0, 0), (1, 0)), records((2, 0), (3, 0), (4, 0), attempts=3))
        for limit, went in ((1, (1, 0)), (3, (1, 2)), (3, (0, 1))):
            done = await here.run(limit=limit)
            assert (done.sent, done.parked) == went
            await LoopClock().sleep(1)
        assert await here.states_of() == [*["parked"] * 3, *["reprocessed"] * 2]

    run_virtual(main())


def test_what_was_tried_too_often_is_parked_and_needs_to_be_asked_for(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"))
        for number in range(1, 3):
            done = await here.run()
            assert (done.sent, done.parked) == (1, 0)
            sent = list(here.queues["land"].sent.values())[-1]
            assert mark_of(sent).attempt == number
            await LoopClock().sleep(60)
            seconds = (LoopClock().now() - FAILED).total_seconds()
            await here.fail(failed_again(sent, f"again-{number}", seconds))
            assert await here.states_of() == ["open"]
        done = await here.run()
        assert (done.sent, done.parked, len(here.queues["land"])) == (0, 1, 2)
        assert await here.states_of() == ["parked"]
        assert [row["round_id"] for row in (await here.now()).values()] == [mark_of(sent).round_id], "it failed in that"
        assert len(here.reprocess_queue) == 1
        [row] = (await here.error_table()).groups(choice())
        assert [state.state for state in await here.states.read([row.fingerprint])] == ["parked"]
        planned = await here.planned()
        assert (planned.items, planned.exhausted) == ([], [])
        done = await here.run(parked=True)
        assert (done.sent, done.parked, done.letters) == (1, 0, 1)
        assert mark_of(list(here.queues["land"].sent.values())[-1]).attempt == 3
        assert mark_of(list(here.queues["land"].sent.values())[-1]).origin == "m1"

    run_virtual(main())


def test_tries_count_for_a_record_whatever_it_failed_of(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "a", "b")
        await here.fail(records((0, 0), (1, 0), code="bad_time", attempts=3))
        await here.fail(records((0, 0), after=60, definition="0b"))
        planned = await here.planned(code="bad_type")
        assert [(item.row_index, item.tried) for item in planned.exhausted] == [(0, 3)]
        assert not planned.items

    run_virtual(main())


def test_state_rows_keep_everything_else_and_are_announced(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, '{"id": "x", "loan": {"amount": "many"}}')
        await here.fail(records((0, 0)))
        [before] = here.table().values()
        await here.run()
        [after] = here.table().values()
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"state", "updated_at", "round_id", "_received_at", "_raw_file"}
        assert after["preview"] == '{"id":"x","amount":"many"}'
        assert after["updated_at"] > before["updated_at"]
        assert after["state"] == "reprocessed"

    run_virtual(main())


def test_what_fails_again_before_it_is_written_down_is_open(bed: Callable[..., Bed]) -> None:
    """Its layer may be quicker than the run, and its clock may go slow."""

    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"))
        done = await here.run()
        await here.fail(message("one", "m1", after=0.001, attempts=2, round_id=done.round_id))
        assert await here.states_of() == ["open"]
        assert {row["state"] for row in here.table().values()} == {"open"}

    run_virtual(main())


def test_the_fingerprint_stands_where_its_rows_do(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"), message("two", "m2"))
        [fingerprint] = {item.fingerprint for item in (await here.planned()).items}
        await here.run(limit=1)
        assert [state.state for state in await here.states.read([fingerprint])] == ["open"]
        await here.run()
        assert [state.state for state in await here.states.read([fingerprint])] == ["reprocessed"]

    run_virtual(main())


def test_what_makes_no_sense_is_told_in_one_sentence(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"))
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"fingerprint": "feed"}, "nothing with fingerprint 'feed' failed"),
            ({"until": EPOCH - timedelta(days=14)}, "is after --until"),
            ({"since": EPOCH - timedelta(days=500)}, "is more than 400 days ago"),
            ({"layer": "lend"}, "there are land, load, refine"),
            ({"code": "bad_hair"}, "--code 'bad_hair' is none"),
        ]
        for wanted, sentence in wrong:
            with pytest.raises(SetupError, match=sentence):
                await here.planned(**wanted)
        assert not (await here.planned(dataset="unheard_of")).items

    run_virtual(main())


def test_an_outage_in_the_middle_leaves_what_was_sent_written_down(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(*(message(f"n{number}", f"m{number}") for number in range(35)))
        sends = 0

        def away(effect: str) -> None:
            nonlocal sends
            sends += effect.startswith("records send")
            if sends == 3 and effect.startswith("records send"):
                raise TransientError("sqs", "it is away")

        here.journal.before = away
        with pytest.raises(TransientError):
            await here.run()
        here.journal.before = Journal().before
        assert (await here.states_of()).count("reprocessed") == 20
        assert (await here.reprocess_queue.depth()).in_flight == 0
        assert len(here.reprocess_queue) == 15
        await here.run()
        assert sorted(here.queues["land"].bodies) == sorted(f"n{number}" for number in range(35))

    run_virtual(main())


def test_a_run_that_is_stopped_goes_on_where_it_was(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(*(message(f"n{number}", f"m{number}") for number in range(50)))
        here.stopped = lambda: len(here.queues["land"]) >= 20
        done = await here.run()
        assert (done.stopped, done.sent, len(here.queues["land"])) == (True, 20, 20)
        assert len(here.reprocess_queue) == 30
        assert (await here.round(done.round_id))[0].stage == "sent"
        here.stopped = lambda: False
        done = await here.run()
        assert (done.stopped, done.sent) == (False, 30)
        assert sorted(here.queues["land"].bodies) == sorted(f"n{number}" for number in range(50))

    run_virtual(main())


def test_a_run_that_is_stopped_while_it_waits_sends_nothing_more(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(*(message(f"n{number}", f"m{number}") for number in range(3)))
        began = LoopClock().monotonic()
        here.stopped = lambda: LoopClock().monotonic() > began + 5
        done = await here.run(rate=0.1)
        assert (done.stopped, done.sent, len(here.queues["land"])) == (True, 1, 1)

    run_virtual(main())


async def _failures(here: Bed) -> None:
    lay_raw(here, "a", "b", "c")
    await here.fail(records((0, 0), (1, 0)), message("one", "m1"), message("two", "m2", attempts=3))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_effect_is_made_good_by_the_same_command(bed: Callable[..., Bed], when: str) -> None:
    async def calm() -> int:
        here = bed()
        await _failures(here)
        before = len(here.journal.effects)
        await here.run()
        return len(here.journal.effects) - before

    async def die(number: int) -> None:
        here = bed()
        await _failures(here)
        crash = CrashAt(number)
        setattr(here.journal, when, crash)
        if when == "after":
            here.journal.before = lambda effect: crash(effect) if crash.dead else None
        with pytest.raises(Crash):
            await here.run()
        calm = Journal()
        here.journal.before, here.journal.after = calm.before, calm.after
        recorded = (await here.states_of()).count("reprocessed")
        sent_before = len(here.notices()) + len(here.queues["land"])
        await LoopClock().sleep(400)
        planned = await here.planned()
        assert len(planned.items) == 3 - recorded, f"effect {number}: what is written down is not sent again"
        if planned.items or planned.exhausted:
            await here.run()
        assert await here.states_of() == ["parked", *["reprocessed"] * 3]
        assert {place for one in here.notices() for place in one.rows} == {(0, 0), (1, 0)}
        assert set(here.queues["land"].bodies) == {"one"}
        if recorded:
            assert len(here.notices()) + len(here.queues["land"]) == sent_before
        elif len(planned.items) == 3:
            assert len(here.reprocess_queue) == 1, "only the parked one's letter is left"

    effects = run_virtual(calm())
    assert effects >= 10
    for number in range(effects):
        run_virtual(die(number))


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_people_at_once_the_same_one_counts_everywhere(bed: Callable[..., Bed], first: int) -> None:
    """One parks what was tried too often, the other sends it all the same: it is on its way, whoever was first."""

    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1", attempts=3))
        plans = [await here.planned(), await here.planned(parked=True)]
        assert [(len(one.items), len(one.exhausted)) for one in plans] == [(0, 1), (1, 0)]
        for one in (plans[first], plans[1 - first]):
            await Run(here.tools(), rate=RATE, stop=here.stopped, told=lambda _: None).run(one)
        versions = (await here.error_table()).ask("SELECT DISTINCT updated_at FROM error_rows")
        assert len(versions) == 3
        assert await here.states_of() == ["reprocessed"]
        assert {row["state"] for row in here.table().values()} == {"reprocessed"}

    run_virtual(main())
