"""The warehouse's roles: made from nothing, tried by logging in as each, and the service at work as its loader."""

import asyncio
import contextlib
import itertools
import json
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from service.local.feed import messages
from service.local.postgres import OWNER
from service.local.provision import RECORDS, open_aws
from service.local.samples.loans import loan_events
from service.settings import LAYERS
from tests.stack.conftest import PROJECT, Program, Starter

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PASSWORD = "Sesame-Street-1"
ROLES = ("bi", "analyst", "loader", "spectrum", "operator")
DATASET = "loan_events"
SENT, BAD = 1_000, 10
WAIT_SECONDS_MAX = 120
COPY_ROLE = "arn:aws:iam::000000000000:role/acequia-copy"
EXTERNAL = (
    "CREATE EXTERNAL SCHEMA errors_lake FROM DATA CATALOG DATABASE 'lake_errors' IAM_ROLE 'arn:aws:iam::0:role/errors'",
    "CREATE EXTERNAL TABLE errors_lake.errors_all (error_id varchar(64)) STORED AS PARQUET LOCATION 's3://lake/errors/'",
)
CLOSED = ("REVOKE ASSUMEROLE ON ALL FROM PUBLIC FOR ALL", f"REVOKE TEMP ON DATABASE {OWNER} FROM PUBLIC")
"""What a bank's admin takes from everybody, so that only roles count."""
Environment = dict[str, str]


@dataclass(frozen=True)
class Bank:
    """The stack's environment; its users are called as their roles, without the prefix, and one has none."""

    environment: Environment

    def as_user(self, name: str) -> Environment:
        """What a process needs that logs in as that user."""
        place = self.environment["ACEQUIA_WAREHOUSE_DSN"].partition("@")[2]
        return {**self.environment, "ACEQUIA_WAREHOUSE_DSN": f"postgresql://{name}:{PASSWORD}@{place}"}

    @contextlib.asynccontextmanager
    async def connected(self, name: str = "") -> AsyncIterator[asyncpg.Connection]:
        """A connection as that user, or as the admin."""
        environment = self.as_user(name) if name else self.environment
        connection = await asyncpg.connect(environment["ACEQUIA_WAREHOUSE_DSN"], statement_cache_size=0)
        try:
            yield connection
        finally:
            await connection.close()

    async def run(self, *statements: str) -> None:
        """As the admin."""
        async with self.connected() as connection:
            for statement in statements:
                await connection.execute(statement)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """From an empty warehouse, in the order of `sql/roles/README.md`: roles, users, tables, roles again."""
    directory = tmp_path_factory.mktemp("bank")
    starter = Starter(directory)
    (directory / "definitions").mkdir()
    shutil.copy(PROJECT / "datasets" / f"{DATASET}.toml", directory / "definitions")
    try:
        arguments = ("--stack-only", "--env-file", "stack.env", "--datasets", "definitions")
        starter("local", *arguments).until("keep running")
        pairs = dict(line.split("=", 1) for line in (directory / "stack.env").read_text().splitlines())
        bank = Bank({**pairs, "ACEQUIA_LAYERS": ",".join(LAYERS)})
        asyncio.run(bank.run("DROP SCHEMA lake CASCADE", "DROP SCHEMA acequia CASCADE", *CLOSED, *EXTERNAL))
        migrate(starter, bank.environment, "--roles", "--dry-run")
        assert not any(asyncio.run(rights(bank))[:2]), "a rehearsal makes no role"
        first = migrate(starter, bank.environment, "--roles")
        assert "nobody makes tables yet" in first.lines[-1]
        made = [f"CREATE USER {name} PASSWORD '{PASSWORD}'" for name in (*ROLES, "nobody")]
        asyncio.run(bank.run(*made, *(f"GRANT ROLE acequia_{name} TO {name}" for name in ROLES)))
        migrate(starter, bank.as_user("operator"))
        again = migrate(starter, bank.environment, "--roles")
        assert "nobody makes tables yet" not in again.text
        yield bank
    finally:
        starter.stop()


def migrate(start: Starter, environment: Environment, *options: str) -> Program:
    program = start("migrate", *options, **environment)
    program.finish()
    assert program.process.returncode == 0, program.text
    return program


@pytest_asyncio.fixture
async def user(bank: Bank, request: pytest.FixtureRequest) -> AsyncIterator[asyncpg.Connection]:
    """Logged in as the user whose name the test gives; what they do is rolled back."""
    async with bank.connected(request.param) as connection:
        yield connection


