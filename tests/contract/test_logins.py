"""Logging in to the warehouse with what AWS gives: the real clients, a small AWS, and the Redshift stand-in."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from service.app import migrate
from service.aws.clients import AwsClient, open_client
from service.aws.credentials.logins import FETCH_INTERVAL_SECONDS_MIN, KeptLogins, Login
from service.aws.credentials.sources import (
    DURATION_SECONDS,
    MARGIN_SECONDS,
    SECRET_SECONDS_MAX,
    cluster_logins,
    secret_logins,
    workgroup_logins,
)
from service.aws.redshift import RedshiftWarehouse, open_warehouse, open_warehouse_with
from service.core.errors import AbsentError, AcequiaError, SetupError, TransientError
from service.core.ports import Statement
from service.settings import Settings
from tests.contract.places import LIMITS, RealPlace
from tests.unit.aws.clock import HandClock
from tests.unit.aws.issuer import Issued, Issuer, issuer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:redshift!lake-admin-AbCdEf"
SECRET, CLUSTER, WORKGROUP = "secretsmanager", "redshift", "redshift-serverless"
PARAMETERS = {
    SECRET: ("secretsmanager.GetSecretValue", {"SecretId": SECRET_ARN}),
    CLUSTER: (
        "GetClusterCredentialsWithIAM",
        {"ClusterIdentifier": "lake", "DbName": "acequia", "DurationSeconds": str(DURATION_SECONDS)},
    ),
    WORKGROUP: (
        "RedshiftServerless.GetCredentials",
        {"workgroupName": "lake", "dbName": "acequia", "durationSeconds": DURATION_SECONDS},
    ),
}
TEMPORARY = (CLUSTER, WORKGROUP)
OLD, NEW, NEWEST = "Sesame-Street-1", "Sesame-Street-2", "Sesame-Street-3"
WHO = Statement("who", "SELECT current_user")
stack = pytest.mark.stack


def logins_of(service: str, client: AwsClient, clock: HandClock) -> KeptLogins:
    """As `app.py` makes them."""
    if service == SECRET:
        return secret_logins(client, SECRET_ARN, clock=clock)
    make = cluster_logins if service == CLUSTER else workgroup_logins
    return make(client, "lake", "acequia", clock=clock)


def secret_of(user: str, password: str) -> dict[str, str]:
    held = {"username": user, "password": password, "engine": "redshift", "host": "lake", "port": 5439}
    return {"SecretString": json.dumps(held)}


@pytest_asyncio.fixture(loop_scope="session")
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Issuer]:
    """Where the clients of a test find AWS."""
    async with issuer() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield found


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def numbered(clock: HandClock) -> Callable[[], Awaitable[Issued]]:
    """Gives p1, p2, … for as long as AWS gives them."""
    numbers = itertools.count(1)

    async def issue() -> Issued:
        expiration = clock.now() + timedelta(seconds=DURATION_SECONDS)
        return Issued("IAMR:loader", f"p{next(numbers)}&<'", expiration, expiration)

    return issue


class TestCalls:
    @pytest.mark.parametrize("service", TEMPORARY)
    async def test_a_temporary_login_is_kept_until_shortly_before_its_end(
        self, aws: Issuer, clock: HandClock, service: str
    ) -> None:
        aws.issue = numbered(clock)
        async with open_client(service) as client:
            logins = logins_of(service, client, clock)
            assert await logins.current() == Login("IAMR:loader", "p1&<'")
            clock.seconds = DURATION_SECONDS - MARGIN_SECONDS - 1
            assert await logins.current() == Login("IAMR:loader", "p1&<'")
            clock.seconds += 1
            assert await logins.current() == Login("IAMR:loader", "p2&<'")
        assert aws.calls == [PARAMETERS[service]] * 2

    @pytest.mark.parametrize("service", TEMPORARY)
    async def test_it_is_renewed_when_aws_says_so(self, aws: Issuer, clock: HandClock, service: str) -> None:
        end = clock.now() + timedelta(seconds=DURATION_SECONDS)

        async def issue() -> Issued:
            return Issued("IAMR:loader", "p", end, clock.now() + timedelta(seconds=60))

        aws.issue = issue
        async with open_client(service) as client:
            logins = logins_of(service, client, clock)
            for seconds, calls in ((0, 1), (59, 1), (60, 2)):
                clock.seconds = seconds
                await logins.current()
                assert len(aws.calls) == calls

    async def test_a_secret_is_kept_for_its_time(self, aws: Issuer, clock: HandClock) -> None:
        async with open_client(SECRET) as client:
            logins = logins_of(SECRET, client, clock)
            for seconds, password, found in ((0, OLD, OLD), (SECRET_SECONDS_MAX - 1, NEW, OLD), (1, NEW, NEW)):
                clock.seconds += seconds
                aws.secret = secret_of("loader", password)
                assert await logins.current() == Login("loader", found)
        assert aws.calls == [PARAMETERS[SECRET]] * 2

    @pytest.mark.parametrize(
        "secret",
        [
            {},
            {"SecretBinary": "aHVzaA=="},
            {"SecretString": "hush"},
            {"SecretString": "[" * 100_000},
            {"SecretString": '"hush"'},
            {"SecretString": '{"username": "loader"}'},
            {"SecretString": '{"username": "", "password": "hush"}'},
            {"SecretString": '{"username": "loader", "password": 42}'},
        ],
    )
    async def test_a_secret_of_another_form_is_told_without_what_it_holds(
        self, aws: Issuer, clock: HandClock, secret: dict[str, str]
    ) -> None:
        aws.secret = secret
        async with open_client(SECRET) as client:
            with pytest.raises(SetupError, match=r"ACEQUIA_WAREHOUSE_SECRET_ARN must be JSON.*`password`") as raised:
                await logins_of(SECRET, client, clock).current()
        assert raised.value.__context__ is None
        assert "hush" not in str(raised.value)

    @pytest.mark.parametrize(
        ("service", "code", "kind", "sentence"),
        [
            (SECRET, "AccessDeniedException", SetupError, "not allowed to call secretsmanager:GetSecretValue on"),
            (SECRET, "ResourceNotFoundException", AbsentError, "SECRET_ARN: it does not exist in this account and reg"),
            (SECRET, "DecryptionFailure", SetupError, r"SECRET_ARN: check that setting .* \(DecryptionFailure\)"),
            (SECRET, "InvalidRequestException", SetupError, "SECRET_ARN: check that setting"),
            (CLUSTER, "AccessDenied", SetupError, "not allowed to call redshift:GetClusterCredentialsWithIAM on"),
            (CLUSTER, "ClusterNotFound", AbsentError, "ACEQUIA_WAREHOUSE_CLUSTER: it does not exist"),
            (CLUSTER, "UnsupportedOperation", SetupError, "ACEQUIA_WAREHOUSE_CLUSTER: check that setting"),
            (WORKGROUP, "AccessDeniedException", SetupError, "not allowed to call redshift-serverless:GetCredentials"),
            (WORKGROUP, "ResourceNotFoundException", AbsentError, "ACEQUIA_WAREHOUSE_WORKGROUP: it does not exist"),
            (WORKGROUP, "ValidationException", SetupError, "ACEQUIA_WAREHOUSE_WORKGROUP: check that setting"),
            (WORKGROUP, "ExpiredToken", TransientError, r"could not call .* \(ExpiredToken\)"),
        ],
    )
    async def test_what_aws_refuses_names_the_permission_and_the_setting(
        self, aws: Issuer, clock: HandClock, service: str, code: str, kind: type[AcequiaError], sentence: str
    ) -> None:
        aws.fault = code
        async with open_client(service) as client:
            with pytest.raises(kind, match=sentence):
                await logins_of(service, client, clock).current()
        assert len(aws.calls) == 1


class Database:
    """The stand-in, and users of a test's own in it."""

    def __init__(self, place: RealPlace, user: str) -> None:
        parts = urlsplit(place.dsn)
        self.dsn = f"postgresql://{parts.hostname}:{parts.port}{parts.path}"
        self.user = user
        self._owner = place.dsn

    async def execute(self, sql: str) -> None:
        connection = await asyncpg.connect(self._owner, statement_cache_size=0)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def rotate(self, password: str) -> None:
        await self.execute(f"ALTER USER \"{self.user}\" PASSWORD '{password}'")


