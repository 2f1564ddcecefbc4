"""Settings: one line for what is wrong, and no secret in it."""

import os
from base64 import b64encode

import pytest

from service.core.errors import SetupError
from service.settings import Settings

SECRET = b64encode(b"s" * 32).decode()
ENOUGH = {
    "RAW_ZONE": "s3://lake-raw/events",
    "REFINED_ZONE": "s3://lake-refined",
    "ERRORS_ZONE": "s3://lake-errors",
    "WAREHOUSE_DSN": "postgresql://acequia@cluster:5439/lake",
    "COPY_ROLE_ARN": "arn:aws:iam::123456789012:role/copy",
    "IDENTITY_KEY": SECRET,
    "MASK_KEY": SECRET,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("ACEQUIA_")]:
        monkeypatch.delenv(variable)
    for name, value in ENOUGH.items():
        monkeypatch.setenv(f"ACEQUIA_{name}", value)


def complaint() -> str:
    with pytest.raises(SetupError) as raised:
        Settings.from_environment()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_has_no_safe_default_is_enough() -> None:
    settings = Settings.from_environment()
    assert settings.layers == ("land", "refine", "load", "quarantine")
    assert settings.key("identity") == settings.key("mask") == b"s" * 32


def test_the_environment_overrides_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACEQUIA_LAYERS", "land, load")
    monkeypatch.setenv("ACEQUIA_LAND_BATCH_SECONDS_MAX", "2.5")
    monkeypatch.setenv("ACEQUIA_LOCAL_ANYTHING", "is the local stack's own")
    settings = Settings.from_environment()
    assert (settings.layers, settings.land_batch_seconds_max) == (("land", "load"), 2.5)


@pytest.mark.parametrize("variable", ["ACEQUIA_LAYERS", "ACEQUIA_HTTP_PORT", "ACEQUIA_RECORDS_DATASET_DEFAULT"])
def test_an_empty_variable_is_as_good_as_unset(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    without = Settings.from_environment()
    monkeypatch.setenv(variable, "")
    assert Settings.from_environment() == without


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("RAW_ZONE", "where raw objects go, such as s3://bank-lake-raw/events"),
        ("REFINED_ZONE", "where refined objects go, such as s3://bank-lake-refined/events"),
        ("ERRORS_ZONE", "where originals of large dead letters go, such as s3://bank-lake-errors/events"),
        ("WAREHOUSE_DSN", "the warehouse, such as postgresql://acequia@cluster.example:5439/lake"),
        ("COPY_ROLE_ARN", "the IAM role with which Redshift reads the refined zone"),
        ("IDENTITY_KEY", "base64 of 32 random bytes that never change: they make _record_id"),
        ("MASK_KEY", "base64 of 32 random bytes for hashed columns"),
    ],
)
@pytest.mark.parametrize("empty", [False, True])
def test_a_missing_setting_says_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch, name: str, sentence: str, *, empty: bool
) -> None:
    monkeypatch.delenv(f"ACEQUIA_{name}")
    if empty:
        monkeypatch.setenv(f"ACEQUIA_{name}", "")
    assert complaint() == f"ACEQUIA_{name} is not set: {sentence}"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("HTTP_PORT", "many", "holds 'many': input should be a valid integer, unable to parse string as an integer"),
        ("HTTP_PORT", "65536", "holds '65536': input should be less than or equal to 65535"),
        ("HTTP_PORT", "-1", "holds '-1': input should be greater than or equal to 0"),
        ("POLL_SECONDS", "21", "holds '21': input should be less than or equal to 20"),
        ("POLL_SECONDS", "1.5", "holds '1.5': input should be a valid integer, unable to parse string as an integer"),
        ("LAND_BATCH_SECONDS_MAX", "0", "holds '0': input should be greater than 0"),
        ("LAND_BATCH_SECONDS_MAX", "soon", "holds 'soon': input should be a valid number, unable to parse "),
        ("LAND_BATCH_RECORDS_MAX", "0", "holds '0': input should be greater than or equal to 1"),
        ("LAND_BATCH_BYTES_MAX", "1023", "holds '1023': input should be greater than or equal to 1024"),
        ("SUPER_STRING_BYTES_MAX", "1023", "holds '1023': input should be greater than or equal to 1024"),
        ("SUPER_STRING_BYTES_MAX", "16000001", "holds '16000001': input should be less than or equal to 16000000"),
        ("DRAIN_SECONDS_MAX", "0", "holds '0': input should be greater than 0"),
        ("WAREHOUSE_TLS", "maybe", "holds 'maybe': input should be 'verify' or 'off'"),
        ("LOG_LEVEL", "INFO", "holds 'INFO': input should be 'debug', 'info', 'warning' or 'error'"),
        ("METRICS", "statsd", "holds 'statsd': input should be 'prometheus' or 'emf'"),
        ("ENVIRONMENT", "prod eu", "holds 'prod eu': string should match pattern"),
        ("LAYERS", "land,lod", "holds 'lod': input should be 'land', 'refine', 'load' or 'quarantine'"),
        ("RAW_ZONE", "lake/raw", "holds 'lake/raw': a zone is written s3://bucket/prefix"),
        ("REFINED_ZONE", "https://x/y", "holds 'https://x/y': a zone is written s3://bucket/prefix"),
        ("RECORDS_DATASET_DEFAULT", "A-b", "holds 'A-b': a dataset's name has lower case letters, digits and _"),
        ("IDENTITY_KEY", "hush hush", "holds a secret: must be base64"),
        ("MASK_KEY", "aHVzaA==", "holds a secret: must be base64 of at least 32 random bytes"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"ACEQUIA_{name}", value)
    assert complaint().startswith(f"ACEQUIA_{name} {sentence}")


