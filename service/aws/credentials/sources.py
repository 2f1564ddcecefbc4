"""The three places in AWS that a login comes from: a secret, a provisioned cluster, a serverless workgroup.

Each call's sentences name the permission that it takes and the setting that it reads.
"""

import json
import math
from datetime import datetime

from service.aws.clients import AwsClient
from service.aws.credentials.logins import Fetched, KeptLogins, Login
from service.aws.faults import aws_faults
from service.core.errors import SetupError
from service.core.ports import Clock

SECRET_SECONDS_MAX = 3_600
"""A secret is read again when it is that old, even if nobody refused it."""
DURATION_SECONDS = 900
"""How long a temporary password is asked to last: the least that AWS gives, because a login needs it only once."""
MARGIN_SECONDS = 300
"""Before its end, a temporary password counts as over. AWS refuses a caller whose clock is further off than that."""


def secret_logins(client: AwsClient, secret_arn: str, *, clock: Clock) -> KeptLogins:
    """From a secret of Secrets Manager as Redshift and AWS's rotations write it (AWS: JSON structure of secrets).

    A rotation shows in a refused login: then the secret is read again.
    """

    async def fetch() -> Fetched:
        with aws_faults("secretsmanager", "call secretsmanager:GetSecretValue on ACEQUIA_WAREHOUSE_SECRET_ARN"):
            answer = await client.get_secret_value(SecretId=secret_arn)
        login = _held(answer.get("SecretString"))
        if login is None:
            raise SetupError(
                "secretsmanager: the secret of ACEQUIA_WAREHOUSE_SECRET_ARN must be JSON text with `username` and "
                "`password`"
            )
        return Fetched(login, SECRET_SECONDS_MAX, math.inf)

    advice = "check the username and password in the secret of ACEQUIA_WAREHOUSE_SECRET_ARN"
    return KeptLogins(fetch, advice=advice, clock=clock)


def cluster_logins(client: AwsClient, cluster: str, database: str, *, clock: Clock) -> KeptLogins:
    """Temporary ones of a provisioned cluster, for the user of the task's role (AWS: GetClusterCredentialsWithIAM)."""

    async def fetch() -> Fetched:
        with aws_faults("redshift", "call redshift:GetClusterCredentialsWithIAM on ACEQUIA_WAREHOUSE_CLUSTER"):
            answer = await client.get_cluster_credentials_with_iam(
                ClusterIdentifier=cluster, DbName=database, DurationSeconds=DURATION_SECONDS
            )
        login = Login(answer["DbUser"], answer["DbPassword"])
        return _temporary(login, answer["Expiration"], answer.get("NextRefreshTime"), clock.now())

    advice = "check that ACEQUIA_WAREHOUSE_CLUSTER names the cluster of ACEQUIA_WAREHOUSE_DSN"
    return KeptLogins(fetch, advice=advice, clock=clock)


def workgroup_logins(client: AwsClient, workgroup: str, database: str, *, clock: Clock) -> KeptLogins:
    """Temporary ones of a serverless workgroup, for the user of the task's role (AWS: GetCredentials)."""

    async def fetch() -> Fetched:
        with aws_faults("redshift", "call redshift-serverless:GetCredentials on ACEQUIA_WAREHOUSE_WORKGROUP"):
            answer = await client.get_credentials(
                workgroupName=workgroup, dbName=database, durationSeconds=DURATION_SECONDS
            )
        login = Login(answer["dbUser"], answer["dbPassword"])
        return _temporary(login, answer["expiration"], answer.get("nextRefreshTime"), clock.now())

    advice = "check that ACEQUIA_WAREHOUSE_WORKGROUP names the workgroup of ACEQUIA_WAREHOUSE_DSN"
    return KeptLogins(fetch, advice=advice, clock=clock)


def _temporary(login: Login, expiration: datetime, next_refresh: datetime | None, now: datetime) -> Fetched:
    valid_seconds = (expiration - now).total_seconds()
    fresh_seconds = valid_seconds - MARGIN_SECONDS
    if next_refresh is not None:
        fresh_seconds = min(fresh_seconds, (next_refresh - now).total_seconds())
    return Fetched(login, fresh_seconds, valid_seconds)


def _held(secret: object) -> Login | None:
    try:
        held = json.loads(secret) if isinstance(secret, str) else None
    except (ValueError, RecursionError):
        held = None
    match held:
        case {"username": str(user), "password": str(password)} if user and password:
            return Login(user, password)
    return None