@pytest_asyncio.fixture(loop_scope="session")
async def database(real: RealPlace) -> AsyncIterator[Database]:
    found = Database(real, f"loader_{next(real.numbers)}")
    await found.execute(f"CREATE USER \"{found.user}\" PASSWORD '{OLD}'")
    yield found
    await found.execute(f'DROP USER "{found.user}"')


async def open_new_session(warehouse: RedshiftWarehouse, held: AsyncExitStack) -> str:
    """Log in once more: the sessions before stay in use. Who it is."""
    session = await held.enter_async_context(warehouse.transaction())
    [(user,)] = await session.fetch(WHO)
    return str(user)


@stack
class TestSessions:
    async def test_a_rotated_password_is_read_again_by_itself(
        self, aws: Issuer, clock: HandClock, database: Database
    ) -> None:
        aws.secret = secret_of(database.user, OLD)
        async with (
            open_client(SECRET) as client,
            open_warehouse_with(logins_of(SECRET, client, clock), database.dsn, tls=False, limits=LIMITS) as warehouse,
            AsyncExitStack() as held,
        ):
            assert await open_new_session(warehouse, held) == database.user
            await database.rotate(NEW)
            aws.secret = secret_of(database.user, NEW)
            with pytest.raises(SetupError) as raised:
                await open_new_session(warehouse, held)
            told = str(raised.value)
            assert "(SQLSTATE 28P01): check the username and password in the secret of ACEQUIA_WAREHOUSE_SECR" in told
            assert not [secret for secret in (OLD, NEW) if secret in told]
            clock.seconds += FETCH_INTERVAL_SECONDS_MIN
            assert await open_new_session(warehouse, held) == database.user
            assert len(aws.calls) == 2

    async def test_a_secret_that_lags_behind_the_database_is_tried_once_a_login(
        self, aws: Issuer, clock: HandClock, database: Database
    ) -> None:
        aws.secret = secret_of(database.user, OLD)
        await database.rotate(NEW)
        async with (
            open_client(SECRET) as client,
            open_warehouse_with(logins_of(SECRET, client, clock), database.dsn, tls=False, limits=LIMITS) as warehouse,
            AsyncExitStack() as held,
        ):
            for calls in (1, 2, 3):
                with pytest.raises(SetupError, match="28P01"):
                    await open_new_session(warehouse, held)
                assert len(aws.calls) == calls
                clock.seconds += FETCH_INTERVAL_SECONDS_MIN
            aws.secret = secret_of(database.user, NEW)
            assert await open_new_session(warehouse, held) == database.user

    @pytest.mark.parametrize("service", TEMPORARY)
    async def test_a_connection_after_the_end_of_a_temporary_password_takes_a_new_one(
        self, aws: Issuer, clock: HandClock, database: Database, service: str
    ) -> None:
        passwords = iter((NEW, NEWEST))

        async def issue() -> Issued:
            password, expiration = next(passwords), clock.now() + timedelta(seconds=DURATION_SECONDS)
            await database.rotate(password)
            return Issued(database.user, password, expiration, expiration)

        aws.issue = issue
        async with (
            open_client(service) as client,
            open_warehouse_with(logins_of(service, client, clock), database.dsn, tls=False, limits=LIMITS) as warehouse,
            AsyncExitStack() as held,
        ):
            for seconds, calls in ((0, 1), (DURATION_SECONDS - MARGIN_SECONDS - 1, 1), (DURATION_SECONDS, 2)):
                clock.seconds = seconds
                assert await open_new_session(warehouse, held) == database.user
                assert len(aws.calls) == calls

    async def test_connections_that_open_together_make_one_call(
        self, aws: Issuer, clock: HandClock, database: Database
    ) -> None:
        aws.secret = secret_of(database.user, OLD)
        async with (
            open_client(SECRET) as client,
            open_warehouse_with(logins_of(SECRET, client, clock), database.dsn, tls=False, limits=LIMITS) as warehouse,
            AsyncExitStack() as held,
        ):
            opening = (warehouse.transaction() for _ in range(LIMITS.connections_max))
            sessions = await asyncio.gather(*(held.enter_async_context(each) for each in opening))
            assert [await each.fetch(WHO) for each in sessions] == [[(database.user,)]] * LIMITS.connections_max
        assert len(aws.calls) == 1

    async def test_a_session_of_such_a_login_has_the_loaders_settings_and_types(
        self, aws: Issuer, clock: HandClock, database: Database
    ) -> None:
        aws.secret = secret_of(database.user, OLD)
        async with (
            open_client(SECRET) as client,
            open_warehouse_with(logins_of(SECRET, client, clock), database.dsn, tls=False, limits=LIMITS) as warehouse,
        ):
            for _ in range(2):  # the second time from the pool, after its reset
                async with warehouse.transaction() as session:
                    assert await session.fetch(Statement("ask", "SHOW query_group")) == [("acequia",)]
                    [(limit,)] = await session.fetch(Statement("ask", "SHOW statement_timeout"))
                    assert limit in {"20s", "20000"}
                    [(number,)] = await session.fetch(Statement("ask", "SELECT 1.50::numeric(9,2)"))
                    assert str(number) == "1.50"

    @pytest.mark.parametrize("in_dsn", [True, False])
    async def test_a_given_password_that_is_refused_names_its_settings(
        self, database: Database, *, in_dsn: bool
    ) -> None:
        login = f"{database.user}:{NEW}" if in_dsn else database.user
        dsn = database.dsn.replace("//", f"//{login}@")
        async with open_warehouse(dsn, password=None if in_dsn else NEW, tls=False, limits=LIMITS) as warehouse:
            with pytest.raises(SetupError, match="check ACEQUIA_WAREHOUSE_DSN and ACEQUIA_WAREHOUSE_PASSW") as raised:
                await warehouse.run(WHO)
        assert NEW not in str(raised.value)
        async with (
            open_warehouse(dsn.replace(f":{NEW}", ""), password=OLD, tls=False, limits=LIMITS) as warehouse,
            warehouse.transaction() as session,
        ):
            assert await session.fetch(WHO) == [(database.user,)]

    async def test_a_warehouse_without_tls_gets_no_login(
        self, aws: Issuer, clock: HandClock, database: Database
    ) -> None:
        aws.secret = secret_of(database.user, OLD)
        async with (
            open_client(SECRET) as client,
            open_warehouse_with(logins_of(SECRET, client, clock), database.dsn, tls=True, limits=LIMITS) as warehouse,
        ):
            with pytest.raises(TransientError, match="could not connect"):
                async with warehouse.transaction():
                    pass


