"""`acequia reprocess`: what failed, by cause; examples of it; and back to where it can succeed."""

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import typer

from service.commands.about_errors import hint, send_own, show_own
from service.commands.asking import agreed, progress, stopping
from service.commands.ending import EXIT_PARTLY, end
from service.commands.failures import done_lines, example_lines, expected_lines, groups_table
from service.commands.report import console
from service.core.definitions import load_datasets
from service.core.errors import SetupError, TransientError
from service.core.errors_dataset import ERRORS
from service.quarantine.reprocess.about_errors import group_of_state, known_states
from service.quarantine.reprocess.plan import Plan, errors_of, group_of, plan
from service.quarantine.reprocess.run import Run, already_loaded
from service.quarantine.reprocess.show import shown
from service.quarantine.reprocess.table import Choice, ErrorTable
from service.quarantine.reprocess.tools import Tools
from service.runtime import EXIT_INTERRUPTED
from service.settings import Settings

Opening = Callable[[Settings], AbstractAsyncContextManager[Tools]]
"""Opens the clients for the length of a command."""

RATE = 100.0
DAYS = 14
LIMIT = 100_000
EXAMPLES = 3

Since = Annotated[str | None, typer.Option(help=f"Failed since, UTC: a day or a moment; by default {DAYS} days ago.")]
Until = Annotated[str | None, typer.Option(help="Failed until; a day counts to its end.")]
Layer = Annotated[str | None, typer.Option(help="land, refine or load.")]
Dataset = Annotated[str | None, typer.Option(help="Whose records.")]
Code = Annotated[str | None, typer.Option(help="Why, such as bad_type.")]


def reprocess_commands(opening: Opening, looking: Opening) -> typer.Typer:
    """The verbs, given what opens the clients; `looking` is for what only reads the errors zone, and asks no queue."""
    verbs = typer.Typer(no_args_is_help=True, help="What failed, by cause, and back to where it can succeed.")
    verbs.command("list")(_list(looking))
    verbs.command("show")(_show(looking))
    verbs.command("run")(_run(opening, looking))
    return verbs


def _list(opening: Opening) -> Callable[..., None]:
    def list_(
        *, since: Since = None, until: Until = None, layer: Layer = None, dataset: Dataset = None, code: Code = None
    ) -> None:
        """Failures by fingerprint: how many, where they stand, since when, and why."""

        async def work() -> int:
            async with opening(Settings.from_environment()) as tools:
                choice = _choice(tools, since, until, layer=layer, dataset=dataset, code=code)
                table = await errors_of(choice, tools.errors, tools.means)
                groups = await tools.means.threads.run(table.groups, choice)
                own = await known_states(choice, tools)
            _warn(table)
            groups += [group_of_state(state) for state in own]
            console().print(
                groups_table(groups) if groups else f"Nothing of that failed since {choice.since:%Y-%m-%d}."
            )
            hint(own)
            return 0

        end(work, stopped=lambda: "acequia: stopped")

    return list_


def _show(opening: Opening) -> Callable[..., None]:
    def show(
        fingerprint: Annotated[str, typer.Argument(help="From `acequia reprocess list`.")],
        *,
        since: Since = None,
        until: Until = None,
        examples: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = EXAMPLES,
    ) -> None:
        """Examples of one kind of failure, masked, with the field that is to blame, and where they lie."""

        async def work() -> int:
            async with opening(Settings.from_environment()) as tools:
                choice = _choice(tools, since, until)
                if await show_own(replace(choice, fingerprint=fingerprint), tools):
                    return 0
                table = await errors_of(choice, tools.errors, tools.means)
                group = await group_of(fingerprint, table, choice, tools.means)
                few = await tools.means.threads.run(table.examples, fingerprint, examples)
                found = await shown(few, tools.means)
            _warn(table)
            console().print(groups_table([group]))
            for one in found:
                console().print(example_lines(one))
            return 0

        end(work, stopped=lambda: "acequia: stopped")

    return show


