"""`acequia reconcile`: does it add up, from the stores alone?"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from service.commands.ending import Opening, end
from service.commands.report import Account, console, letters_line
from service.settings import Settings
from service.upkeep.days import Days
from service.upkeep.reconcile import Day, Reconcile
from service.upkeep.repair import Repair
from service.upkeep.tools import IN_FLIGHT

EXIT_DIFFERS = 1
IN_FLIGHT_MINUTES_MAX = 60 * 24 * 400
"""More than records live."""
DONE = {
    "announce": "raw files announced to refine again",
    "load": "refined files announced to load again",
    "replay": "raw files replayed",
}


def reconcile_command(opening: Opening) -> Callable[..., None]:
    """The command, given what opens the clients."""

    def reconcile(
        *,
        dataset: Annotated[str, typer.Option(help="Whose records.")],
        first: Annotated[str, typer.Option("--from", help="The first day of arrival, UTC, such as 2026-01-31.")],
        last: Annotated[str, typer.Option("--to", help="The last day of arrival.")],
        repair: Annotated[bool, typer.Option("--repair", help="Announce again what nobody was told of.")] = False,
        in_flight_minutes: Annotated[
            float, typer.Option(min=1, max=IN_FLIGHT_MINUTES_MAX, help="What is younger may be on its way.")
        ] = IN_FLIGHT.total_seconds() / 60,
    ) -> None:
        """Count records in raw files, refined files, errors, ledger and table, and explain every difference."""
        in_flight = timedelta(minutes=in_flight_minutes)

        async def work() -> int:
            days = Days.parse(first, last)
            account, done = Account(in_flight), Counter[str]()
            async with opening(Settings.from_environment()) as tools:
                checked = Reconcile(tools, dataset, days, in_flight=in_flight)
                mending = Repair(tools, dataset) if repair else None
                with console().status(f"counting from {days.first} on") as status:
                    async for day in checked.run():
                        account.add(day)
                        await _mend(mending, day, done)
                        status.update(f"counted {day.day}")
                _show(account, await checked.letters(), checked.whole_files)
            for mend, count in done.items():
                typer.echo(f"{count:,} {DONE[mend]}: run reconcile again when they are through")
            return 0 if account.adds_up else EXIT_DIFFERS

        end(work, stopped=lambda: "acequia: stopped; what was announced is announced. Run it again for the rest")

    return reconcile


def _show(account: Account, letters: dict[str, int], whole_files: int) -> None:
    out = console()
    out.print(account.figures())
    differences = account.differences()
    for line in ["", *differences] if differences else []:
        out.print(line, soft_wrap=True, markup=False)
    if any(letters.values()):
        out.print(f"\n{letters_line(letters)}")
    if whole_files:
        out.print(
            f"\nrejected as whole files by refine or load, not mended yet: {whole_files:,} (acequia reprocess list)"
        )
    explained = "It adds up: what differs is explained." if differences else "It adds up."
    out.print(f"\n{explained if account.adds_up else 'It does not add up: see DIFFERS.'}")


async def _mend(repair: Repair | None, day: Day, done: Counter[str]) -> None:
    if repair is None:
        return
    async for mended in repair.run(day.findings):
        if mended.why:
            typer.echo(f"{mended.uri}: {mended.why}", err=True)
        else:
            done[mended.mend] += 1