@stack
class TestSettings:
    """The whole way from the environment, as `acequia migrate` goes it; the stand-in's owner needs no password."""

    @pytest.mark.parametrize(
        ("login", "setting", "value", "service"),
        [
            ("secret", "SECRET_ARN", SECRET_ARN, SECRET),
            ("iam-cluster", "CLUSTER", "lake", CLUSTER),
            ("iam-serverless", "WORKGROUP", "lake", WORKGROUP),
        ],
    )
    async def test_each_way_to_log_in_asks_its_service(
        self,
        aws: Issuer,
        real: RealPlace,
        monkeypatch: pytest.MonkeyPatch,
        login: str,
        setting: str,
        value: str,
        service: str,
    ) -> None:
        async def issue() -> Issued:
            end = real.clock.now() + timedelta(seconds=DURATION_SECONDS)
            return Issued("acequia", OLD, end, end)

        aws.secret, aws.issue = secret_of("acequia", OLD), issue
        for name, given in {
            "RAW_ZONE": "s3://raw",
            "REFINED_ZONE": "s3://refined",
            "ERRORS_ZONE": "s3://errors",
            "COPY_ROLE_ARN": "arn:aws:iam::000000000000:role/copy",
            "IDENTITY_KEY": "c" * 44,
            "MASK_KEY": "c" * 44,
            "WAREHOUSE_DSN": real.dsn.replace("acequia@", ""),
            "WAREHOUSE_TLS": "off",
            "WAREHOUSE_LOGIN": login,
            f"WAREHOUSE_{setting}": value,
        }.items():
            monkeypatch.setenv(f"ACEQUIA_{name}", given)
        assert await migrate(Settings.from_environment(), dry_run=True) is not None
        assert aws.calls == [PARAMETERS[service]]
