"""A look at the whole reprocess queue, in which many letters wait that are about other things."""

from collections.abc import Awaitable, Callable

import pytest

from service.commands.about_errors import _unsure
from service.core.datasets import Dataset
from service.core.model import Message, Outgoing
from service.quarantine.reprocess import claims
from service.quarantine.reprocess.about_errors import Doubt, ErrorsRun
from service.quarantine.reprocess.run import Done
from tests.fakes.journal import Away
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.reprocess_bed import RATE, Bed, about, choice, message

Receive = Callable[..., Awaitable[list[Message]]]
OTHERS = 60
LATEST = 55


@pytest.fixture
def bed(loans: Dataset, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Bed]:
    """Call it inside a running loop; of more than a few letters a run cannot hold the claims."""
    monkeypatch.setattr(claims, "CLAIMS_MAX", 10)
    return lambda: Bed({"loans": loans}, source="load")


async def many(bed: Bed) -> None:
    """Many letters of other failures; and before the last of them, two about error files."""
    await bed.fail(*(message(f"b{number}", f"x{number}") for number in range(LATEST)))
    await bed.fail(about(1), about(2))
    bed.reprocess_queue.put(Outgoing("no letter at all"))
    await bed.fail(*(message(f"b{number}", f"x{number}") for number in range(LATEST, OTHERS - 1)))


async def ran(bed: Bed) -> tuple[ErrorsRun, Done]:
    run = ErrorsRun(bed.tools())
    try:
        planned = await run.plan(choice(dataset="errors"), lambda _: None)
        return run, await run.send(planned, rate=RATE, stop=lambda: False, told=lambda _: None)
    finally:
        await run.give_back()


def test_its_letters_are_found_among_more_than_could_be_claimed(bed: Callable[[], Bed]) -> None:
    async def main() -> None:
        here = bed()
        await many(here)
        run, done = await ran(here)
        assert run.doubt is None
        assert (done.sent, done.letters) == (2, 2)
        depth = await here.reprocess_queue.depth()
        assert (depth.waiting, depth.in_flight) == (OTHERS, 0), "the others are given back"
        assert max(here.reprocess_queue.received.values()) == 1, "each was looked at once"

    run_virtual(main())


def test_others_are_given_back_as_soon_as_the_look_is_over(bed: Callable[[], Bed]) -> None:
    async def main() -> None:
        here = bed()
        await many(here)
        run = ErrorsRun(here.tools())
        await run.plan(choice(dataset="errors"), lambda _: None)
        assert (await here.reprocess_queue.depth()).in_flight == 2
        await run.give_back()
        assert (await here.reprocess_queue.depth()).in_flight == 0

    run_virtual(main())


def test_a_look_that_fails_gives_all_back(bed: Callable[[], Bed]) -> None:
    async def main() -> None:
        here = bed()
        await many(here)
        receives = iter(range(100))
        away = Away("reprocess receive", "sqs", times=1)
        here.journal.before = lambda effect: away(effect) if "receive" in effect and next(receives) == 4 else None
        with pytest.raises(Exception, match="sqs"):
            await ran(here)
        assert (await here.reprocess_queue.depth()).in_flight == 0

    run_virtual(main())


@pytest.mark.parametrize("limit", ["letters", "seconds", "its own"])
def test_a_queue_with_more_than_one_look_sees_is_told_as_that(
    bed: Callable[[], Bed], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: str
) -> None:
    async def main() -> None:
        here = bed()
        await many(here)
        seen = 30
        if limit == "letters":
            monkeypatch.setattr(claims, "SEEN_MAX", seen)
        elif limit == "seconds":
            monkeypatch.setattr(claims, "GATHER_SECONDS_MAX", 2.5)
            monkeypatch.setattr(here.reprocess_queue, "receive", _slowly(here.reprocess_queue.receive))
        else:
            seen = 60
            monkeypatch.setattr(claims, "CLAIMS_MAX", 2)
        run, done = await ran(here)
        assert run.doubt == Doubt(seen, held=False)
        assert done.letters == 0
        assert len(here.reprocess_queue) == OTHERS + 2
        assert (await here.reprocess_queue.depth()).in_flight == 0
        assert _unsure(run) == 1

    run_virtual(main())
    told = capsys.readouterr().err
    assert f"holds more letters than one run looks at: {60 if limit == 'its own' else 30} seen" in told
    assert "somebody else" not in told


def test_letters_that_somebody_else_holds_are_told_as_that(bed: Callable[[], Bed]) -> None:
    async def main() -> None:
        here = bed()
        await many(here)
        await here.reprocess_queue.receive(wait_seconds=0, visibility_seconds=300)
        run, _ = await ran(here)
        assert run.doubt == Doubt(OTHERS + 2 - 10, held=True)

    run_virtual(main())


def _slowly(receive: Receive) -> Receive:
    async def slow(**asked: int) -> list[Message]:
        await LoopClock().sleep(1)
        return await receive(**asked)

    return slow
