"""What people send back, replay and repair: commands that do a step otherwise, too early or not at all, are found."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.core.notice import FileNotice
from service.quarantine import resolve
from service.quarantine.reprocess import claims, fates
from service.quarantine.reprocess import run as reprocess
from service.quarantine.reprocess.parcels import Parcels
from service.quarantine.reprocess.restate import Restater
from service.quarantine.reprocess.rounds import Portion, Rounds
from service.quarantine.reprocess.table import Item
from service.upkeep import explain, tools
from service.upkeep.books import Booked
from service.upkeep.explain import Facts, Finding
from service.upkeep.notices import raw_notice
from service.upkeep.repair import Mended, Repair
from tests.simulation.mutants import Mutant, breach

LATER = timedelta(hours=2)


def things_are_sent_before_the_round_is_stored(patch: pytest.MonkeyPatch) -> None:
    change = Rounds.change

    async def late(self: Rounds, round_id: str, decide: Any) -> None:
        if decide(None).stage != "sending":
            await change(self, round_id, decide)

    patch.setattr(Rounds, "change", late)


def rows_say_so_before_anything_is_sent(patch: pytest.MonkeyPatch) -> None:
    post = reprocess.Run._post  # noqa: SLF001 (a test may break what it likes)

    async def hasty(self: Any, chunk: list[Any], portion: Any) -> None:
        if chunk:
            await self._write_down(replace(portion, number=portion.number + 900, parcels=[*chunk]))
        await post(self, chunk, portion)

    patch.setattr(reprocess.Run, "_post", hasty)


def rows_say_so_before_the_round_knows(patch: pytest.MonkeyPatch) -> None:
    put, store = Rounds.put, Restater.store
    late: list[tuple[Rounds, str, Portion]] = []

    async def put_late(self: Rounds, round_id: str, portion: Portion) -> None:
        late.append((self, round_id, portion))

    async def store_first(self: Restater, files: Any) -> None:
        mine = [*late]
        late.clear()
        await store(self, files)
        for one in mine:
            await put(*one)

    patch.setattr(Rounds, "put", put_late)
    patch.setattr(Restater, "store", store_first)


def portions_are_not_written_down(patch: pytest.MonkeyPatch) -> None:
    async def put(self: Rounds, round_id: str, portion: Portion) -> None:
        return

    patch.setattr(Rounds, "put", put)


def rows_are_not_announced(patch: pytest.MonkeyPatch) -> None:
    async def announce(self: Restater, uris: Any) -> None:
        return

    patch.setattr(Restater, "announce", announce)


def tries_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    of = Parcels.of

    async def uncounted(self: Parcels, items: Sequence[Item]) -> AsyncIterator[Any]:
        async for made in of(self, [replace(item, tried=item.tried - 1) for item in items]):
            yield made

    patch.setattr(Parcels, "of", uncounted)


def all_claimed_letters_are_deleted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claims, "_settled", lambda claim, done: True)


def letters_of_later_failures_are_deleted(patch: pytest.MonkeyPatch) -> None:
    settled = claims._settled  # noqa: SLF001

    def whenever(claim: Any, done: dict[str, datetime]) -> bool:
        return settled(claim, {error_id: moment + LATER for error_id, moment in done.items()})

    patch.setattr(claims, "_settled", whenever)


def what_waits_counts_as_resolved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resolve, "fate_of", lambda *_, **__: "passed")


def what_failed_again_counts_as_resolved(patch: pytest.MonkeyPatch) -> None:
    fate_of = fates.fate_of

    def hopeful(*given: Any, **named: Any) -> str:
        fate = fate_of(*given, **named)
        return "passed" if fate == "failed" else fate

    patch.setattr(resolve, "fate_of", hopeful)


def a_replay_is_older_than_the_ledger(patch: pytest.MonkeyPatch) -> None:
    def old(dataset: Any, zone: str, file: Any, read: Any, now: datetime) -> FileNotice:
        return raw_notice(dataset, zone, file, read, now - LATER)

    patch.setattr(tools, "raw_notice", old)


def a_repair_sends_nothing(patch: pytest.MonkeyPatch) -> None:
    async def announce(self: Repair, facts: Facts) -> Mended:
        return Mended("announce", facts.uri)

    patch.setattr(Repair, "_announce", announce)


def a_repair_announces_what_was_loaded(patch: pytest.MonkeyPatch) -> None:
    run = Repair.run

    async def eager(self: Repair, findings: Any) -> AsyncIterator[Mended]:
        told = [one if one.mend else replace(one, kind="not_loaded") for one in findings]
        async for mended in run(self, told):
            yield mended

    load = Repair._load  # noqa: SLF001

    async def all_of_it(self: Repair, facts: Facts) -> Sequence[Mended]:
        return await load(self, replace(facts, outputs=[replace(one, booked=None) for one in facts.outputs]))

    patch.setattr(Repair, "run", eager)
    patch.setattr(Repair, "_load", all_of_it)


def a_lost_notice_is_taken_for_one_on_its_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(explain.Rules, "young", lambda self, moment: True)


def a_superseded_file_still_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Booked, "live", property(lambda self: True))


def differences_are_told_short(patch: pytest.MonkeyPatch) -> None:
    finding = explain.Finding

    def short(kind: Any, equation: Any, count: int, uris: Any) -> Finding:
        return finding(kind, equation, count - 1 if equation == "raw" else count, uris)

    patch.setattr(explain, "Finding", short)


MUTANTS: dict[Mutant, int] = {
    things_are_sent_before_the_round_is_stored: 93,
    rows_say_so_before_anything_is_sent: 213,
    rows_say_so_before_the_round_knows: 13,
    portions_are_not_written_down: 93,
    rows_are_not_announced: 93,
    tries_are_not_counted: 13,
    all_claimed_letters_are_deleted: 93,
    letters_of_later_failures_are_deleted: 1293,
    what_waits_counts_as_resolved: 133,
    what_failed_again_counts_as_resolved: 133,
    a_replay_is_older_than_the_ledger: 533,
    a_repair_sends_nothing: 93,
    a_repair_announces_what_was_loaded: 293,
    a_lost_notice_is_taken_for_one_on_its_way: 93,
    a_superseded_file_still_counts: 413,
    differences_are_told_short: 93,
}
"""And a world that shows it soon; others that show it are tried where this one does not any more."""


@pytest.mark.parametrize("mutant", list(MUTANTS), ids=lambda mutant: mutant.__name__)
def test_a_command_that_does_otherwise_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    assert breach("by hand", lambda plan: plan.peopled, first=MUTANTS[mutant]) is not None
