"""Letters about files of the errors dataset itself: they make no rows, and go back all the same."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from service.core.datasets import Dataset
from service.core.marks import Mark
from service.core.model import Original, Outgoing
from service.quarantine.reprocess.about_errors import ErrorsRun, known_states
from service.quarantine.reprocess.claims import VISIBILITY_SECONDS
from service.quarantine.reprocess.plan import Plan
from service.quarantine.reprocess.rehearse import Fault
from service.quarantine.reprocess.rounds import Awaited
from service.quarantine.reprocess.run import Done
from service.quarantine.states import State
from tests.fakes.journal import Crash, Journal
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.bench import ERRORS_ZONE
from tests.unit.quarantine.reprocess_bed import (
    RATE,
    Bed,
    CrashAt,
    about,
    choice,
    error_batch,
    error_file,
    failed_again,
    message,
    notice,
    records,
)
from tests.unit.quarantine.reprocess_watch import Watch, aged


def mark_of(sent: Outgoing) -> Mark:
    mark = Mark.of(Original("m", EPOCH, sent.attributes, sent.body))
    assert mark is not None
    return mark


@dataclass
class Own:
    """A bed of such failures, and who sends them back."""

    bed: Bed
    runs: list[ErrorsRun] = field(default_factory=list)
    stopped: Callable[[], bool] = lambda: False

    async def plan(self, *, attempts_max: int = 3, **wanted: Any) -> Plan:
        self.runs.append(ErrorsRun(self.bed.tools(attempts_max=attempts_max)))
        return await self.runs[-1].plan(choice(**wanted), lambda _: None)

    async def run(self, *, rate: float = RATE, **wanted: Any) -> Done:
        planned = await self.plan(**wanted)
        try:
            return await self.runs[-1].send(planned, rate=rate, stop=self.stopped, told=lambda _: None)
        finally:
            await self.runs[-1].give_back()

    async def state(self, code: str = "load_refused") -> State:
        found = await known_states(choice(), self.bed.tools())
        [state] = [state for state in found if state.code == code]
        return state

    def sent(self) -> list[Outgoing]:
        return list(self.bed.load_queue.sent.values())


@pytest.fixture
def own(loans: Dataset) -> Callable[[], Own]:
    """Call it inside a running loop."""
    return lambda: Own(Bed({"loans": loans}))


def test_notices_go_back_to_the_load_queue_byte_for_byte_and_the_letters_go(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1), about(2), message("one", "m9"))
        known = len(here.bed.load_queue)
        done = await here.run()
        sent = here.sent()[known:]
        assert [one.body for one in sent] == [notice(1), notice(2)]
        marks = [mark_of(one) for one in sent]
        assert [(mark.origin, mark.attempt, mark.round_id) for mark in marks] == [
            ("m1", 1, done.round_id),
            ("m2", 1, done.round_id),
        ]
        assert (done.sent, done.messages, done.letters, done.parked) == (2, 2, 2, 0)
        [left] = here.bed.reprocess_queue.bodies
        assert '"m9"' in left
        assert (await here.state()).state == "reprocessed"
        assert here.runs[-1].sure
        _, [portion] = await here.bed.round(done.round_id)
        assert [item.awaited for item in portion.items] == [
            (Awaited("errors", error_batch(number), (error_file(number),)),) for number in (1, 2)
        ]
        assert not any("errors/dt=" in uri for uri in portion.uris), "no rows are written about rows"

    run_virtual(main())


def test_copies_of_one_failure_are_sent_once_and_settled_together(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        for letter in (about(1), about(1, after=10, attempts=2), about(1)):
            await here.bed.fail(letter)
        assert len(here.bed.reprocess_queue) == 3
        known = len(here.bed.load_queue)
        done = await here.run()
        [sent] = here.sent()[known:]
        assert mark_of(sent).attempt == 2, "the latest report counts"
        assert (done.sent, done.letters, len(here.bed.reprocess_queue)) == (1, 3, 0)

    run_virtual(main())


def test_a_letter_of_a_loader_that_knew_no_such_dataset_is_one_too(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1, dataset="", code="unknown_dataset"))
        await here.bed.fail(message('{"zone": "s3://errors/errors/"}', "m2"))
        assert (await here.state("unknown_dataset")).dataset == "errors"
        assert (await here.run()).sent == 1
        assert (await here.state("unknown_dataset")).state == "reprocessed"
        assert len(here.bed.reprocess_queue) == 1

    run_virtual(main())


def test_what_is_not_chosen_stays_and_its_fingerprint_open(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1), about(2), about(3, code="bad_notice"))
        assert (await here.run(limit=1, code="load_refused")).sent == 1
        assert {(await here.state()).state, (await here.state("bad_notice")).state} == {"open"}
        assert len(here.bed.reprocess_queue) == 2
        assert (await here.run(fingerprint=(await here.state()).fingerprint)).sent == 1
        assert (await here.state()).state == "reprocessed"
        assert (await here.state("bad_notice")).state == "open"
        assert (await here.run(until=EPOCH - timedelta(days=2))).sent == 0
        assert len(here.bed.reprocess_queue) == 1

    run_virtual(main())


def test_what_was_tried_too_often_is_parked(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1, attempts=3), about(2))
        planned = await here.plan()
        await here.runs[-1].give_back()
        assert (len(planned.items), len(planned.exhausted)) == (1, 1)
        done = await here.run()
        assert (done.sent, done.parked, len(here.bed.reprocess_queue)) == (1, 1, 1)
        assert (await here.state()).state == "parked"
        done = await here.run()
        assert (done.sent, done.parked, len(here.bed.reprocess_queue)) == (0, 1, 1)
        assert (await here.run(parked=True)).sent == 1
        assert (await here.state()).state == "reprocessed"

    run_virtual(main())


def test_where_all_was_tried_too_often_it_is_parked_and_nothing_sent(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1, attempts=3))
        done = await here.run()
        assert (done.sent, done.parked, len(here.bed.reprocess_queue)) == (0, 1, 1)
        assert (await here.state()).state == "parked"
        assert not any("/rounds/" in uri for uri in here.bed.store.objects)

    run_virtual(main())


def test_while_somebody_else_holds_letters_all_of_them_stay(own: Callable[[], Own]) -> None:
    """A run that was killed, say: its letters come again when their visibility ends."""

    async def main() -> None:
        here = own()
        await here.bed.fail(about(1))
        await here.bed.reprocess_queue.receive(wait_seconds=0, visibility_seconds=VISIBILITY_SECONDS)
        await here.bed.fail(about(2))
        known = len(here.bed.load_queue)
        assert (await here.run()).sent == 1
        assert not here.runs[-1].sure
        assert len(here.bed.reprocess_queue) == 2
        assert (await here.state()).state == "open"
        await LoopClock().sleep(VISIBILITY_SECONDS)
        done = await here.run()
        assert (done.sent, done.letters, len(here.bed.reprocess_queue)) == (2, 2, 0)
        assert [one.body for one in here.sent()[known:]] == [notice(2), notice(1), notice(2)]
        assert (await here.state()).state == "reprocessed"

    run_virtual(main())


def test_what_fails_while_it_is_sent_leaves_the_fingerprint_open(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1))
        planned = await here.plan()
        await here.bed.fail(about(2))
        await here.runs[-1].send(planned, rate=RATE, stop=here.stopped, told=lambda _: None)
        assert (await here.state()).state == "open"
        assert len(here.bed.reprocess_queue) == 1

    run_virtual(main())


def test_it_is_rehearsed_by_the_load_layers_own_checks(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        here.bed.bad[notice(2)] = Fault("missing_object", "gone")
        await here.bed.fail(about(1), about(2))
        expected = (await here.plan()).forecast
        assert expected.failing == {("errors", "missing_object", "gone"): 1}
        assert expected.chosen == 2
        assert [(layer, dataset) for layer, dataset, _ in here.bed.rehearsed] == [("load", "errors")]

    run_virtual(main())


def test_an_original_that_did_not_fit_into_its_letter_is_read_where_it_lies(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        letter = about(1)
        pointer = ERRORS_ZONE.uri(f"originals/dt=2025-12-31/{letter.error_id}.json")
        assert letter.original is not None
        outgoing = letter.outgoing(pointer)
        here.bed.reprocess_queue.put(outgoing)
        original = json.loads(letter.outgoing().body)["original"]
        here.bed.store.objects[pointer] = json.dumps(original).encode()
        known = len(here.bed.load_queue)
        assert (await here.run()).sent == 1
        assert here.sent()[known].body == notice(1)
        here.bed.reprocess_queue.put(outgoing)
        del here.bed.store.objects[pointer]
        done = await here.run()
        assert (done.sent, done.refused.total(), len(here.bed.reprocess_queue)) == (0, 1, 1)

    run_virtual(main())


def test_it_stops_between_two_sendings_and_goes_on_later(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(*(about(number) for number in range(25)))
        known = len(here.bed.load_queue)
        here.stopped = lambda: len(here.bed.load_queue) > known
        began = LoopClock().monotonic()
        done = await here.run(rate=2)
        assert LoopClock().monotonic() - began < 60
        assert done.stopped
        assert done.sent == len(here.bed.load_queue) - known < 25
        assert (await here.state()).state == "open"
        here.stopped = lambda: False
        assert (await here.run()).sent == 25 - done.sent
        assert (await here.state()).state == "reprocessed"
        assert sorted(one.body for one in here.sent()[known:]) == sorted(notice(number) for number in range(25))

    run_virtual(main())


def test_when_it_is_stopped_it_looks_at_no_more(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1))
        elsewhere = about(2)
        pointer = ERRORS_ZONE.uri(f"originals/dt=2025-12-31/{elsewhere.error_id}.json")
        here.bed.reprocess_queue.put(elsewhere.outgoing(pointer))
        known = len(here.bed.load_queue)
        here.stopped = lambda: len(here.bed.load_queue) > known
        done = await here.run(rate=1)
        assert (done.sent, done.stopped, done.refused) == (1, True, {})
        here.stopped = lambda: False
        assert (await here.run()).refused.total() == 1, "it is gone"

    run_virtual(main())


def test_letters_are_kept_for_as_long_as_sending_takes(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(*(about(number) for number in range(40)))
        began = LoopClock().monotonic()
        done = await here.run(rate=0.1)
        assert LoopClock().monotonic() - began > VISIBILITY_SECONDS
        assert (done.sent, done.letters, len(here.bed.reprocess_queue)) == (40, 40, 0)

    run_virtual(main())


def test_the_rate_is_kept(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(*(about(number) for number in range(8)))
        planned = await here.plan()
        began = LoopClock().monotonic()
        await here.runs[-1].send(planned, rate=2, stop=here.stopped, told=lambda _: None)
        assert LoopClock().monotonic() - began >= 3, "two at a time, and a second between them"

    run_virtual(main())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_effect_is_made_good_by_the_same_command(own: Callable[[], Own], when: str) -> None:
    async def life(number: int | None) -> int:
        here = own()
        await here.bed.fail(about(1), about(2))
        before = len(here.bed.journal.effects)
        if number is None:
            await here.run()
            return len(here.bed.journal.effects) - before
        crash = CrashAt(number)
        setattr(here.bed.journal, when, crash)
        if when == "after":
            here.bed.journal.before = lambda effect: crash(effect) if crash.dead else None
        with pytest.raises(Crash):
            await here.run()
        here.bed.journal.before, here.bed.journal.after = Journal().before, Journal().after
        await LoopClock().sleep(VISIBILITY_SECONDS)
        await here.run()
        watch = Watch(here.bed)
        watch.ledger |= {Awaited("errors", error_batch(each), (error_file(each),)) for each in (1, 2)}
        await watch.looks(60)
        assert len(here.bed.reprocess_queue) == 0, f"{when} effect {number}"
        assert (await here.state()).state == "resolved", f"{when} effect {number}"
        return 0

    effects = run_virtual(life(None))
    assert effects >= 6
    for number in range(effects):
        run_virtual(life(number))


async def watched(here: Own, *numbers: int) -> Watch:
    """A resolver, for which these files are loaded."""
    watch = Watch(here.bed)
    watch.ledger |= {Awaited("errors", error_batch(number), (error_file(number),)) for number in numbers}
    return watch


def test_the_fingerprint_is_resolved_when_all_files_are_loaded_and_mailed(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1), about(2))
        round_id = (await here.run()).round_id
        watch = await watched(here, 1)
        await watch.looks(30)
        assert (await here.state()).state == "reprocessed"
        watch.ledger |= (await watched(here, 2)).ledger
        await watch.looks(60)
        state = await here.state()
        assert (state.state, state.news) == ("resolved", "resolved")
        assert (await here.bed.round(round_id))[0].stage == "over"

    run_virtual(main())


def test_what_failed_again_is_not_resolved(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1))
        await here.run()
        sent = here.sent()[-1]
        again = failed_again(sent, "m7", 7_300, layer="load", dataset="errors", code="load_refused", sentence="refused")
        await here.bed.fail(again)
        watch = await watched(here, 1)
        await watch.looks(60)
        assert (await here.state()).state == "open"
        await LoopClock().sleep(60)
        await here.run()
        assert (await here.state()).state == "reprocessed"
        await watch.looks(60)
        assert (await here.state()).state == "resolved"

    run_virtual(main())


def test_as_long_as_another_round_waits_it_is_not_resolved(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1))
        await here.run()
        await LoopClock().sleep(60)
        await here.bed.fail(about(2))
        await here.run()
        watch = await watched(here, 2)
        await watch.looks(30)
        assert (await here.state()).state == "reprocessed"
        watch.ledger |= (await watched(here, 1)).ledger
        await watch.looks(60)
        assert (await here.state()).state == "resolved"

    run_virtual(main())


def test_what_never_comes_is_open_again_and_told(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1), about(2))
        await aged(here.bed, (await here.run()).round_id)
        watch = await watched(here, 1)
        await watch.looks(30)
        state = await here.state()
        assert (state.state, state.news, state.lost) == ("open", "lost", 1)

    run_virtual(main())


def test_rows_are_sent_back_as_ever_and_letters_without_rows_left_alone(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1), message("one", "m9"))
        assert (await here.bed.run()).sent == 1
        assert len(here.bed.reprocess_queue) == 1
        assert (await here.state()).state == "open"

    run_virtual(main())


def test_states_of_others_are_not_taken_for_such(own: Callable[[], Own]) -> None:
    async def main() -> None:
        here = own()
        await here.bed.fail(about(1), records((0, 0)))
        tools = here.bed.tools()
        assert len(await known_states(choice(), tools)) == 1
        assert await known_states(choice(code="bad_type"), tools) == []
        assert await known_states(replace(choice(), until=EPOCH - timedelta(days=2)), tools) == []
        assert await known_states(choice(layer="land"), tools) == []

    run_virtual(main())
