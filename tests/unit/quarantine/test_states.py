"""What is known of a fingerprint: counted once a batch, whoever counts, whatever is lost on the way."""

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.errors import ContendedError, TransientError
from service.core.ports import Means
from service.core.zones import Zone
from service.quarantine.known import Brought
from service.quarantine.look import STATES_MAX, Look
from service.quarantine.states import (
    BATCHES_MAX,
    EARLIEST,
    LETTER_ID_CHARS,
    LETTERS_MAX,
    SENTENCE_CHARS_MAX,
    TRIES_MAX,
    Failed,
    Standing,
    State,
    States,
    Told,
)
from tests.fakes.journal import Crash, Journal
from tests.fakes.queue import EPOCH
from tests.fakes.store import FakeStore
from tests.fakes.time import InlineFanOut, InlineThreads, LoopClock, run_virtual
from tests.unit.quarantine.turns import Turns, TurnStore

ZONE = Zone.parse("errors", "s3://lake-errors/quarantine")
ONE, OTHER = "0f2cf4b5a1c94d0e", "aaaabbbbccccdddd"
SECOND = timedelta(seconds=1)


def failed(fingerprint: str = ONE, count: int = 1, *, first: int = 0, last: int = 0) -> Failed:
    moments = EPOCH + first * SECOND, EPOCH + last * SECOND
    return Failed(fingerprint, "refine", "loans", "bad_type", "amount", "it holds no integer value", count, *moments)


@dataclass
class Kept:
    """An errors zone, and processes at it."""

    journal: Journal = field(default_factory=Journal)
    turns: Turns = field(default_factory=Turns)
    store: FakeStore = field(init=False)
    states: States = field(init=False)

    def __post_init__(self) -> None:
        self.store = FakeStore(self.journal)
        self.states = States(ZONE, self.means())

    def means(self, process: int | None = None) -> Means:
        store = self.store if process is None else TurnStore(self.store, self.journal, self.turns, process)
        return Means(store, InlineThreads(), InlineFanOut(), LoopClock(), lambda _: None)

    async def one(self, fingerprint: str = ONE) -> State:
        [state] = await self.states.read([fingerprint])
        return state

    async def marked(self, standing: Standing, failed: int) -> bool:
        """Somebody who has seen it with that count has it stand so."""
        return await self.states.mark(replace(await self.one(), failed=failed), standing)


def run(main: Callable[[Kept], Coroutine[Any, Any, None]]) -> Kept:
    kept = Kept()
    run_virtual(main(kept))
    return kept


def test_a_batch_counts_once_however_often_it_is_handed_over() -> None:
    async def main(kept: Kept) -> None:
        await asyncio.sleep(10)
        await kept.states.count(
            [failed(count=3, first=5, last=7), failed(OTHER), failed(count=4, first=2, last=6)], "b1"
        )
        await kept.states.count([failed(count=7)], "b1")
        await kept.states.count([failed(count=2, first=9, last=9)], "b2")
        state = await kept.one()
        assert (state.failed, state.batches) == (9, ("b1", "b2"))
        assert (state.first_failed_at, state.last_failed_at) == (EPOCH + 2 * SECOND, EPOCH + 9 * SECOND)
        assert (await kept.one(OTHER)).failed == 1

    kept = run(main)
    assert sorted(kept.store.objects) == [ZONE.uri(f"fingerprints/{name}.json") for name in (ONE, OTHER)]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_letter_with_an_impossible_moment_is_counted_all_the_same(text: str) -> None:
    async def main(kept: Kept) -> None:
        at = datetime.fromisoformat(text)
        await kept.states.count([replace(failed(), first=at, last=at)], "b1")
        state = await kept.one()
        assert EARLIEST <= state.first_failed_at <= state.last_failed_at <= EPOCH

    run(main)


def test_what_a_later_version_adds_is_no_damage() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed()], "b1")
        state, uri = await kept.one(), kept.states.uri(ONE)
        kept.store.objects[uri] = kept.store.objects[uri].replace(b'"v"', b'"later": 1, "v"')
        assert await kept.one() == state

    run(main)


