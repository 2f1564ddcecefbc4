"""Settings from the environment alone: the only reader of it. Prefix `ACEQUIA_`, units in the names.

A setting that is missing or wrong raises SetupError with one line that names the variable, what it holds and what is
allowed; a secret is never shown. Relations between limits are checked here, where the limits are made.
"""

import base64
import binascii
import difflib
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.core.clock import LETTING_GO_SECONDS
from service.core.datasets import NAME
from service.core.errors import SetupError
from service.core.zones import Zone

PROJECT = Path(__file__).resolve().parents[1]
PREFIX = "ACEQUIA_"
LOCAL_PREFIX = "ACEQUIA_LOCAL_"
"""Where the one-machine stack finds its programs; the service itself never reads those."""
STOP_SECONDS_MAX = 120
"""ECS sends SIGKILL that long after SIGTERM on Fargate, at the most."""
CLOSE_SECONDS = 15
"""After a drain that came too late: cancelling, giving messages back, closing."""
LANDING_SECONDS = 60
"""What storing and announcing a batch may take on top of its age."""
KEY_BYTES_MIN = 32
MESSAGES_A_POLLER = 20
REFINE_MEMORY_A_BYTE = 8
"""Refining needs that many bytes of memory for a byte of a raw file's bodies."""

DSN_FORM = "must be postgresql://user@host:5439/database"
LOGIN_FIELDS = {
    "secret": "warehouse_secret_arn",
    "iam-cluster": "warehouse_cluster",
    "iam-serverless": "warehouse_workgroup",
}
"""What each way to log in needs, and no other way takes."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")

LayerName = Literal["land", "refine", "load", "quarantine"]
LAYERS: tuple[LayerName, ...] = ("land", "refine", "load", "quarantine")
FLOW: tuple[LayerName, ...] = LAYERS[:3]
"""The layers that records pass when all is well."""

Mebibytes = 1024 * 1024


def _layers(given: object) -> object:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else given


def _zone(given: str) -> str:
    Zone.parse("", given)
    return given


def _dataset(given: str | None) -> str | None:
    if given is not None and not NAME.fullmatch(given):
        raise ValueError("a dataset's name has lower case letters, digits and _")
    return given


def _key(given: SecretStr) -> SecretStr:
    try:
        size = len(base64.b64decode(given.get_secret_value(), validate=True))
    except binascii.Error:
        raise ValueError("must be base64") from None
    if size < KEY_BYTES_MIN:
        raise ValueError(f"must be base64 of at least {KEY_BYTES_MIN} random bytes")
    return given


def _dsn(given: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(given.get_secret_value())
        complete = parts.hostname and parts.port and parts.path.strip("/")
    except ValueError:
        complete = None
    if not complete or parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(DSN_FORM)
    return given


Dsn = Annotated[SecretStr, AfterValidator(_dsn)]
RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$")]
SecretArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:\S+$")]
ClusterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
TopicArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}$")]
WorkgroupName = Annotated[str, Field(pattern=r"^[a-z0-9-]{3,64}$")]
ZoneUri = Annotated[str, AfterValidator(_zone)]
SecretKey = Annotated[SecretStr, AfterValidator(_key)]
Seconds = Annotated[float, Field(gt=0, le=43_200)]
Items = Annotated[int, Field(ge=1, le=1_000_000)]
Bytes = Annotated[int, Field(ge=1024, le=64 * 1024 * Mebibytes)]


class Settings(BaseSettings):
    """Every setting, with its default where one is safe. Documented for operators in `docs/settings.md`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    layers: Annotated[tuple[LayerName, ...], NoDecode, BeforeValidator(_layers), Field(min_length=1)] = LAYERS
    datasets_directory: Path = PROJECT / "datasets"
    sql_directory: Path = PROJECT / "sql"

    records_queue: str = "acequia-records"
    refine_queue: str = "acequia-refine"
    load_queue: str = "acequia-load"
    records_dead_queue: str = "acequia-records-dlq"
    refine_dead_queue: str = "acequia-refine-dlq"
    load_dead_queue: str = "acequia-load-dlq"
    reprocess_queue: str = "acequia-reprocess"
    alerts_topic_arn: TopicArn | None = None
    records_dataset_default: Annotated[str | None, AfterValidator(_dataset)] = None

    raw_zone: ZoneUri
    refined_zone: ZoneUri
    errors_zone: ZoneUri

    warehouse_dsn: Dsn
    warehouse_login: Literal["password", "secret", "iam-cluster", "iam-serverless"] = "password"
    warehouse_password: SecretStr | None = None
    warehouse_secret_arn: SecretArn | None = None
    warehouse_cluster: ClusterName | None = None
    warehouse_workgroup: WorkgroupName | None = None
    warehouse_tls: Literal["verify", "off"] = "verify"
    warehouse_connections_max: Annotated[int, Field(ge=1, le=50)] = 4
    warehouse_statement_seconds_max: Annotated[int, Field(ge=10, le=86_400)] = 1_800
    copy_role_arn: RoleArn

    identity_key: SecretKey
    mask_key: SecretKey

    land_batch_records_max: Items = 50_000
    land_batch_bytes_max: Bytes = 64 * Mebibytes
    land_batch_seconds_max: Seconds = 60
    refine_batch_files_max: Items = 8
    refine_batch_bytes_max: Bytes = 256 * Mebibytes
    refine_batch_seconds_max: Seconds = 5
    load_batch_files_max: Items = 500
    load_batch_bytes_max: Bytes = 4_096 * Mebibytes
    load_batch_seconds_max: Seconds = 60
    load_copy_interval_seconds: Annotated[float, Field(ge=0, le=3_600)] = 10
    load_tables_max: Annotated[int, Field(ge=1, le=50)] = 4
    rejected_share_max: Annotated[float, Field(gt=0, le=1)] = 0.5
    refine_rejected_max: Items = 1_000
    load_rejected_max: Items = 20
    rejected_pause_seconds: Annotated[float, Field(ge=1, le=900)] = 300
    quarantine_batch_records_max: Items = 100_000
    quarantine_batch_bytes_max: Bytes = 32 * Mebibytes
    quarantine_batch_seconds_max: Seconds = 120
    mail_repeat_seconds: Annotated[float, Field(ge=60, le=86_400)] = 900
    mails_hour_max: Annotated[int, Field(ge=1, le=1_000)] = 20
    reprocess_attempts_max: Annotated[int, Field(ge=1, le=100)] = 3
    visibility_seconds: Annotated[int, Field(ge=30, le=21_600)] = 600

    poll_seconds: Annotated[int, Field(ge=1, le=20)] = 10
    land_pollers: Annotated[int, Field(ge=1, le=64)] = 4
    batches_concurrent_max: Annotated[int, Field(ge=1, le=64)] = 4
    messages_inflight_max: Annotated[int, Field(ge=100, le=110_000)] = 100_000
    memory_bytes_max: Bytes = 256 * Mebibytes
    refine_memory_bytes_max: Annotated[int, Field(ge=64 * Mebibytes)] = 1_024 * Mebibytes
    super_string_bytes_max: Annotated[int, Field(ge=1_024, le=16_000_000)] = 65_535
    refine_partitions_max: Annotated[int, Field(ge=1, le=1_000)] = 64
    uploads_concurrent_max: Annotated[int, Field(ge=1, le=256)] = 16
    threads_max: Annotated[int, Field(ge=1, le=64)] = 2
    retry_seconds_max: Seconds = 60
    drain_seconds_max: Annotated[float, Field(gt=0, le=STOP_SECONDS_MAX - CLOSE_SECONDS)] = 100

    http_host: str = "0.0.0.0"  # noqa: S104 (in a container, probes come from outside)
    http_port: Annotated[int, Field(ge=0, le=65_535)] = 9_100
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics: Literal["prometheus", "emf"] = "prometheus"
    environment: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = None

    @model_validator(mode="after")
    def _places(self) -> "Settings":
        queues: dict[str, str] = {}
        for field in (name for name in type(self).model_fields if name.endswith("_queue")):
            variable, queue = f"{PREFIX}{field.upper()}", getattr(self, field)
            if queue in queues:
                raise ValueError(
                    f"{variable} and {queues[queue]} both hold {queue!r}: each layer needs queues of its own"
                )
            queues[queue] = variable
        if len(set(self.layers)) < len(self.layers):
            raise ValueError("ACEQUIA_LAYERS names a layer twice")
        zones = [("RAW", self.raw_zone), ("REFINED", self.refined_zone), ("ERRORS", self.errors_zone)]
        for one, uri in zones:
            for other, inner in zones:
                if one != other and f"{inner.rstrip('/')}/".startswith(f"{uri.rstrip('/')}/"):
                    raise ValueError(f"ACEQUIA_{other}_ZONE holds {inner!r}: it lies inside ACEQUIA_{one}_ZONE")
        return self

    @model_validator(mode="after")
    def _relations(self) -> "Settings":
        load_waits = max(self.load_batch_seconds_max, self.load_copy_interval_seconds)
        oldest = max(
            self.land_batch_seconds_max, self.refine_batch_seconds_max, load_waits, self.quarantine_batch_seconds_max
        )
        needed = oldest + self.poll_seconds + LANDING_SECONDS
        if self.visibility_seconds < needed:
            raise ValueError(
                f"ACEQUIA_VISIBILITY_SECONDS is {self.visibility_seconds}, but the slowest batch needs {needed:.0f}: "
                "its BATCH_SECONDS_MAX + ACEQUIA_POLL_SECONDS + 60"
            )
        if self.messages_inflight_max < MESSAGES_A_POLLER * self.land_pollers:
            raise ValueError(
                f"ACEQUIA_MESSAGES_INFLIGHT_MAX is {self.messages_inflight_max}, but ACEQUIA_LAND_POLLERS = "
                f"{self.land_pollers} need {MESSAGES_A_POLLER} each: ten on their way, and ten in hand"
            )
        if self.warehouse_connections_max < self.load_tables_max:
            raise ValueError(
                f"ACEQUIA_WAREHOUSE_CONNECTIONS_MAX is {self.warehouse_connections_max}, but "
                f"ACEQUIA_LOAD_TABLES_MAX = {self.load_tables_max} tables may load side by side"
            )
        if self.refine_memory_bytes_max < REFINE_MEMORY_A_BYTE * self.land_batch_bytes_max:
            raise ValueError(
                f"ACEQUIA_REFINE_MEMORY_BYTES_MAX is {self.refine_memory_bytes_max}, but a raw file of "
                f"ACEQUIA_LAND_BATCH_BYTES_MAX = {self.land_batch_bytes_max} needs {REFINE_MEMORY_A_BYTE} times that"
            )
        if self.drain_seconds_max <= self.poll_seconds + LETTING_GO_SECONDS:
            raise ValueError(
                f"ACEQUIA_DRAIN_SECONDS_MAX is {self.drain_seconds_max:g}, but a running poll may take "
                f"ACEQUIA_POLL_SECONDS = {self.poll_seconds} and giving back {LETTING_GO_SECONDS:g}"
            )
        return self

    @model_validator(mode="after")
    def _warehouse_logins(self) -> "Settings":
        login, dsn = self.warehouse_login, urlsplit(self.warehouse_dsn.get_secret_value())
        for other, field in LOGIN_FIELDS.items():
            given, variable = getattr(self, field) is not None, f"{PREFIX}{field.upper()}"
            if other == login and not given:
                raise ValueError(f"{variable} is not set: ACEQUIA_WAREHOUSE_LOGIN = {login} needs it")
            if other != login and given:
                raise ValueError(f"{variable} is set, but only ACEQUIA_WAREHOUSE_LOGIN = {other} uses it, not {login}")
        if login == "password":
            if not dsn.username:
                raise ValueError(f"ACEQUIA_WAREHOUSE_DSN holds a secret: {DSN_FORM}")
            return self
        brings = f"ACEQUIA_WAREHOUSE_LOGIN = {login} brings its own password"
        if self.warehouse_password is not None:
            raise ValueError(f"{brings}: leave out ACEQUIA_WAREHOUSE_PASSWORD")
        if dsn.password or "password" in parse_qs(dsn.query):
            raise ValueError(f"{brings}: leave it out of ACEQUIA_WAREHOUSE_DSN, as in postgresql://host:5439/database")
        if login != "secret" and self.warehouse_tls == "off" and dsn.hostname not in LOOPBACK:
            raise ValueError(
                f"ACEQUIA_WAREHOUSE_TLS holds 'off', but ACEQUIA_WAREHOUSE_LOGIN = {login} needs verify: "
                "Redshift takes temporary passwords over TLS alone"
            )
        return self

    @property
    def warehouse_database(self) -> str:
        """The database that the DSN names."""
        return unquote(urlsplit(self.warehouse_dsn.get_secret_value()).path.removeprefix("/"))

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read and check; raises SetupError with one line for the first thing that is wrong."""
        known = {f"{PREFIX}{field.upper()}" for field in cls.model_fields}
        for variable in sorted(os.environ):
            if variable.startswith(PREFIX) and not variable.startswith(LOCAL_PREFIX) and variable not in known:
                near = difflib.get_close_matches(variable, known, n=1)
                raise SetupError(f"{variable} is not a setting" + (f": did you mean {near[0]}?" if near else ""))
        try:
            return cls()
        except ValidationError as wrong:
            raise SetupError(_sentence(wrong)) from None

    def key(self, name: Literal["identity", "mask"]) -> bytes:
        """A secret's bytes."""
        secret = self.identity_key if name == "identity" else self.mask_key
        return base64.b64decode(secret.get_secret_value())


