"""The command line: `acequia run` is the container's process, `acequia local` the whole thing on one machine."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from service import app
from service.commands.reconcile import reconcile_command
from service.commands.replay import replay_command
from service.commands.reprocess import reprocess_commands
from service.core.errors import RejectedError, SetupError, TransientError
from service.local.emulator import EmulatorMissingError
from service.local.postgres import PostgresMissingError
from service.local.processes import ChildFailedError
from service.local.redshift.alone import redshift_alone
from service.local.redshift.server import Isolation
from service.local.run import SAMPLE_DATASET, Options, run_local, with_termination
from service.runtime import EXIT_BUG, EXIT_INTERRUPTED, EXIT_SETUP
from service.settings import FLOW, PROJECT, Settings
from service.telemetry.logs import Log

REPORT_COLUMNS = 120
"""Where output is no terminal: wide enough for the analyst's tables."""

commands = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


commands.command("replay")(replay_command(app.upkeep))
commands.command("reconcile")(reconcile_command(app.upkeep))
commands.add_typer(reprocess_commands(app.reprocess), name="reprocess")


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
        code = _complain(wrong)
    except* Exception as bugs:  # noqa: BLE001 (the last resort: say it in the log's form, and end)
        code = EXIT_BUG
        for bug in _leaves(bugs):
            log.bug(bug)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a worker thread may still be busy, and would be waited for; its work is repeated elsewhere


@commands.command()
def migrate(
    *, dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL; change nothing.")] = False
) -> None:
    """Bring the warehouse's tables to what sql/schema/ and the dataset definitions say."""
    code = 0
    try:
        settings = Settings.from_environment()
        for step in asyncio.run(app.migrate(settings, dry_run=dry_run)):
            typer.echo(f"-- {step.title}")
            for statement in step.statements if dry_run else ():
                typer.echo(f"{statement.text};")
    except* (SetupError, TransientError, RejectedError) as wrong:
        code = _complain(wrong)
    raise typer.Exit(code)


@commands.command()
def local(  # noqa: PLR0913 (a command's options)
    *,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="NDJSON, plain or gzip; else sample events.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="The dataset that the records belong to.")] = SAMPLE_DATASET,
    layers: Annotated[str, typer.Option(help="land; land,refine; land,refine,load; or all four.")] = ",".join(FLOW),
    records_per_message: Annotated[int, typer.Option(min=1, max=10_000, help="Records in one SQS message.")] = 50,
    stay: Annotated[bool, typer.Option("--stay", help="Keep running without a terminal, too.")] = False,
    stack_only: Annotated[bool, typer.Option("--stack-only", help="Only the backing services, and stay.")] = False,
    env_file: Annotated[Path | None, typer.Option(help="With --stack-only: where to write the environment.")] = None,
    directory: Annotated[Path, typer.Option(help="Where files and logs lie; made afresh.")] = Path(".acequia"),
    datasets: Annotated[Path, typer.Option(help="Dataset definitions.")] = PROJECT / "datasets",
) -> None:
    """Run everything on this machine: emulated AWS, a local warehouse, the worker, sample events or your file."""
    options = Options(
        datasets_directory=datasets,
        sql_directory=PROJECT / "sql",
        directory=directory.resolve(),
        input=input_file,
        dataset=dataset,
        layers=tuple(part.strip() for part in layers.split(",")),
        records_per_message=records_per_message,
        stay=stay or sys.stdout.isatty(),
        stack_only=stack_only,
        env_file=env_file,
    )
    code = 0
    try:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else REPORT_COLUMNS)
        code = with_termination(lambda: run_local(options, console))
    except* (SetupError, ChildFailedError, EmulatorMissingError, PostgresMissingError, OSError) as wrong:
        code = _complain(wrong)
    raise typer.Exit(code)


@commands.command()
def redshift(
    *,
    s3_endpoint: Annotated[str, typer.Option(help="Where COPY and UNLOAD find S3, such as http://127.0.0.1:4566.")],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where to listen, on 127.0.0.1.")] = 5439,
    directory: Annotated[Path, typer.Option(help="Where logs lie.")] = Path(".acequia-redshift"),
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Snapshot isolation instead of serializable.")] = False,
    large_strings: Annotated[
        bool, typer.Option("--large-strings", help="Strings of 16,000,000 bytes in SUPER and expressions.")
    ] = False,
) -> None:
    """Run the stand-in for Redshift alone, for any client, until Ctrl-C."""
    isolation = Isolation.SNAPSHOT if snapshot else Isolation.SERIALIZABLE

    async def serve() -> int:
        place = directory.resolve()
        place.mkdir(parents=True, exist_ok=True)
        await redshift_alone(
            port, s3_endpoint, directory=place, isolation=isolation, large_strings=large_strings, ready=_ready
        )
        return 0

    code = 0
    try:
        code = with_termination(serve)
    except* (ChildFailedError, PostgresMissingError, OSError) as wrong:
        code = _complain(wrong)
    raise typer.Exit(code)


def _ready(dsn: str) -> None:
    typer.echo(f"The stand-in for Redshift answers: psql {dsn}")


def _complain(wrong: BaseExceptionGroup[Exception]) -> int:
    for one in _leaves(wrong):
        typer.echo(f"acequia: {one}", err=True)
    return EXIT_SETUP


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


def main() -> None:
    """The console script."""
    commands()


if __name__ == "__main__":
    main()