def some_letters(*numbers: int, each: int = 1, last: int = 0) -> Failed:
    named = tuple(Brought(f"{number:0{LETTER_ID_CHARS}}", each) for number in numbers)
    return replace(failed(count=each * len(named), last=last), letters=named)


def test_letters_count_once_in_whichever_batches_they_come() -> None:
    async def main(kept: Kept) -> None:
        await asyncio.sleep(9)
        await kept.states.count([some_letters(1, 2, 3, each=10)], "b1")
        for batch, numbers in (("b2", [1]), ("b3", [2, 3]), ("b4", [3, 1]), ("b1", [1, 2, 3])):
            before = kept.store.objects[kept.states.uri(ONE)]
            await kept.states.count([some_letters(*numbers, each=10, last=5)], batch)
            assert kept.store.objects[kept.states.uri(ONE)] == before
        await kept.states.count([some_letters(3, 4, each=10), some_letters(5, each=1)], "b5")
        assert (await kept.one()).failed == 41

    run(main)


RAW, LATER_RAW = "s3://raw/loans/one.parquet", "s3://raw/loans/other.parquet"


def letter(number: int, *rows: int, raw_file: str = RAW, sent_back: bool = False, last: int = 0) -> Failed:
    """Of refine's, about the first record in each of these messages."""
    places = [(row, 0) for row in rows]
    brought = Brought(f"{number:0{LETTER_ID_CHARS}}", len(places), raw_file, places, sent_back)
    return replace(failed(count=len(places), last=last), letters=(brought,))


def test_records_count_once_in_whichever_letters_they_are_told_of() -> None:
    """A replay judged them again: in letters of their own, fewer or other ones together."""

    async def main(kept: Kept) -> None:
        await asyncio.sleep(99)
        await kept.states.count([letter(1, *range(10)), letter(2, 0, 1, raw_file=LATER_RAW)], "b1")
        await kept.states.told([Told(ONE, 12, resolved=False)], EPOCH)
        for number, rows in enumerate(([*range(10)], [3, 4], [9, 0]), start=3):
            again = replace(letter(number, *rows, last=number), sentence=f"of try {number}")
            await kept.states.count([again, letter(number + 10, 1, raw_file=LATER_RAW)], f"b{number}")
            state = await kept.one()
            assert (state.failed, state.news, state.state) == (12, None, "open")
            assert state.untold_since is None, "what comes next waits for others that appear with it"
            assert (state.sentence, state.last_failed_at) == (f"of try {number}", EPOCH + number * SECOND)
        await kept.states.count([letter(20, 1, 9, 10, 11), letter(21, 2, raw_file=LATER_RAW)], "b20")
        assert ((await kept.one()).failed, (await kept.one()).news) == (15, "more")
        await kept.states.count([letter(22, *range(12)), letter(23, 0, 1, 2, raw_file=LATER_RAW)], "b22")
        assert (await kept.one()).failed == 15, "those of later batches are known as well"

    run(main)


def test_a_record_that_was_sent_back_and_failed_again_counts_again() -> None:
    async def main(kept: Kept) -> None:
        await asyncio.sleep(99)
        await kept.states.count([letter(1, 0, 1, 2)], "b1")
        await kept.marked("reprocessed", 3)
        await kept.states.count([letter(2, 1, 2, sent_back=True, last=1)], "b2")
        assert ((await kept.one()).failed, (await kept.one()).state) == (5, "open")
        await kept.states.count([letter(3, 0, 1, last=2)], "b3")
        assert (await kept.one()).failed == 5, "a replay's is no more"

    run(main)


def test_all_that_fails_after_it_was_resolved_counts_and_is_news() -> None:
    async def main(kept: Kept) -> None:
        await asyncio.sleep(99)
        await kept.states.count([letter(1, 0, 1, 2)], "b1")
        await kept.states.told([Told(ONE, 3, resolved=True)], EPOCH)
        await kept.marked("resolved", 3)
        await kept.states.count([letter(2, 1, 2, last=1)], "b2")
        state = await kept.one()
        assert (state.failed, state.state, state.news) == (5, "open", "new")
        for number in (2, 3):
            await kept.states.count([letter(number, 1, 2, last=number)], f"b{number}")
        assert (await kept.one()).failed == 5

    run(main)


