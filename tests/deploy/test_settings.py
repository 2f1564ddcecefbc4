"""What templates tell the process: settings that it has, all that it must have, and sizes that hold what they allow."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from service.settings import CLOSE_SECONDS, PREFIX, STOP_SECONDS_MAX, Settings
from tests.deploy.templates import ENVIRONMENTS, LAYERS, alarms, stacks, template

LOGINS: Mapping[str, Mapping[str, str]] = {
    "secret": {"WarehouseSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:loader"},
    "iam-cluster": {"WarehouseCluster": "lake"},
    "iam-serverless": {"WarehouseWorkgroup": "lake-dev"},
}
FARGATE = {512: range(1_024, 4_097, 1_024), 1_024: range(2_048, 8_193, 1_024), 2_048: range(4_096, 16_385, 1_024)}
"""AWS: Fargate task sizes, CPU units → MiB."""
MIB = 1024 * 1024
PROCESS_MIB = 256
POLL_MIB = 10
SPARE = 0.2
IN_FLIGHT_MAX = 120_000
"""AWS: SQS quotas, messages of a standard queue that all consumers together hold."""


def tasks(environment: str, **changed: str) -> dict[str, Mapping[str, Any]]:
    """Task definitions by layer, and the operator's."""
    made = {
        layer: stacks(environment, Layer=layer, **changed)["service"].of_type("AWS::ECS::TaskDefinition")["Task"]
        for layer in LAYERS
    }
    return {
        **made,
        "operator": stacks(environment, **changed)["cluster"].of_type("AWS::ECS::TaskDefinition")["OperatorTask"],
    }


def container(task: Mapping[str, Any]) -> Mapping[str, Any]:
    [only] = task["ContainerDefinitions"]
    return dict(only)


def environment_of(task: Mapping[str, Any]) -> dict[str, str]:
    """What the process finds; a secret is 64 letters, as Secrets Manager makes them."""
    one = container(task)
    plain = {pair["Name"]: pair["Value"] for pair in one["Environment"]}
    secret = {pair["Name"]: "s" * 64 for pair in one.get("Secrets", [])}
    assert not plain.keys() & secret.keys()
    return {**plain, **secret}