LAKE = f"lake.{DATASET}"
LEDGER = f"acequia.load_ledger_{DATASET}"
COPY = "COPY {} FROM 's3://acequia-refined/m' IAM_ROLE '{}' FORMAT AS PARQUET MANIFEST"
UNLOAD = f"UNLOAD ('SELECT record_id FROM {LAKE}') TO 's3://lake/out/' IAM_ROLE '{{}}' FORMAT PARQUET"
READS = tuple(f"SELECT COUNT(*) FROM {name}" for name in (LAKE, "acequia.failures", "acequia.load_ledger"))
READS_ERRORS = "SELECT COUNT(*) FROM acequia.errors"
READS_OUTSIDE = "SELECT COUNT(*) FROM errors_lake.errors_all"
READS_MIGRATIONS = "SELECT COUNT(*) FROM acequia.schema_migrations"
INSERTS = f"INSERT INTO {LAKE} SELECT * FROM {LAKE}"
DELETES = f"DELETE FROM {LAKE} WHERE _record_id = 'x'"
WRITES = (
    INSERTS, DELETES, f"UPDATE {LAKE} SET _record_id = 'x'", f"TRUNCATE {LAKE}", f"DROP TABLE {LAKE}",
    f"ALTER TABLE {LAKE} ADD COLUMN more int", "CREATE TABLE lake.mine (a int)", "CREATE TABLE acequia.mine (a int)",
    f"CREATE VIEW lake.mine AS SELECT * FROM {LAKE}", f"LOCK {LAKE}",
)  # fmt: skip
GIVES = (
    "CREATE ROLE mine", "GRANT ROLE acequia_bi TO nobody",
    f"GRANT ASSUMEROLE ON '{COPY_ROLE}' TO nobody FOR COPY", f"CREATE USER mine PASSWORD '{PASSWORD}'",
)  # fmt: skip
TEMP = "CREATE TEMP TABLE stage (a bigint)"
SANDBOX = f"CREATE TABLE sandbox.mine AS SELECT * FROM {LAKE}"

MAY = [
    *(("bi", sql) for sql in READS),
    *(("analyst", sql) for sql in (*READS, READS_ERRORS, TEMP, SANDBOX)),
    *(("loader", sql) for sql in (READS[0], READS_ERRORS, TEMP, INSERTS, DELETES, f"LOCK {LEDGER}")),
    *(("spectrum", sql) for sql in (READS_OUTSIDE, TEMP)),
    *(("operator", sql) for sql in (*READS, READS_ERRORS, READS_MIGRATIONS, *WRITES[5:9], WRITES[4])),
]
MAY_NOT = [
    *(("bi", sql) for sql in (*WRITES, *GIVES, READS_ERRORS, READS_MIGRATIONS, READS_OUTSIDE, TEMP, SANDBOX)),
    *(("analyst", sql) for sql in (*WRITES, *GIVES, READS_MIGRATIONS, READS_OUTSIDE, f"SELECT * FROM {LEDGER}")),
    *(("loader", sql) for sql in (*WRITES[2:9], *GIVES, READS_MIGRATIONS, READS_OUTSIDE, SANDBOX)),
    *(("loader", sql) for sql in (UNLOAD.format(COPY_ROLE), COPY.format(LAKE, "arn:aws:iam::000000000000:role/other"))),
    *(("spectrum", sql) for sql in (*READS, *WRITES, *GIVES, READS_ERRORS, SANDBOX)),
    ("spectrum", "INSERT INTO errors_lake.errors_all VALUES ('x')"),
    *(("operator", sql) for sql in (*GIVES, READS_OUTSIDE, SANDBOX, UNLOAD.format(COPY_ROLE))),
    *(("nobody", sql) for sql in (*READS, *WRITES, READS_ERRORS, READS_OUTSIDE, TEMP, SANDBOX)),
]


@pytest.mark.parametrize(("user", "sql"), MAY, indirect=["user"])
async def test_a_role_may(user: asyncpg.Connection, sql: str) -> None:
    await user.execute("BEGIN")
    await user.execute(sql)
    await user.execute("ROLLBACK")


@pytest.mark.parametrize(("user", "sql"), MAY_NOT, indirect=["user"])
async def test_a_role_may_not(user: asyncpg.Connection, sql: str) -> None:
    await user.execute("BEGIN")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await user.execute(sql)
    await user.execute("ROLLBACK")