def _run(opening: Opening, looking: Opening) -> Callable[..., None]:
    def run(  # noqa: PLR0913 (a command's options)
        *,
        fingerprint: Annotated[str | None, typer.Option(help="One kind of failure.")] = None,
        layer: Layer = None,
        dataset: Dataset = None,
        code: Code = None,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, typer.Option(min=1, max=LIMIT, help="Records to send or park, at the most.")] = LIMIT,
        parked: Annotated[bool, typer.Option("--parked", help="Also what was tried too often.")] = False,
        rehearse: Annotated[bool, typer.Option("--rehearse", help="Tell what would pass; send nothing.")] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
        rate: Annotated[float, typer.Option(min=0.1, help="Messages a second, at the most.")] = RATE,
    ) -> None:
        """Try the chosen under the definitions of now, then send them back to the queues on which they failed."""

        async def work() -> int:
            settings = Settings.from_environment()
            defined = load_datasets(settings.datasets_directory)
            async with (looking if rehearse else opening)(settings) as tools:
                choice = _choice(tools, since, until, fingerprint=fingerprint, layer=layer, dataset=dataset, code=code)
                choice = replace(choice, limit=limit, parked=parked)
                own = await known_states(choice, tools)
                if dataset == ERRORS.name or (fingerprint is not None and own):
                    return await send_own(choice, own, tools, rehearse=rehearse, yes=yes, rate=rate)
                hint(own)
                planned = await _planned(choice, tools)
                _warn(planned)
                _known(choice, planned, defined)
                typer.echo("\n".join(expected_lines(planned, attempts_max=tools.attempts_max)))
                if len(planned.items) + len(planned.exhausted) >= limit:
                    typer.echo(f"So many are what --limit allows ({limit:,}); if more are open, run it again for them.")
                if rehearse or not (planned.items or planned.exhausted):
                    return 0
                if not agreed(planned, yes=yes):
                    return EXIT_PARTLY
                return await _send(planned, tools, rate)

        end(
            work,
            stopped=lambda: (
                "acequia: stopped; the same command goes on, and what it sends once more is not loaded twice"
            ),
        )

    return run


async def _planned(choice: Choice, tools: Tools) -> Plan:
    with progress("rehearsed") as bars:
        bar = bars.add_task("", total=None)

        def begun(total: int) -> Callable[[int], None]:
            bars.update(bar, total=total)
            return lambda more: bars.advance(bar, more)

        return await plan(choice, tools, begun)


async def _send(planned: Plan, tools: Tools, rate: float) -> int:
    await _tell_loaded(planned, tools)
    stop = stopping()
    with progress("sent back") as bars:
        bar = bars.add_task("", total=len(planned.items))
        run = Run(tools, rate=rate, stop=stop.is_set, told=lambda more: bars.advance(bar, more))
        done = await run.run(planned)
    typer.echo("\n".join(done_lines(done)))
    if done.stopped:
        typer.echo("acequia: stopped; what was sent is written down. The same command sends the rest", err=True)
        return EXIT_INTERRUPTED
    return EXIT_PARTLY if done.refused else 0


async def _tell_loaded(planned: Plan, tools: Tools) -> None:
    """How many were loaded meanwhile. The warehouse may be away: nothing that is sent needs it now."""
    try:
        there = await already_loaded(planned, tools)
    except TransientError as down:
        typer.echo(
            f"acequia: {down}: nobody can tell how many of these are loaded already; none will be twice", err=True
        )
        return
    if there:
        typer.echo(f"{there:,} of these records are in the warehouse already: they will not be there twice.")


def _choice(tools: Tools, since: str | None, until: str | None, **wanted: str | None) -> Choice:
    now = tools.means.clock.now()
    began = now - timedelta(days=DAYS) if since is None else _moment("--since", since, time.min)
    ends = now + timedelta(days=1) if until is None else _moment("--until", until, time.max)
    return Choice(began, ends, **wanted)  # type: ignore[arg-type]  # names of the choice's texts


def _moment(option: str, written: str, of_day: time) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(written), of_day, UTC)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(written)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SetupError(f"{option} {written!r} is no moment: write it as 2026-01-31 or 2026-01-31T12:00") from None


def _known(choice: Choice, planned: Plan, defined: Collection[str]) -> None:
    """SetupError for a dataset that nobody has heard of: whoever mistypes it should not take it for empty."""
    if not choice.dataset or choice.dataset in {*planned.datasets, *defined}:
        return
    there = ", ".join(name for name in planned.datasets if name) or "no dataset"
    raise SetupError(
        f"no failure of --dataset {choice.dataset!r} is known since {choice.since:%Y-%m-%d}, and no definition has "
        f"that name; failures are known of {there}"
    )


def _warn(found: ErrorTable | Plan) -> None:
    for uri in found.unreadable:
        typer.echo(f"acequia: {uri} cannot be read as an error file and is left out", err=True)