def test_what_fails_in_several_batches_after_it_was_resolved_counts_whole() -> None:
    async def main(kept: Kept) -> None:
        await asyncio.sleep(99)
        await kept.states.count([letter(1, *range(10))], "b1")
        await kept.marked("resolved", 10)
        await kept.states.count([letter(2, *range(5), last=1)], "b2")
        await kept.states.count([letter(3, *range(5, 10), last=1)], "b3")
        assert (await kept.one()).failed == 20

    run(main)


@pytest.mark.parametrize("standing", ["reprocessed", "parked"])
@pytest.mark.parametrize("number", [1, 2], ids=["the same letter", "another one"])
def test_what_a_replay_rejects_again_is_open_and_no_news(standing: Standing, number: int) -> None:
    """Its row is: and nobody who has looked before may have it stand otherwise."""

    async def main(kept: Kept) -> None:
        await asyncio.sleep(99)
        await kept.states.count([letter(1, 0, 1, last=5)], "b1")
        await kept.states.told([Told(ONE, 2, resolved=False)], EPOCH)
        await kept.marked(standing, 2)
        before = await kept.one()
        await kept.states.count([letter(1, 0, 1, last=5)], "b2")
        assert await kept.one() == before, "it came twice, from one try"
        await kept.states.count([letter(number, 0, 1, last=6)], "b3")
        state = await kept.one()
        assert (state.state, state.failed, state.news) == ("open", 2, None)
        assert not await kept.states.mark(before, "resolved")
        assert await kept.states.mark(state, "resolved")

    run(main)


def test_letters_that_come_again_are_no_news() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([some_letters(1, 2)], "b1")
        await kept.states.told([Told(ONE, 2, resolved=False)], EPOCH)
        await kept.states.count([some_letters(2)], "b2")
        assert (await kept.one()).news is None

    run(main)


def test_what_is_known_opens_what_was_resolved_only_if_it_failed_since() -> None:
    async def main(kept: Kept) -> None:
        await asyncio.sleep(9)
        await kept.states.count([some_letters(1, 2, last=3)], "b1")
        await kept.states.told([Told(ONE, 2, resolved=True)], EPOCH)
        await kept.marked("resolved", 2)
        await kept.states.count([some_letters(2, last=3)], "b2")
        assert ((await kept.one()).state, (await kept.one()).failed) == ("resolved", 2)
        await kept.states.count([some_letters(2, last=4)], "b2")
        state = await kept.one()
        assert (state.state, state.failed, state.news) == ("open", 3, "new")
        await kept.states.count([some_letters(2, last=4)], "b3")
        assert (await kept.one()).failed == 3

    run(main)


def test_so_many_letters_are_remembered_and_the_batch_besides() -> None:
    async def main(kept: Kept) -> None:
        many = some_letters(*range(LETTERS_MAX + 10))
        await kept.states.count([many], "b1")
        assert len(kept.store.objects[kept.states.uri(ONE)]) < LETTERS_MAX * LETTER_ID_CHARS + 2_000
        await kept.states.count([some_letters(*range(10, LETTERS_MAX + 10))], "b2")
        await kept.states.count([many], "b1")
        assert (await kept.one()).failed == LETTERS_MAX + 10
        await kept.states.count([some_letters(*range(10, 20))], "b3")
        assert (await kept.one()).failed == LETTERS_MAX + 10
        await kept.states.count([some_letters(*range(3))], "b4")
        assert (await kept.one()).failed == LETTERS_MAX + 13, "these are forgotten"
        await kept.states.count([some_letters(*range(2, 13))], "b5")
        assert (await kept.one()).failed == LETTERS_MAX + 23, "the oldest make room"

    run(main)


def test_who_reads_states_holds_neither_letters_nor_records() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([some_letters(1), letter(2, 0)], "b1")
        assert b'"records": ""' not in kept.store.objects[kept.states.uri(ONE)]
        assert ((await kept.one()).letters, (await kept.one()).records) == ("", "")

    run(main)