async def test_an_analyst_copies_nothing_even_into_the_sandbox(bank: Bank) -> None:
    async with bank.connected("analyst") as analyst:
        await analyst.execute("CREATE TABLE sandbox.copied (a int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="analyst does not have ASSUMEROLE permission"):
            await analyst.execute(COPY.format("sandbox.copied", COPY_ROLE))
        await analyst.execute("DROP TABLE sandbox.copied")


RIGHTS = (
    "SELECT role_name FROM svv_roles",
    "SELECT role_name, granted_role_name FROM svv_role_grants",
    "SELECT user_name, role_name FROM svv_user_grants",
    "SELECT nspname, array_to_string(nspacl, ' ') FROM pg_namespace",
    "SELECT relname, array_to_string(relacl, ' ') FROM pg_class",
    "SELECT datname, array_to_string(datacl, ' ') FROM pg_database",
    "SELECT defaclrole, defaclnamespace, array_to_string(defaclacl, ' ') FROM pg_default_acl",
)


async def test_a_second_run_changes_nothing(bank: Bank, start: Starter) -> None:
    before = await rights(bank)
    planned = migrate(start, bank.environment, "--roles", "--dry-run")
    assert "GRANT USAGE ON SCHEMA lake, acequia TO ROLE acequia_loader;" in planned.lines
    assert "CREATE ROLE acequia_loader;" not in planned.lines, "it is there"
    migrate(start, bank.environment, "--roles")
    assert await rights(bank) == before


async def test_who_may_migrate_is_covered_before_they_make_a_table(bank: Bank, start: Starter) -> None:
    await bank.run("GRANT ROLE acequia_operator TO nobody")
    planned = migrate(start, bank.environment, "--roles", "--dry-run")
    await bank.run("REVOKE ROLE acequia_operator FROM nobody")
    assert 'ALTER DEFAULT PRIVILEGES FOR USER "nobody", "operator" IN SCHEMA lake, acequia' in planned.text


async def test_a_right_that_was_taken_comes_back(bank: Bank, start: Starter) -> None:
    await bank.run("REVOKE SELECT ON acequia.failures FROM ROLE acequia_bi")
    migrate(start, bank.environment, "--roles")
    async with bank.connected("bi") as bi:
        assert await bi.fetchval("SELECT COUNT(*) FROM acequia.failures") is not None


@pytest.mark.parametrize("options", [("--roles",), ("--roles", "--dry-run")])
async def test_who_is_no_superuser_is_told_in_one_line(bank: Bank, start: Starter, options: tuple[str, ...]) -> None:
    before = await rights(bank)
    program = start("migrate", *options, **bank.as_user("operator"))
    program.finish()
    assert (program.process.returncode, len(program.lines)) == (2, 1), program.text
    assert "user operator is no superuser, and roles are made and rights given by one alone" in program.text
    assert await rights(bank) == before


async def test_the_service_works_as_its_loader_alone(bank: Bank, start: Starter, tmp_path: Path) -> None:
    """Land, refine, COPY, errors, a dataset that comes later, a replay of all of it, and a sum."""
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    shutil.copy(PROJECT / "datasets" / f"{DATASET}.toml", definitions)
    shutil.copy(PROJECT / "datasets" / f"{DATASET}.toml", definitions / "later.toml")
    changed = {"ACEQUIA_DATASETS_DIRECTORY": str(definitions)}
    operator, loader = {**bank.as_user("operator"), **changed}, {**bank.as_user("loader"), **changed}
    assert "-- table lake.later" in migrate(start, operator).lines
    worker = start("run", **loader)
    worker.until("service_started")
    async with open_aws(loader["AWS_ENDPOINT_URL"]) as aws:
        queue = await aws.queue(RECORDS)
        for name in (DATASET, "later"):
            await queue.send([one for one, _ in messages(_events(), dataset=name, records_per_message=50)])

    async with bank.connected("bi") as bi, bank.connected("analyst") as analyst:

        async def loaded() -> bool:
            return all([await bi.fetchval(f"SELECT COUNT(*) FROM lake.{n}") == SENT - BAD for n in (DATASET, "later")])

        async def quarantined() -> bool:
            return bool(await analyst.fetchval("SELECT COUNT(*) FROM acequia.errors") == 2 * BAD)

        async def replayed() -> bool:
            rows = await bi.fetch(
                "SELECT superseded_at IS NULL AS alive, CAST(SUM(inserted + replaced) AS bigint) AS rows "
                "FROM acequia.load_ledger WHERE dataset = 'later' GROUP BY 1 ORDER BY 1"
            )
            return [tuple(row) for row in rows] == [(False, SENT - BAD), (True, SENT - BAD)]

        await _until(loaded)
        await _until(quarantined)
        today = datetime.now(UTC).date().isoformat()
        days = ("--dataset", "later", "--from", today, "--to", today)
        replay = start("replay", *days, "--yes", "--rate", "6000", **operator)
        assert replay.finish() == 0, replay.text
        await _until(replayed)
        assert await loaded()
    reconcile = start("reconcile", *days, **operator)
    assert (reconcile.finish(), "It adds up." in reconcile.text) == (0, True), reconcile.text
    rehearsed = start("reprocess", "run", "--dataset", "later", "--rehearse", **operator)
    assert (rehearsed.finish(), f"{BAD} would fail again" in rehearsed.text) == (0, True), rehearsed.text
    worker.process.send_signal(signal.SIGTERM)
    assert worker.finish() == 0, worker.text
    assert "42501" not in worker.text


def _events() -> Iterator[bytes]:
    """Loan events, of which the first few lack what they need."""
    events, _ = loan_events(applications=200, events=SENT)
    for number, text in enumerate(itertools.islice(events, SENT)):
        event = json.loads(text)
        if number < BAD:
            del event["application_id"]
        yield json.dumps(event).encode()


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await holds():  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.3)


async def rights(bank: Bank) -> list[set[str]]:
    """Everything that says who may do what."""
    async with bank.connected() as admin:
        return [{str(tuple(row)) for row in await admin.fetch(sql)} for sql in RIGHTS]