@pytest.mark.parametrize("name", ["IDENTITY_KEY", "MASK_KEY"])
@pytest.mark.parametrize("value", ["hush", "hush!", "húsh", "aHVzaA=="])
def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ACEQUIA_{name}", value)
    assert value not in complaint()


def test_settings_in_a_log_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACEQUIA_WAREHOUSE_PASSWORD", "hush")
    shown = repr(Settings.from_environment())
    assert not [secret for secret in ("hush", SECRET, "cluster:5439") if secret in shown]


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("ACEQUIA_RAW_ZON", "ACEQUIA_RAW_ZON is not a setting: did you mean ACEQUIA_RAW_ZONE?"),
        ("ACEQUIA_POLL_SECOND", "ACEQUIA_POLL_SECOND is not a setting: did you mean ACEQUIA_POLL_SECONDS?"),
        ("ACEQUIA_1234567890123456789", "ACEQUIA_1234567890123456789 is not a setting"),
    ],
)
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, sentence: str) -> None:
    monkeypatch.setenv(variable, "x")
    assert complaint() == sentence


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"VISIBILITY_SECONDS": "189"},
            (
                "ACEQUIA_VISIBILITY_SECONDS is 189, but the slowest batch needs 190: "
                "its BATCH_SECONDS_MAX + ACEQUIA_POLL_SECONDS + 60"
            ),
        ),
        ({"LOAD_BATCH_SECONDS_MAX": "531"}, "ACEQUIA_VISIBILITY_SECONDS is 600, but the slowest batch needs 601: "),
        ({"REFINE_BATCH_SECONDS_MAX": "531"}, "ACEQUIA_VISIBILITY_SECONDS is 600, but the slowest batch needs 601: "),
        (
            {"DRAIN_SECONDS_MAX": "18"},
            "ACEQUIA_DRAIN_SECONDS_MAX is 18, but a running poll may take ACEQUIA_POLL_SECONDS = 10 and giving back 8",
        ),
        (
            {"LAND_POLLERS": "11", "MESSAGES_INFLIGHT_MAX": "219"},
            "ACEQUIA_MESSAGES_INFLIGHT_MAX is 219, but ACEQUIA_LAND_POLLERS = 11 need 20 each: ",
        ),
        ({"LAYERS": "land,land"}, "ACEQUIA_LAYERS names a layer twice"),
        (
            {"LOAD_QUEUE": "acequia-refine"},
            "ACEQUIA_LOAD_QUEUE and ACEQUIA_REFINE_QUEUE both hold 'acequia-refine': each layer needs queues of its",
        ),
        (
            {"ERRORS_ZONE": "s3://lake-refined/errors"},
            "ACEQUIA_ERRORS_ZONE holds 's3://lake-refined/errors': it lies inside ACEQUIA_REFINED_ZONE",
        ),
        (
            {"ERRORS_ZONE": "s3://lake-refined/"},
            "ACEQUIA_ERRORS_ZONE holds 's3://lake-refined/': it lies inside ACEQUIA_REFINED_ZONE",
        ),
    ],
)
def test_limits_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], sentence: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"ACEQUIA_{name}", value)
    assert complaint().startswith(sentence)


def test_limits_that_just_fit_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACEQUIA_VISIBILITY_SECONDS", "190")
    monkeypatch.setenv("ACEQUIA_DRAIN_SECONDS_MAX", "18.5")
    assert Settings.from_environment().visibility_seconds == 190


SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:redshift!lake-admin-AbCdEf"
WITHOUT_USER = "postgresql://cluster:5439/lake%20one"
LOGINS = {
    "secret": ("WAREHOUSE_SECRET_ARN", SECRET_ARN),
    "iam-cluster": ("WAREHOUSE_CLUSTER", "lake"),
    "iam-serverless": ("WAREHOUSE_WORKGROUP", "lake"),
}


def log_in_with(monkeypatch: pytest.MonkeyPatch, login: str, **given: str) -> None:
    """All that the login needs, and what is given."""
    field, value = LOGINS[login]
    needed = {"WAREHOUSE_LOGIN": login, "WAREHOUSE_DSN": WITHOUT_USER, field: value}
    for name, setting in (needed | given).items():
        monkeypatch.setenv(f"ACEQUIA_{name}", setting)


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("dsn", [WITHOUT_USER, "postgresql://unused@cluster:5439/lake%20one"])
def test_a_login_of_aws_needs_its_own_setting_and_no_user(
    monkeypatch: pytest.MonkeyPatch, login: str, dsn: str
) -> None:
    log_in_with(monkeypatch, login, WAREHOUSE_DSN=dsn)
    settings = Settings.from_environment()
    assert (settings.warehouse_login, settings.warehouse_database) == (login, "lake one")
    field, _ = LOGINS[login]
    monkeypatch.delenv(f"ACEQUIA_{field}")
    assert complaint() == f"ACEQUIA_{field} is not set: ACEQUIA_WAREHOUSE_LOGIN = {login} needs it"


@pytest.mark.parametrize("other", LOGINS)
@pytest.mark.parametrize("login", ["password", *LOGINS])
def test_the_setting_of_another_login_is_refused(monkeypatch: pytest.MonkeyPatch, login: str, other: str) -> None:
    if login == other:
        return
    if login != "password":
        log_in_with(monkeypatch, login)
    field, value = LOGINS[other]
    monkeypatch.setenv(f"ACEQUIA_{field}", value)
    assert complaint() == f"ACEQUIA_{field} is set, but only ACEQUIA_WAREHOUSE_LOGIN = {other} uses it, not {login}"


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"WAREHOUSE_PASSWORD": "hush"}, "leave out ACEQUIA_WAREHOUSE_PASSWORD"),
        ({"WAREHOUSE_DSN": "postgresql://u:hush@cluster:5439/lake"}, "leave it out of ACEQUIA_WAREHOUSE_DSN"),
        ({"WAREHOUSE_DSN": "postgresql://cluster:5439/lake?password=hush"}, "leave it out of ACEQUIA_WAREHOUSE_DSN"),
    ],
)
def test_a_password_beside_a_login_that_brings_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, login: str, given: dict[str, str], sentence: str
) -> None:
    log_in_with(monkeypatch, login, **given)
    assert complaint().startswith(f"ACEQUIA_WAREHOUSE_LOGIN = {login} brings its own password: {sentence}")
    assert "hush" not in complaint()


@pytest.mark.parametrize("login", ["iam-cluster", "iam-serverless"])
def test_temporary_passwords_leave_the_machine_over_tls_alone(monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    log_in_with(monkeypatch, login, WAREHOUSE_TLS="off")
    assert complaint() == (
        f"ACEQUIA_WAREHOUSE_TLS holds 'off', but ACEQUIA_WAREHOUSE_LOGIN = {login} needs verify: "
        "Redshift takes temporary passwords over TLS alone"
    )
    for host in ("127.0.0.1", "localhost", "[::1]"):
        monkeypatch.setenv("ACEQUIA_WAREHOUSE_DSN", f"postgresql://{host}:5439/lake")
        assert Settings.from_environment().warehouse_tls == "off"


def test_the_login_password_needs_a_user_in_the_dsn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACEQUIA_WAREHOUSE_DSN", WITHOUT_USER)
    assert complaint() == "ACEQUIA_WAREHOUSE_DSN holds a secret: must be postgresql://user@host:5439/database"


@pytest.mark.parametrize(
    ("login", "wrong"),
    [("secret", "redshift!lake-admin"), ("iam-cluster", "lake.abc.redshift.amazonaws.com"), ("iam-serverless", "a/b")],
)
def test_a_name_of_another_form_is_refused(monkeypatch: pytest.MonkeyPatch, login: str, wrong: str) -> None:
    field, _ = LOGINS[login]
    log_in_with(monkeypatch, login, **{field: wrong})
    assert complaint().startswith(f"ACEQUIA_{field} holds {wrong!r}: string should match pattern")
