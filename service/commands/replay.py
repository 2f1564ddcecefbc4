"""`acequia replay`: refine raw files of a range of days again, under the definition of now."""

import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.commands.ending import EXIT_PARTLY, Opening, confirmed, end
from service.commands.report import console, plan_lines, plan_table
from service.core.clock import SystemClock
from service.core.errors import SetupError
from service.settings import Settings
from service.upkeep.days import Days
from service.upkeep.replay import Plan, Replay

RATE = 60.0


def replay_command(opening: Opening) -> Callable[..., None]:
    """The command, given what opens the clients."""

    def replay(
        *,
        dataset: Annotated[str, typer.Option(help="Whose raw files.")],
        first: Annotated[str, typer.Option("--from", help="The first day of arrival, UTC, such as 2026-01-31.")],
        last: Annotated[str, typer.Option("--to", help="The last day of arrival.")],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what it would take; send nothing.")] = False,
        rate: Annotated[float, typer.Option(min=0.01, help="Raw files a minute, at the most.")] = RATE,
        since: Annotated[str | None, typer.Option(help="Leave out what was replayed since that moment.")] = None,
        yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    ) -> None:
        """Refine raw files of a range of days again, under the definition of now; the table ends with the new rows."""
        began = since or SystemClock().now().isoformat(timespec="seconds")

        async def work() -> int:
            days, moment = Days.parse(first, last), None if since is None else _moment(since)
            async with opening(Settings.from_environment()) as tools:
                chosen = Replay(tools, dataset, days, since=moment)
                plan = await chosen.plan()
                console().print(plan_table(plan), plan_lines(plan, files_minute_max=rate), sep="\n")
                if dry_run or not plan.files or not _agreed(plan, dataset, yes=yes):
                    return 0
                return await _run(chosen, plan, rate)

        again = f"acequia replay --dataset {dataset} --from {first} --to {last} --rate {rate:g} --since {began}"
        end(work, stopped=lambda: f"acequia: stopped; what was sent is sent. To go on: {again}")

    return replay


async def _run(chosen: Replay, plan: Plan, rate: float) -> int:
    fates: Counter[str] = Counter()
    columns = (TextColumn("replays sent"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console()) as progress:
        bar = progress.add_task("", total=plan.files)
        async for step in chosen.run(files_minute_max=rate):
            fates[step.fate] += 1
            if step.fate in ("sent", "refused"):
                progress.advance(bar)
            if step.fate == "refused":
                progress.console.print(f"{step.uri}: {step.why}")
    typer.echo(
        f"{fates['sent']:,} sent, {fates['settled']:,} replayed already, {fates['refused']:,} refused. "
        "The layers do the rest: acequia reconcile tells when all of it is loaded."
    )
    return EXIT_PARTLY if fates["refused"] else 0


def _agreed(plan: Plan, dataset: str, *, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise SetupError("nobody is there to be asked: say --yes")
    return confirmed(f"Refine {plan.files:,} raw files of {dataset} again, in the place of {plan.rows:,} rows?")


def _moment(written: str) -> datetime:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise SetupError(f"--since {written!r} is no moment: write it as 2026-01-31T12:00:00+00:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