def _sentence(wrong: ValidationError) -> str:
    errors = wrong.errors(include_url=False, include_context=False)
    first = next((error for error in errors if error["type"] == "missing"), errors[0])
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    field = str(first["loc"][0])
    variable = f"{PREFIX}{field.upper()}"
    if first["type"] == "missing":
        return f"{variable} is not set: {DESCRIPTIONS.get(field, 'see docs/settings.md')}"
    secret = "SecretStr" in str(Settings.model_fields[field].annotation)
    holds = "a secret" if secret else repr(first["input"])
    return f"{variable} holds {holds}: {message[0].lower()}{message[1:]}"


DESCRIPTIONS = {
    "raw_zone": "where raw objects go, such as s3://bank-lake-raw/events",
    "refined_zone": "where refined objects go, such as s3://bank-lake-refined/events",
    "errors_zone": "where originals of large dead letters go, such as s3://bank-lake-errors/events",
    "warehouse_dsn": "the warehouse, such as postgresql://acequia@cluster.example:5439/lake",
    "copy_role_arn": "the IAM role with which Redshift reads the refined zone",
    "identity_key": "base64 of 32 random bytes that never change: they make _record_id",
    "mask_key": "base64 of 32 random bytes for hashed columns",
}


def ecs_agent_uri() -> str | None:
    """Where ECS's agent answers inside a task; None elsewhere. ECS sets it, not the operator."""
    return os.environ.get("ECS_AGENT_URI") or None
