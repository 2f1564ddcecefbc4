"""Rounds and portions as they lie in the errors zone; claims on letters."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from service.core.datasets import Dataset
from service.core.model import Outgoing
from service.core.moments import naive
from service.quarantine.reprocess.claims import Claims
from service.quarantine.reprocess.rounds import Awaited, Portion, Round, Rounds, SentItem, round_id_of
from tests.fakes.journal import Away
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.bench import ERRORS_ZONE
from tests.unit.quarantine.reprocess_bed import Bed, message, records

BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
ROUND_ID = round_id_of(BEGAN, "0" * 16)


@pytest.fixture
def bed(loans: Dataset) -> Callable[..., Bed]:
    """Call it inside a running loop."""
    return lambda: Bed({"loans": loans})


def test_rounds_and_portions_are_read_as_they_were_written() -> None:
    assert ROUND_ID == "20260102T030405678Z-0000000000000000"
    for one in (
        Round(ROUND_ID, BEGAN, date(2026, 1, 1)),
        Round(ROUND_ID, BEGAN, date(2025, 12, 31), "sent", ("a", "b")),
    ):
        assert Round.from_json(one.to_json()) == one
    items = [
        SentItem(("e1", "e2"), "f", "refine", "s3://raw/x", 1, 2, None, whole=True, awaited=(Awaited("d", "b"),)),
        SentItem(("e3",), "f", "load", origin="m1", awaited=(Awaited("d", "b", ("u1", "u2")),)),
        SentItem(("e4",), "f", "refine", "s3://raw/x", 1, 2, awaited=(Awaited("d", "b", moment=naive(BEGAN)),)),
    ]
    portion = Portion(7, items, ["s3://errors/one"])
    assert Portion.from_json(portion.to_json()) == portion


def test_a_portion_of_an_older_version_tells_no_moment() -> None:
    item = SentItem(("e1",), "f", "refine", "s3://raw/x", 1, 2, awaited=(Awaited("d", "b"),))
    portion = Portion(1, [item], [])
    older = portion.to_json().replace(b',"moment":null', b"")
    assert older != portion.to_json()
    assert Portion.from_json(older) == portion


def test_what_is_no_round_is_none(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        rounds = Rounds(ERRORS_ZONE, here.means)
        await rounds.change(ROUND_ID, lambda _: Round(ROUND_ID, BEGAN, BEGAN.date()))
        await rounds.put(ROUND_ID, Portion(1, [], []))
        later = round_id_of(BEGAN + timedelta(seconds=1), "1" * 16)
        here.store.objects[ERRORS_ZONE.uri(f"rounds/{later}.json")] = b'{"v": 2}'
        here.store.objects[ERRORS_ZONE.uri("rounds/notes.json")] = b"hello"
        here.store.objects[ERRORS_ZONE.uri(f"rounds/{round_id_of(EPOCH, '2' * 16)}/1.json")] = b"a portion alone"
        assert [seen.round_id for seen in await rounds.seen()] == [ROUND_ID, later]
        assert await rounds.read(later) is None
        assert await rounds.read(round_id_of(EPOCH, "2" * 16)) is None
        assert len(await rounds.portions(ROUND_ID)) == 1

    run_virtual(main())


def test_strange_messages_are_given_back(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        here.reprocess_queue.put(Outgoing("no letter of ours"), Outgoing(message("one", "m1").outgoing().body))
        claims = Claims(here.reprocess_queue, here.means.clock)
        await claims.gather({"unheard of"}, lambda: False)
        assert len(claims) == 2
        assert await claims.settle({}) == 0
        await claims.give_back()
        assert (await here.reprocess_queue.depth()).waiting == 2

    run_virtual(main())


def test_receiving_ends_when_everything_wanted_is_found(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        letters = [message(f"n{number}", f"m{number}") for number in range(40)]
        here.reprocess_queue.put(*(letter.outgoing() for letter in letters))
        claims = Claims(here.reprocess_queue, here.means.clock)
        await claims.gather({letters[3].error_id}, lambda: False)
        assert len(claims) == 10
        stopped = Claims(here.reprocess_queue, here.means.clock)
        await stopped.gather({letters[30].error_id}, lambda: True)
        assert len(stopped) == 0

    run_virtual(main())


def test_a_claim_that_ran_out_is_let_be(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        letter = records((0, 0))
        here.reprocess_queue.put(letter.outgoing())
        claims = Claims(here.reprocess_queue, here.means.clock)
        await claims.gather({letter.error_id}, lambda: False)
        here.journal.before = Away("reprocess hide", "sqs", times=100)
        for _ in range(6):
            await LoopClock().sleep(60)
            await claims.keep()
        assert await claims.settle({letter.error_id: letter.failed_at}) == 0
        assert len(here.reprocess_queue) == 1

    run_virtual(main())
