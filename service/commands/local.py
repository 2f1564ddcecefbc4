"""`acequia local`, `send` and `redshift`: the whole thing on one machine, for people and for tests.

They need what the extra `local` installs; the container's image has none of it, and these verbs neither.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.commands.ending import complain
from service.core.errors import SetupError, TransientError
from service.local.emulator import EmulatorMissingError
from service.local.postgres import PostgresMissingError
from service.local.processes import ChildFailedError
from service.local.provision import RECORDS
from service.local.redshift.alone import redshift_alone
from service.local.redshift.server import Isolation
from service.local.run import SAMPLE_DATASET, Options, run_local, with_termination
from service.local.send import send_file
from service.settings import FLOW, PROJECT

REPORT_COLUMNS = 120
"""Where output is no terminal: wide enough for the analyst's tables."""


def add_to(commands: typer.Typer) -> None:
    """Add the verbs."""
    commands.command()(local)
    commands.command()(send)
    commands.command()(redshift)


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
        code = complain(wrong)
    raise typer.Exit(code)


def send(
    *,
    file: Annotated[
        Path | None, typer.Argument(help="NDJSON, plain or gzip; else sample events.", exists=True, dir_okay=False)
    ] = None,
    endpoint: Annotated[str, typer.Option(envvar="AWS_ENDPOINT_URL", help="Where the local stack's AWS answers.")],
    dataset: Annotated[str, typer.Option(help="The dataset that the records belong to.")] = SAMPLE_DATASET,
    records_per_message: Annotated[int, typer.Option(min=1, max=10_000, help="Records in one SQS message.")] = 50,
) -> None:
    """Send a file's records to a local stack that runs (acequia local --stay, or compose.yaml)."""
    code = 0
    try:
        sending = send_file(file, endpoint=endpoint, dataset=dataset, records_per_message=records_per_message)
        typer.echo(f"{asyncio.run(sending):,} records sent to {RECORDS}")
    except* (SetupError, TransientError) as wrong:
        code = complain(wrong)
    raise typer.Exit(code)


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
        code = complain(wrong)
    raise typer.Exit(code)


def _ready(dsn: str) -> None:
    typer.echo(f"The stand-in for Redshift answers: psql {dsn}")