def test_the_sentence_is_that_of_the_latest_failure_however_they_come() -> None:
    async def main(kept: Kept) -> None:
        await LoopClock().sleep(60)
        wider = replace(failed(last=20), sentence="longer than 32 bytes")
        await kept.states.count([failed(last=10)], "b0")
        await kept.states.count([wider, failed(last=15)], "b1")
        await kept.states.count([failed(last=5)], "b2")
        assert (await kept.one()).sentence == "longer than 32 bytes"
        await kept.states.count([replace(failed(last=30), sentence="y" * 5_000)], "b3")
        assert (await kept.one()).sentence == "y" * SENTENCE_CHARS_MAX

    run(main)


def test_what_is_kept_is_bounded() -> None:
    async def main(kept: Kept) -> None:
        long = replace(failed(), sentence="x" * 5_000)
        await kept.states.count([long], "b0")
        assert len((await kept.one()).sentence) == SENTENCE_CHARS_MAX
        for number in range(BATCHES_MAX + 3):
            await kept.states.count([long], f"b{number}")
        state = await kept.one()
        assert len(state.batches) == BATCHES_MAX
        assert state.batches[-1] == f"b{BATCHES_MAX + 2}"
        assert len(state.sentence) == SENTENCE_CHARS_MAX

    run(main)


def test_two_processes_count_at_once_in_every_order() -> None:
    """Each reads and replaces; who is late reads again. All orders of the first six calls are driven."""

    async def main(order: tuple[int, ...], kept: Kept) -> None:
        tasks = [
            asyncio.ensure_future(States(ZONE, kept.means(process)).count([failed(count=10**process)], f"b{process}"))
            for process in (0, 1)
        ]
        for wanted in order:
            waiting = await kept.turns.waiting()
            if waiting:
                kept.turns.give(wanted if wanted in waiting else waiting[0])
        await kept.turns.waiting()
        kept.turns.free()
        await asyncio.gather(*tasks)
        assert (await kept.one()).failed == 11

    for order in itertools.product((0, 1), repeat=6):
        kept = Kept()
        run_virtual(main(order, kept))


def test_counting_can_be_repeated_after_a_crash_or_a_lost_answer_anywhere() -> None:
    async def main(fault: BaseException, crash_at: int, kept: Kept) -> bool:
        calls = itertools.count()

        def strike(_: str) -> None:
            if next(calls) == crash_at:
                raise fault

        both = [failed(count=5), failed(OTHER, count=6)]
        await kept.states.count([failed(count=100)], "b0")
        kept.journal.before = kept.journal.after = strike
        try:
            await kept.states.count(both, "b1")
        except (Crash, TransientError):
            await kept.states.count(both, "b1")
        struck = next(calls) > crash_at
        kept.journal.before = kept.journal.after = lambda _: None
        assert ((await kept.one()).failed, (await kept.one(OTHER)).failed) == (105, 6)
        return struck

    for fault in (Crash(), TransientError("s3", "the answer was lost")):
        struck = [run_virtual(main(fault, crash_at, Kept())) for crash_at in range(7)]
        assert struck == [True] * 6 + [False], "both are read and replaced, with a fault before and after replacing"


def test_who_is_always_too_late_says_so() -> None:
    class Busy(FakeStore):
        """Somebody else is always faster."""

        numbers = itertools.count()

        async def read(self, uri: str) -> tuple[bytes, str] | None:
            found = await super().read(uri)
            self.objects[uri] = f"{next(self.numbers)}".encode()
            return found

    async def main(kept: Kept) -> None:
        with pytest.raises(ContendedError, match=f"{TRIES_MAX} times"):
            await States(ZONE, replace(kept.means(), store=Busy(Journal()))).count([failed()], "b1")

    run(main)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"v": 1', b'"v": 2'),
        (b'"open"', b'"gone"'),
        (b'"failed": 1', b'"failed": Infinity'),
        (b"+00:00", b""),
        (b'"2026-01-01T00:00:00+00:00"', b'"0001-01-01T00:00:00+14:00"'),
        (b'"2026-01-01T00:00:00+00:00"', b"7"),
        (b'"batches"', b'"badges"'),
    ],
)
def test_a_damaged_object_begins_anew(before: bytes, after: bytes) -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed()], "b0")
        body = kept.store.objects[kept.states.uri(ONE)]
        assert before in body
        await _begins_anew(kept, body.replace(before, after))

    run(main)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"7", b"{}", b'{"v": 1}', b"\xff", b"[" * 100_000])
