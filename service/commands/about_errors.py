"""`acequia reprocess` on failures about the files of `acequia.errors` themselves, which have no rows there."""

from collections.abc import Sequence

import typer

from service.commands.asking import agreed, progress, stopping
from service.commands.ending import EXIT_PARTLY
from service.commands.failures import done_lines, expected_lines, groups_table
from service.commands.report import console
from service.core.errors_dataset import ERRORS
from service.quarantine.reprocess.about_errors import ErrorsRun, group_of_state, known_states
from service.quarantine.reprocess.table import Choice
from service.quarantine.reprocess.tools import Tools
from service.quarantine.states import State
from service.runtime import EXIT_INTERRUPTED

COMMAND = f"acequia reprocess run --dataset {ERRORS.name}"
HELD = ("somebody else holds letters of the reprocess queue, or more came", "Run it again in 5 minutes")
MORE = "the reprocess queue holds more letters than one run looks at: {seen:,} seen"
FEWER = "Send other failures back first, or run it again when fewer wait"
AGAIN = "what it sends once more is not loaded twice"
NO_ROWS = f"Failures about files of acequia.errors itself make no rows there. To send them back: {COMMAND}"


def hint(own: Sequence[State]) -> None:
    """Say how such failures go back, where some wait."""
    if any(state.state in ("open", "parked") for state in own):
        typer.echo(NO_ROWS)


async def show_own(choice: Choice, tools: Tools) -> bool:
    """Show the chosen fingerprint if it is of such failures; says whether it is."""
    own = await known_states(choice, tools)
    if own:
        console().print(groups_table([group_of_state(state) for state in own]))
        typer.echo(NO_ROWS)
    return bool(own)


async def send_own(
    choice: Choice, own: Sequence[State], tools: Tools, *, rehearse: bool, yes: bool, rate: float
) -> int:
    """Take their letters from the reprocess queue, send the notices to the load queue again, and give the exit code."""
    if rehearse:
        waiting = [group_of_state(state) for state in own if state.state in ("open", "parked")]
        console().print(groups_table(waiting) if waiting else "Nothing of that is open.")
        typer.echo("Nothing was sent. Their notices lie on the reprocess queue, where a rehearsal does not look.")
        return 0
    run = ErrorsRun(tools)
    try:
        planned = await run.plan(choice, lambda _: None)
        typer.echo("\n".join(expected_lines(planned, attempts_max=tools.attempts_max)))
        if not (planned.items or planned.exhausted):
            return _unsure(run)
        if not agreed(planned, yes=yes):
            return EXIT_PARTLY
        stop = stopping()
        with progress("sent back") as bars:
            bar = bars.add_task("", total=len(planned.items))
            done = await run.send(planned, rate=rate, stop=stop.is_set, told=lambda more: bars.advance(bar, more))
    finally:
        await run.give_back()
    typer.echo("\n".join(done_lines(done)))
    if done.stopped:
        typer.echo("acequia: stopped; what was sent is written down. The same command sends the rest", err=True)
        return EXIT_INTERRUPTED
    return EXIT_PARTLY if done.refused else _unsure(run)


def _unsure(run: ErrorsRun) -> int:
    if run.doubt is None:
        return 0
    what, then = HELD if run.doubt.held else (MORE.format(seen=run.doubt.seen), FEWER)
    typer.echo(f"acequia: {what}: those in hand stay there too. {then}; {AGAIN}", err=True)
    return EXIT_PARTLY
