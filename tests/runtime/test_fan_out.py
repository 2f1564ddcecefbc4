"""Bounded fan-out on the real asyncio-pool, in virtual time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from asyncio_pool import AioPool

from service.runtime import ABANDON_SECONDS, PooledFanOut
from tests.fakes.time import run_virtual
from tests.runtime.noise import Noise

FOR_EVER = 10_000.0


class Piece:
    """Work that takes so long and then succeeds or fails; it notes when it began and how it ended."""

    def __init__(self, seconds: float = 0.0, *, wrong: str = "") -> None:
        self._seconds = seconds
        self._wrong = wrong
        self.state = "waiting"

    async def work(self) -> str:
        self.state = "running"
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.state = "cancelled"
            raise
        self.state = "ended"
        if self._wrong:
            raise ValueError(self._wrong)
        return f"after {self._seconds:g}"


def test_results_come_in_the_order_of_the_work_whichever_ends_first() -> None:
    pieces = [Piece(3), Piece(1), Piece(2)]
    assert run_virtual(PooledFanOut(8).run(piece.work() for piece in pieces)) == ["after 3", "after 1", "after 2"]


@pytest.mark.parametrize("size", [1, 3])
def test_as_many_as_allowed_run_side_by_side_and_never_more(size: int) -> None:
    pieces = [Piece(1) for _ in range(7)]
    most = 0

    async def watch() -> None:
        nonlocal most
        while any(piece.state != "ended" for piece in pieces):
            most = max(most, sum(piece.state == "running" for piece in pieces))
            await asyncio.sleep(0.25)

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(PooledFanOut(size).run(piece.work() for piece in pieces), watch())
        return asyncio.get_running_loop().time() - began

    seconds = run_virtual(main())
    assert most == size
    assert seconds == pytest.approx(-(-7 // size), abs=0.3)


def test_the_first_failure_in_order_is_raised_and_only_after_every_piece_has_ended() -> None:
    pieces = [Piece(5), Piece(4, wrong="earlier in order"), Piece(1, wrong="earlier in time"), Piece(6)]

    async def main() -> None:
        with pytest.raises(ValueError, match="earlier in order"):
            await PooledFanOut(2).run(piece.work() for piece in pieces)
        assert [piece.state for piece in pieces] == ["ended"] * 4

    run_virtual(main())


def test_failures_behind_the_first_leave_no_noise() -> None:
    async def main() -> list[str]:
        with Noise() as noise:
            with pytest.raises(ValueError, match="one"):
                await PooledFanOut(2).run(Piece(1, wrong=wrong).work() for wrong in ("one", "two", "three"))
            return await noise.heard()

    assert run_virtual(main()) == []


def test_no_work_gives_no_results() -> None:
    assert run_virtual(PooledFanOut(4).run([])) == []


def test_a_single_piece_is_cancelled_with_its_waiter() -> None:
    piece = Piece(FOR_EVER)
    assert run_virtual(_cancelled_after(1, [piece.work()])) == 0
    assert piece.state == "cancelled"


def test_cancelled_it_returns_as_soon_as_what_runs_has_ended() -> None:
    pieces = [Piece(1.2), Piece(1.5)]
    assert run_virtual(_cancelled_after(1, [piece.work() for piece in pieces])) == pytest.approx(0.5)
    assert [piece.state for piece in pieces] == ["ended", "ended"], "the pool stops nothing that runs"


def test_cancelled_it_leaves_what_hangs_after_a_little() -> None:
    pieces = [Piece(FOR_EVER) for _ in range(3)]

    async def main() -> None:
        seconds = await _cancelled_after(1, [piece.work() for piece in pieces])
        assert seconds == pytest.approx(ABANDON_SECONDS)
        assert [piece.state for piece in pieces] == ["running", "running", "waiting"]

    run_virtual(main())


def test_pieces_that_fail_after_the_cancelling_leave_no_noise() -> None:
    async def main() -> list[str]:
        with Noise() as noise:
            await _cancelled_after(1, [Piece(2, wrong=wrong).work() for wrong in ("one", "two")])
            return await noise.heard()

    assert run_virtual(main()) == []


def test_pieces_that_fail_once_abandoned_leave_no_noise() -> None:
    async def main() -> list[str]:
        with Noise() as noise:
            await _cancelled_after(1, [Piece(10, wrong=wrong).work() for wrong in ("one", "two")])
            await asyncio.sleep(20)
            return await noise.heard()

    assert run_virtual(main()) == []


async def _cancelled_after(seconds: float, work: list[Coroutine[Any, Any, str]]) -> float:
    """Cancel a fan-out of two at a time after so long; how long it took to return then."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(PooledFanOut(2).run(work))
    await asyncio.sleep(seconds)
    task.cancel()
    began = loop.time()
    await asyncio.wait([task])
    assert task.cancelled()
    return loop.time() - began


class TestFaultsOfThePoolThatDecideItsUse:
    """An upgrade of asyncio-pool that mends one of these fails here: then `PooledFanOut` may become simpler."""

    def test_work_cancelled_through_the_pool_before_its_first_step_never_leaves_it(self) -> None:
        async def main() -> None:
            pool = AioPool(size=1)
            work = Piece().work()
            future = pool.spawn_n(work)
            await pool.cancel(future)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(FOR_EVER):
                    await pool.join()
            assert not future.done()
            work.close()

        run_virtual(main())

    def test_cancelling_the_returned_future_does_not_stop_the_work(self) -> None:
        async def main() -> None:
            piece = Piece(2)
            future = AioPool(size=1).spawn_n(piece.work())
            await asyncio.sleep(1)
            future.cancel()
            await asyncio.sleep(2)
            assert piece.state == "ended"

        run_virtual(main())

    def test_leaving_the_pools_block_hides_what_failed_in_it(self) -> None:
        async def main() -> None:
            async with AioPool(size=1) as pool:
                future = pool.spawn_n(Piece(wrong="hidden").work())
            assert isinstance(future.exception(), ValueError)

        run_virtual(main())