def test_what_is_no_state_at_all_begins_anew(body: bytes) -> None:
    async def main(kept: Kept) -> None:
        await _begins_anew(kept, body)

    run(main)


async def _begins_anew(kept: Kept, body: bytes) -> None:
    kept.store.objects[kept.states.uri(ONE)] = body
    assert await kept.states.read([ONE]) == []
    await kept.states.told([Told(ONE, 5, resolved=False)], EPOCH)
    assert not await kept.states.mark(State.began(failed(), "b0", EPOCH), "resolved")
    assert kept.store.objects[kept.states.uri(ONE)] == body
    await kept.states.count([failed(count=2)], "b1")
    assert (await kept.one()).failed == 2


def test_an_object_under_another_ones_name_is_nobodys() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed()], "b1")
        kept.store.objects[kept.states.uri(OTHER)] = kept.store.objects[kept.states.uri(ONE)]
        assert [state.fingerprint for state in await kept.states.read([ONE, OTHER])] == [ONE]

    run(main)


MOMENTS = st.integers(0, 10**6).map(lambda number: EPOCH + timedelta(microseconds=number * 77_777))


@given(
    st.builds(
        State,
        fingerprint=st.just(ONE),
        layer=st.sampled_from(["land", "refine", "load"]),
        dataset=st.text(max_size=9),
        code=st.text(max_size=9),
        field=st.none() | st.text(max_size=9),
        sentence=st.text(max_size=9),
        first_failed_at=MOMENTS,
        last_failed_at=MOMENTS,
        failed=st.integers(0),
        batches=st.lists(st.text(max_size=9)).map(tuple),
        untold_since=st.none() | MOMENTS,
        state=st.sampled_from(["open", "reprocessed", "resolved", "parked"]),
        mailed=st.integers(0),
        mailed_at=st.none() | MOMENTS,
        mailed_resolved=st.none() | st.booleans(),
        lost=st.integers(0),
        lost_in=st.lists(st.text(max_size=9)).map(tuple),
        letters=st.text(max_size=99),
        records=st.text(max_size=99),
    )
)
@settings(deadline=None, derandomize=True)
def test_a_state_survives_its_object(state: State) -> None:
    assert State.from_json(state.to_json()) == state


def test_it_is_resolved_only_if_it_has_not_failed_since() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed(count=5)], "b1")
        await kept.states.told([Told(ONE, 5, resolved=False)], EPOCH)
        assert (await kept.one()).news is None
        await kept.states.count([failed()], "b2")
        assert not await kept.marked("resolved", 5)
        assert (await kept.one()).state == "open"
        assert await kept.marked("resolved", 6)
        assert (await kept.one()).news == "resolved"
        await kept.states.told([Told(ONE, 6, resolved=True)], EPOCH + SECOND)
        assert (await kept.one()).news is None
        assert await kept.marked("resolved", 6)
        assert (await kept.one()).news is None, "marking it again is no news"
        await kept.states.count([failed()], "b3")
        state = await kept.one()
        assert (state.state, state.news) == ("open", "new"), "it is back"

    run(main)


def test_what_was_lost_is_told_once_for_a_round() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed(count=5)], "b1")
        await kept.states.told([Told(ONE, 5, resolved=False)], EPOCH)
        for _ in range(2):
            await kept.states.miss({ONE: 3, OTHER: 1}, "r1")
        state = await kept.one()
        assert (state.news, state.lost) == ("lost", 3)
        await kept.states.miss({ONE: 1}, "r2")
        await kept.states.told([Told(ONE, 5, resolved=False, lost=3)], EPOCH + SECOND)
        assert ((await kept.one()).news, (await kept.one()).lost) == ("lost", 1), "of another round, since that mail"
        await kept.states.told([Told(ONE, 5, resolved=False, lost=1)], EPOCH + 2 * SECOND)
        assert ((await kept.one()).news, (await kept.one()).lost) == (None, 0)

    kept = run(main)
    assert [*kept.store.objects] == [ZONE.uri(f"fingerprints/{ONE}.json")], "nothing is known of the other"