def started(monkeypatch: pytest.MonkeyPatch, told: Mapping[str, str]) -> Settings:
    """The settings, as the process reads them at its start."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(
            name,
            value.replace("CopyRole.Arn", "arn:aws:iam::123456789012:role/copy").replace(
                "AlertsTopic.Ref", "arn:aws:sns:eu-central-1:123456789012:alerts"
            ),
        )
    return Settings.from_environment()


@pytest.mark.parametrize("login", sorted(LOGINS))
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_task_starts(environment: str, login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for layer, task in tasks(environment, WarehouseLogin=login, **LOGINS[login]).items():
        settings = started(monkeypatch, environment_of(task))
        assert settings.warehouse_login == login
        if layer not in ("all", "operator"):
            assert settings.layers == (layer,)
        assert settings.records_queue == f"acequia-{environment}-records"
        assert settings.raw_zone == f"s3://acequia-{environment}-raw-123456789012-eu-central-1"


def test_the_sdk_finds_the_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It does not look at AWS_REGION, which ECS sets by itself."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert Session().get_config_variable("region") is None
    for task in tasks("prod").values():
        with monkeypatch.context() as here:
            for name, value in environment_of(task).items():
                here.setenv(name, value)
            assert Session().get_config_variable("region") == "eu-central-1"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_makes_ids_and_masks_comes_as_a_secret(environment: str) -> None:
    for layer, task in tasks(environment).items():
        one = container(task)
        assert {pair["Name"] for pair in one["Secrets"]} == {"ACEQUIA_IDENTITY_KEY", "ACEQUIA_MASK_KEY"}, layer
        plain = {pair["Name"] for pair in one["Environment"]}
        assert not {name for name in plain if "PASSWORD" in name or name.endswith("_KEY")}, layer
        assert "AWS_ENDPOINT_URL" not in plain, layer


def test_emulators_are_told_their_address_and_the_secrets_in_another_way() -> None:
    for task in tasks("dev", EmulatorEndpointUrl="http://emulator:4566").values():
        assert "Secrets" not in container(task)
        told = environment_of(task)
        assert told["AWS_ENDPOINT_URL"] == "http://emulator:4566"
        assert told["ACEQUIA_IDENTITY_KEY"] == "{{resolve:secretsmanager:acequia-dev/identity-key}}"


@pytest.mark.parametrize("template", ["cluster", "service"])
@pytest.mark.parametrize("changed", [{"EmulatorEndpointUrl": "http://emulator:4566"}, {"WarehouseTls": "off"}])
def test_production_refuses_what_is_for_emulators(template: str, changed: Mapping[str, str]) -> None:
    assert stacks("prod")[template].refused() == []
    assert stacks("dev", **changed)[template].refused() == []
    assert len(stacks("prod", **changed)[template].refused()) == 1


def test_a_drain_ends_before_the_task_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    for layer, task in tasks("prod").items():
        stop = container(task)["StopTimeout"]
        assert stop <= STOP_SECONDS_MAX, layer
        assert started(monkeypatch, environment_of(task)).drain_seconds_max + CLOSE_SECONDS <= stop, layer


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_sizes_are_fargates_and_hold_what_the_settings_allow(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for layer, task in tasks(environment).items():
        cpu, memory = int(task["Cpu"]), int(task["Memory"])
        assert memory in FARGATE[cpu], layer
        assert 21 <= task["EphemeralStorage"]["SizeInGiB"] <= 200, layer
        settings = started(monkeypatch, environment_of(task))
        assert settings.threads_max == max(1, cpu // 1_024), layer
        assert _mebibytes(layer, settings) <= memory * (1 - SPARE), layer


def _mebibytes(layer: str, settings: Settings) -> float:
    """As the comment in service.yaml adds it up."""
    refines = layer in ("all", "refine", "operator")
    polls = settings.land_pollers if layer in ("all", "land") else 1
    return (
        PROCESS_MIB
        + 1.5 * settings.memory_bytes_max / MIB
        + POLL_MIB * polls
        + (settings.refine_memory_bytes_max / MIB * settings.threads_max if refines else 0)
    )


def test_all_tasks_of_a_layer_together_hold_fewer_messages_than_sqs_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    for layer in ("land", "refine"):
        made = stacks("prod", Layer=layer)
        most = int(made["scaling"].of_type("AWS::ApplicationAutoScaling::ScalableTarget")["Target"]["MaxCapacity"])
        settings = started(monkeypatch, environment_of(tasks("prod")[layer]))
        assert most * settings.messages_inflight_max < IN_FLIGHT_MAX, layer


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_containers_are_locked_down(environment: str) -> None:
    for layer, task in tasks(environment).items():
        one = container(task)
        assert one["User"] == "10001:10001", layer
        assert one["ReadonlyRootFilesystem"] is True, layer
        assert one["LinuxParameters"] == {"Capabilities": {"Drop": ["ALL"]}, "InitProcessEnabled": False}, layer
        assert "Privileged" not in one, layer
        assert one["MountPoints"] == [{"SourceVolume": "scratch", "ContainerPath": "/tmp", "ReadOnly": False}], layer
        assert task["Volumes"] == [{"Name": "scratch"}], layer
        assert one["LogConfiguration"]["LogDriver"] == "awslogs", layer
        log = one["LogConfiguration"]["Options"]
        assert (log["mode"], "max-buffer-size" in log) == (
            ("blocking", False) if layer == "operator" else ("non-blocking", True)
        ), layer
        assert task["TaskRoleArn"] == ("AllRole.Arn" if layer == "all" else f"{layer.title()}Role.Arn"), layer
        assert task["ExecutionRoleArn"] == "ExecutionRole.Arn", layer


@pytest.mark.parametrize("layer", LAYERS)
def test_a_service_is_probed_rolls_back_and_lets_nobody_in(layer: str) -> None:
    made = stacks("prod", Layer=layer)["service"]
    service = made.of_type("AWS::ECS::Service")["Service"]
    assert container(made.of_type("AWS::ECS::TaskDefinition")["Task"])["HealthCheck"]["Command"][:2] == [
        "CMD",
        "python",
    ]
    assert service["EnableExecuteCommand"] is False
    deployment = service["DeploymentConfiguration"]
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert (deployment["Alarms"]["Enable"], deployment["Alarms"]["Rollback"]) == (True, True)
    judges = {"refine": ["refine-paused"], "load": ["load-paused", "copy-fails"]}
    named = [f"acequia-prod-{one}" for of, several in judges.items() if layer in ("all", of) for one in several]
    assert deployment["Alarms"]["AlarmNames"] == [*([] if layer == "load" else ["Stuck.Ref"]), *named]
    alarms = stacks("prod")["alarms"].of_type("AWS::CloudWatch::Alarm").values()
    assert {*named} <= {one["AlarmName"] for one in alarms}


@pytest.mark.parametrize("layer", LAYERS)
def test_judges_speak_within_a_quarter_of_an_hour(layer: str) -> None:
    """How long ECS listens after a deployment, it computes from its alarms: slow ones would hold the release up."""
    found = {key: one for name, one in alarms("prod", layer).items() for key in (f"{name}.Ref", one["AlarmName"])}
    [service] = stacks("prod", Layer=layer)["service"].of_type("AWS::ECS::Service").values()
    judges = service["DeploymentConfiguration"]["Alarms"]["AlarmNames"]
    assert judges
    assert all(found[name]["EvaluationPeriods"] * found[name].get("Period", 300) <= 900 for name in judges)


def test_what_somebody_halted_calls_nobody() -> None:
    for layer in LAYERS:
        for told in ("yes", "no"):
            made = stacks("prod", Layer=layer, Autoscaling="no", Running=told)["service"]
            found = made.of_type("AWS::CloudWatch::Alarm")
            silenced = {name for name, one in found.items() if not one.get("ActionsEnabled", True)}
            assert silenced == (found.keys() & {"Stuck", "LoadStuck", "Gone"} if told == "no" else set()), layer
    scaled = stacks("prod", Layer="land", Autoscaling="yes", Running="no")["service"]
    assert all(one.get("ActionsEnabled", True) for one in scaled.of_type("AWS::CloudWatch::Alarm").values())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_how_many_tasks_there_are(environment: str) -> None:
    for layer in LAYERS:
        service = stacks(environment, Layer=layer, Autoscaling="yes")["service"].of_type("AWS::ECS::Service")["Service"]
        scaled = layer in ("land", "refine")
        assert service.get("DesiredCount") == (None if scaled else 1), layer
        halted = stacks(environment, Layer=layer, Autoscaling="no", Running="no")["service"]
        assert halted.of_type("AWS::ECS::Service")["Service"]["DesiredCount"] == 0, layer
        strategy = service["CapacityProviderStrategy"]
        assert all(one["Weight"] > 0 for one in strategy), "AWS: without one a provider places no tasks"
        steady = [one["Base"] for one in strategy if one["CapacityProvider"] == "FARGATE" and len(strategy) > 1]
        if "FARGATE_SPOT" not in {one["CapacityProvider"] for one in strategy}:
            continue
        assert scaled, "a COPY is not cut off, and mail is sent"
        least = template("scaling")["Mappings"]["Least"][environment][layer]
        assert steady == ([least] if environment == "prod" else []), layer
