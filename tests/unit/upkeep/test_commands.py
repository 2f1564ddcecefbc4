"""The commands as an operator types them: what they print, and how they end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner, Result

from service.commands.reconcile import reconcile_command
from service.commands.replay import replay_command
from service.core.errors import TransientError
from service.core.zones import Zone
from service.settings import Settings
from service.upkeep.tools import Tools
from tests.fakes.journal import Away
from tests.fakes.queue import EPOCH
from tests.fakes.time import run_virtual
from tests.fakes.world import KEY, World, event, live
from tests.unit.upkeep.bed import TODAY, raw_uris, tools

RANGE = ("--dataset", "events", "--from", TODAY, "--to", TODAY)
ENVIRONMENT = {
    "ACEQUIA_RAW_ZONE": "s3://raw",
    "ACEQUIA_REFINED_ZONE": "s3://refined",
    "ACEQUIA_ERRORS_ZONE": "s3://errors",
    "ACEQUIA_WAREHOUSE_DSN": "postgresql://nobody@localhost:5439/none",
    "ACEQUIA_COPY_ROLE_ARN": "arn:aws:iam::123456789012:role/copy",
    "ACEQUIA_IDENTITY_KEY": KEY,
    "ACEQUIA_MASK_KEY": KEY,
}
Acequia = Callable[..., Result]


class StandingClock:
    """An hour after the epoch, whatever is waited for: commands run in a loop of their own, on real time."""

    def monotonic(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(hours=1)

    async def sleep(self, seconds: float) -> None:
        return


@pytest.fixture
def acequia(world: World) -> Acequia:
    """Runs the command line in a world where two raw files were landed and loaded; `before` spoils it."""

    async def fill() -> None:
        world.open()
        for number in range(2):
            world.send(event(number))
            await live(world, lambda: not len(world.queues["records"]), layers=("land",))
        await live(world)

    @asynccontextmanager
    async def opening(settings: Settings) -> AsyncIterator[Tools]:
        found = tools(world)
        yield replace(found, clock=StandingClock(), raw=Zone.parse("raw", settings.raw_zone))

    commands = typer.Typer(pretty_exceptions_enable=False)
    commands.command("replay")(replay_command(opening))
    commands.command("reconcile")(reconcile_command(opening))

    def run(*words: str, before: Callable[[World], None] = lambda _: None) -> Result:
        run_virtual(fill())
        before(world)
        return CliRunner().invoke(commands, words, env=ENVIRONMENT)

    return run


def lines(result: Result) -> list[list[str]]:
    return [line.split() for line in result.stdout.splitlines()]


def test_a_dry_run_tells_what_it_would_take(acequia: Acequia, world: World) -> None:
    result = acequia("replay", *RANGE, "--dry-run")
    assert result.exit_code == 0
    [day] = [line for line in lines(result) if line[:1] == [TODAY]]
    assert day[:2] == [TODAY, "2"]
    assert day[3:] == ["2", "0"]
    assert "expected minutes: 1.0 to 60.0 (sending alone: 0.0, at 60 files a minute)\n" in result.stdout
    assert not len(world.queues["refine"])


def test_a_replay_asks_nobody_where_nobody_is(acequia: Acequia, world: World) -> None:
    result = acequia("replay", *RANGE)
    assert (result.exit_code, result.stderr) == (2, "acequia: nobody is there to be asked: say --yes\n")
    assert not len(world.queues["refine"])


def test_a_replay_sends_and_counts(acequia: Acequia, world: World) -> None:
    result = acequia("replay", *RANGE, "--yes", "--rate", "120")
    assert result.exit_code == 0
    assert "2 sent, 0 replayed already, 0 refused." in result.stdout
    assert len(world.queues["refine"]) == 2


def test_a_file_that_cannot_be_replayed_is_named(acequia: Acequia) -> None:
    def spoil(world: World) -> None:
        world.store.objects[raw_uris(world)[0]] = b"no Parquet"

    result = acequia("replay", *RANGE, "--yes", before=spoil)
    assert result.exit_code == 1
    assert "it is not readable as Parquet" in " ".join(result.stdout.split())
    assert "1 sent, 0 replayed already, 1 refused." in result.stdout


def test_what_stopped_half_way_says_how_to_go_on(acequia: Acequia, world: World) -> None:
    def interrupt(world: World) -> None:
        def before(effect: str) -> None:
            if effect.startswith("refine send") and len(world.queues["refine"]) == 1:
                raise KeyboardInterrupt

        world.journal.before = before

    result = acequia("replay", *RANGE, "--yes", "--since", "2026-01-01T09:00:00+00:00", before=interrupt)
    assert result.exit_code == 130
    again = f"acequia replay --dataset events --from {TODAY} --to {TODAY} --rate 60 --since 2026-01-01T09:00:00+00:00"
    assert f"To go on: {again}" in result.stderr
    assert len(world.queues["refine"]) == 1


def test_a_dependency_that_is_down_is_told_with_how_to_go_on(acequia: Acequia) -> None:
    def cut(world: World) -> None:
        world.journal.before = Away("refine send", "sqs", times=1)

    result = acequia("replay", *RANGE, "--yes", before=cut)
    assert result.exit_code == 2
    assert f"acequia: {TransientError('sqs', 'it is away')}\n" in result.stderr
    assert "To go on: acequia replay --dataset events" in result.stderr


OF_ERRORS = (
    "--dataset errors: error files are made of dead letters, not of raw files. What load refused of them goes back by: "
    "acequia reprocess run --dataset errors"
)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("replay", *RANGE[:-1], "2025-12-31"),
            "--from 2026-01-01 is after --to 2025-12-31: give the earlier day first",
        ),
        (("reconcile", *RANGE[:-1], "soon"), "--to 'soon' is no date: write it as 2026-01-31"),
        (("replay", "--dataset", "x", *RANGE[2:]), "--dataset 'x' is not defined; there are events"),
        (("reconcile", "--dataset", "x", *RANGE[2:]), "--dataset 'x' is not defined; there are events"),
        (("replay", "--dataset", "errors", *RANGE[2:]), OF_ERRORS),
        (("reconcile", "--dataset", "errors", *RANGE[2:], "--repair"), OF_ERRORS),
        (
            ("reconcile", "--dataset", "events", "--from", "2025-01-01", "--to", "2025-01-02"),
            "nothing of dataset 'events' arrived from 2025-01-01 to 2025-01-02",
        ),
        (("replay", *RANGE, "--since", "noon"), "--since 'noon' is no moment: write it as 2026-01-31T12:00:00+00:00"),
    ],
)
def test_bad_input_gets_one_sentence(acequia: Acequia, words: tuple[str, ...], sentence: str) -> None:
    result = acequia(*words)
    assert (result.exit_code, result.stderr) == (2, f"acequia: {sentence}\n")


def test_minutes_beyond_all_time_are_refused_as_an_option_is(acequia: Acequia) -> None:
    result = acequia("reconcile", *RANGE, "--in-flight-minutes", "1e300")
    assert result.exit_code == 2
    assert "--in-flight-minutes" in result.stderr
    assert "Traceback" not in result.stderr


def test_what_adds_up_says_so(acequia: Acequia) -> None:
    result = acequia("reconcile", *RANGE)
    assert [TODAY, *["2", "2", "2", "2", "2", "2", "0", "2", "0", "0", "2"]] in lines(result)
    assert result.stdout.endswith("It adds up.\n")
    assert result.exit_code == 0


def test_what_does_not_add_up_is_flagged_and_mended(acequia: Acequia, world: World) -> None:
    def lose(world: World) -> None:
        for uri in [uri for uri in world.store.objects if uri.startswith("s3://refined/")]:
            del world.store.objects[uri]
        world.warehouse = type(world.warehouse)(world.journal, world.store, world.datasets.values())

    result = acequia("reconcile", *RANGE, "--repair", before=lose)
    assert result.exit_code == 1
    assert f"{TODAY}  DIFFERS    2 records, 2 files: no refined file and no rejection" in result.stdout
    assert all(f"{'':23}{uri}\n" in result.stdout for uri in raw_uris(world))
    assert "2 raw files announced to refine again: run reconcile again when they are through" in result.stdout
    assert "It does not add up: see DIFFERS." in result.stdout
    assert len(world.queues["refine"]) == 2


def test_differences_that_are_explained_add_up(acequia: Acequia) -> None:
    result = acequia("reconcile", *RANGE, before=lambda world: world.store.objects.pop(raw_uris(world)[0]) and None)
    assert f"{TODAY}  explained  1 records, 1 files: the raw file is gone" in result.stdout
    assert result.stdout.endswith("It adds up: what differs is explained.\n")
    assert result.exit_code == 0


@pytest.mark.parametrize("body", [b"no Parquet", b""])
def test_an_error_file_that_cannot_be_read_is_named(acequia: Acequia, body: bytes) -> None:
    uri = f"s3://errors/errors/dt={TODAY}/20260101T000000000Z-0123456789abcdef.0123456789ab.parquet"
    result = acequia("reconcile", *RANGE, before=lambda world: world.store.objects.update({uri: body}))
    sentence = f"acequia: {uri} cannot be read as an error file: restore it, or move it away\n"
    assert (result.exit_code, result.stderr) == (2, sentence)


def test_dead_letters_that_nobody_has_read_yet_are_told_of(acequia: Acequia) -> None:
    def lose(world: World) -> None:
        run_virtual(world.queues["refine-dlq"].send([*world.queues["records"].sent.values()]))

    result = acequia("reconcile", *RANGE, before=lose)
    assert "dead letters that wait for the quarantine layer, of all datasets: land 0, refine 2" in result.stdout