def test_what_is_resolved_is_lost_no_more() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed(count=5)], "b1")
        await kept.states.miss({ONE: 3}, "r1")
        await kept.marked("resolved", 5)
        assert (await kept.one()).news == "resolved"
        await kept.states.miss({ONE: 1}, "r2")
        await kept.states.told([Told(ONE, 5, resolved=True, lost=3)], EPOCH)
        await kept.marked("open", 5)
        assert ((await kept.one()).news, (await kept.one()).lost) == (None, 0)

    run(main)


LATER = ("lost", "lost_in", "letters", "records")
"""What older versions do not write."""


def test_an_object_of_an_older_version_has_lost_nothing() -> None:
    body = State.began(failed(), "b1", EPOCH).to_json()
    older = {name: value for name, value in json.loads(body).items() if name not in LATER}
    state = State.from_json(json.dumps(older).encode())
    assert state is not None
    assert (state.failed, state.lost, state.lost_in) == (1, 0, ())
    assert state.counted(some_letters(1), "b1", EPOCH) == state, "its batches are remembered as ever"


@pytest.mark.parametrize("standing", ["reprocessed", "parked", "open"])
def test_only_resolving_is_news(standing: Standing) -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed(count=5)], "b1")
        await kept.states.told([Told(ONE, 5, resolved=False)], EPOCH)
        await kept.marked("resolved", 5)
        await kept.marked(standing, 5)
        assert ((await kept.one()).state, (await kept.one()).news) == (standing, None)
        await kept.states.count([failed()], "b2")
        assert ((await kept.one()).state, (await kept.one()).news) == ("open", "more")

    run(main)


def test_what_failed_while_a_mail_went_out_is_still_to_be_told() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed(count=5)], "b1")
        await kept.states.count([failed(count=2)], "b2")
        for _ in range(2):
            await kept.states.told([Told(ONE, 5, resolved=False)], EPOCH + SECOND)
            state = await kept.one()
            assert (state.news, state.mailed, state.mailed_at) == ("more", 5, EPOCH + SECOND)
        await kept.states.told([Told(ONE, 1, resolved=False)], EPOCH)
        assert await kept.one() == state, "an older mail that is written down late changes nothing"
        await kept.states.told([Told(ONE, 7, resolved=False)], EPOCH + 2 * SECOND)
        assert (await kept.one()).news is None

    run(main)


def test_a_look_reads_only_what_changed_and_misses_nothing_of_the_same_second() -> None:
    async def main(kept: Kept) -> None:
        read: list[str] = []
        kept.journal.before = lambda effect: read.append(effect) if effect.startswith("read") else None
        look = Look(ZONE, kept.states, kept.means())
        await kept.states.count([failed(), failed(OTHER)], "b0")
        kept.store.objects[ZONE.uri("fingerprints/_mailbox.json")] = b"{}"
        assert {state.failed for state in await look.states()} == {1}
        await kept.states.count([failed()], "b1")
        kept.store.objects[kept.states.uri(OTHER)] = kept.store.objects[kept.states.uri(OTHER)].replace(b"b0", b"b2")
        found = {state.fingerprint: state for state in await look.states()}
        assert (found[ONE].failed, found[OTHER].batches) == (2, ("b2",))
        await asyncio.sleep(100)
        await look.states()
        read.clear()
        assert len(await look.states()) == 2
        assert read == []
        await kept.states.count([failed()], "b3")
        read.clear()
        assert sorted(state.failed for state in await look.states()) == [1, 3]
        assert len(read) == 1

    run(main)


def test_a_look_is_bounded_and_sees_what_changed_last() -> None:
    async def main(kept: Kept) -> None:
        await kept.states.count([failed()], "b0")
        uri, first_of_all, kept.store.keys_a_page_max = kept.states.uri(ONE), "0" * 16, 3_000
        for number in range(STATES_MAX + 5):
            name = f"{number:016x}"
            kept.store.objects[kept.states.uri(name)] = kept.store.objects[uri].replace(ONE.encode(), name.encode())
        await asyncio.sleep(5)
        await kept.states.count([failed(first_of_all)], "b1")
        found = await Look(ZONE, kept.states, kept.means()).states()
        assert len(found) == STATES_MAX
        assert first_of_all in {state.fingerprint for state in found}

    run(main)
