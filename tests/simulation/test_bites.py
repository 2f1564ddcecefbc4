"""The checker sees what it is there to see: services that break one promise each are found, and told plainly.

Two breaks that no world shows have tests of their own. That a message which comes for the third time goes alone
(`tests/unit/intake/test_gather.py::test_a_message_that_comes_for_the_third_time_goes_alone_and_at_once`): nothing here
dies of what a message holds. That a crowd is seen
(`tests/flow/test_crowd.py::test_an_empty_poll_of_a_queue_with_a_backlog_closes_batches_sooner`): unseen, it makes
everything slower and nothing wrong; that it is told of, `test_simulation.py` looks at too.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from service.core.dead_letter import DeadLetter
from service.core.errors import RejectedError, TransientError
from service.core.events import LayerPaused, MessagesReleased
from service.core.layer import Outcome
from service.core.model import Batch
from service.core.notice import FileNotice
from service.core.ports import Emit, Queue
from service.intake.budget import Budget
from service.intake.inflight import Inflight
from service.intake.letters import DeadLetters
from service.intake.settle import Settle
from service.intake.stopping import Stopping
from service.land.land import Land
from service.load import commit, ledger
from service.load.commit import Commit
from service.load.load import Load
from service.refine.refine import Refine
from tests.simulation.database import one_database
from tests.simulation.faults import Fault
from tests.simulation.plan import Plan
from tests.simulation.producers import SECRET
from tests.simulation.shrink import shrunk
from tests.simulation.trial import passed, told

SEEDS = [seed for seed in range(1, 110) if not Plan.of(seed).quarantined]
"""Where the quarantine layer runs, it is what sees first that something is wrong before it."""
Break = Callable[[pytest.MonkeyPatch], None]


def _what_runs_is_never_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Stopping, "let_go_seconds", lambda self: math.inf)


def _letters_are_dropped(patch: pytest.MonkeyPatch) -> None:
    async def send(self: DeadLetters, letters: Sequence[DeadLetter]) -> None:
        return

    patch.setattr(DeadLetters, "send", send)


def _a_batch_is_settled_before_it_is_handled(patch: pytest.MonkeyPatch) -> None:
    handle = Land.handle
    settle: list[Inflight] = []
    begin = Inflight.__init__

    def remember(self: Inflight, layer: str, queue: Queue, **given: Any) -> None:
        begin(self, layer, queue, **given)
        settle[:] = [self] if layer == "land" else settle

    async def hasty(self: Land, batch: Batch[None]) -> Any:
        await settle[0].done([held.message for held in batch.held])
        return await handle(self, batch)

    patch.setattr(Inflight, "__init__", remember)
    patch.setattr(Land, "handle", hasty)


def _the_ledger_is_not_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger, "settled", lambda unit, known: False)


def _a_lost_answer_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    run = Commit.run

    async def trusting(self: Commit, group: Any) -> Any:
        try:
            return await run(self, group)
        except TransientError:
            return commit.Committed(len(group.units), 0, 0, 0, 0)

    patch.setattr(Commit, "run", trusting)


def _an_outage_counts_as_bad_data(patch: pytest.MonkeyPatch) -> None:
    attempt = Load._attempt  # noqa: SLF001 (a test may break what it likes)

    async def hasty(self: Load, group: Any) -> Any:
        try:
            return await attempt(self, group)
        except TransientError as down:
            return RejectedError("load_refused", str(down))

    patch.setattr(Load, "_attempt", hasty)


def _refine_announces_before_the_letters(patch: pytest.MonkeyPatch) -> None:
    async def later(self: Refine, *given: Any) -> None:
        return

    patch.setattr(Refine, "_send_letters", later)


def _nothing_is_released(patch: pytest.MonkeyPatch) -> None:
    async def release_all(self: Inflight) -> None:
        self._claims.clear()

    patch.setattr(Inflight, "release_all", release_all)


def _memory_has_no_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Budget, "full", lambda self: False)


def _a_poison_message_is_retried(patch: pytest.MonkeyPatch) -> None:
    reject = Settle._reject  # noqa: SLF001

    async def reluctant(self: Any, dataset: str, outcome: Outcome[Any]) -> None:
        receipts = [held.message.receipt for held, _ in outcome.rejected]
        if receipts and not dataset and outcome.rejected[0][0].message.receive_count == 1:
            await self._queues.work.hide(receipts, 0)
            self._inflight._forget(receipts)  # noqa: SLF001
            self._emit(MessagesReleased(self._layer, len(receipts)))
            return
        await reject(self, dataset, outcome)

    patch.setattr(Settle, "_reject", reluctant)


def _a_log_quotes_a_record(patch: pytest.MonkeyPatch) -> None:
    handle = Land.handle

    async def chatty(self: Land, batch: Batch[None]) -> Any:
        emit: Emit = self._means.emit
        emit(LayerPaused("land", batch.held[0].message.body if SECRET in batch.held[0].message.body else SECRET))
        return await handle(self, batch)

    patch.setattr(Land, "handle", chatty)


def _notices_of_any_zone_are_believed(patch: pytest.MonkeyPatch) -> None:
    get = Refine._refine  # noqa: SLF001

    async def elsewhere(self: Refine, notice: FileNotice, file: Any, told: set[str]) -> Any:
        await self._means.store.describe(file.uri.replace("s3://raw/", "s3://elsewhere/"))
        return await get(self, notice, file, told)

    patch.setattr(Refine, "_refine", elsewhere)


BREAKS: dict[Break, str] = {
    _what_runs_is_never_left: "I7",
    _letters_are_dropped: "I1",
    _a_batch_is_settled_before_it_is_handled: "I1|I3",
    _the_ledger_is_not_read: "7|I1|I5",
    _a_lost_answer_counts_as_done: "I3|I5",
    _an_outage_counts_as_bad_data: "I1",
    _refine_announces_before_the_letters: "I1",
    _nothing_is_released: "I10",
    _memory_has_no_limit: "I6",
    _a_poison_message_is_retried: "I8|I10",
    _a_log_quotes_a_record: "I9",
    _notices_of_any_zone_are_believed: "I9",
}
"""And which promises may be the first that is seen broken."""


@pytest.mark.parametrize("broken", list(BREAKS), ids=lambda broken: broken.__name__.strip("_"))
def test_a_broken_service_is_found(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    with one_database():
        wrong = next(found for seed in SEEDS if (found := _failure(Plan.of(seed))) is not None)
    assert re.match(f"({BREAKS[broken]}): ", str(wrong))


def test_a_failure_is_told_with_the_fewest_faults_that_cause_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _a_lost_answer_counts_as_done(monkeypatch)
    with one_database():
        plan, wrong = next((p, w) for p in map(Plan.of, SEEDS) if (w := _failure(p)) is not None and len(p.faults) > 5)
        words = told(plan, wrong)
        first, *lines, command = words.splitlines()
        faults = [Fault.parse(line.strip()) for line in lines]
        assert 1 <= len(faults) <= 3
        assert _failure(plan.but(faults)) is not None
        for fault in faults:
            assert _failure(plan.but([other for other in faults if other != fault])) is None, "each is needed"
    assert first.startswith(f"seed {plan.seed}: BrokenError: I")
    assert command.endswith(f"--seed {plan.seed} --faults '{','.join(map(str, faults))}'")


def test_shrinking_leaves_faults_that_only_fail_together() -> None:
    plan = Plan.of(3)
    needed = {plan.faults[1], plan.faults[7]}
    assert set(shrunk(plan, lambda smaller: needed <= set(smaller.faults)).faults) == needed


def _failure(plan: Plan) -> Exception | None:
    try:
        passed(plan)
    except Exception as wrong:  # noqa: BLE001 (a broken service may raise anything)
        return wrong
    return None
