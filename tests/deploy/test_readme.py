"""The guide names what is there: files, stacks, parameters, alarms and metrics, each alarm with a first look."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PROJECT
from tests.deploy.guide import commands
from tests.deploy.templates import ECS, ENVIRONMENTS, LAYERS, alarms, given, names, stacks, template

TEXT = (ECS / "README.md").read_text(encoding="utf-8")
PROMETHEUS = ECS / "prometheus"
SCALED = ("land-scaling", "refine-scaling")


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (ECS / target).resolve().is_relative_to(PROJECT), target
        assert (ECS / target).exists(), target


def test_every_template_is_in_its_table() -> None:
    linked = {Path(target).stem for target in re.findall(r"\]\((\w[\w-]*\.yaml)\)", TEXT)}
    assert linked == {*names()}


def test_every_alarm_has_a_first_look() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `…-")]
    named = {name for row in rows for name in re.findall(r"`…-([a-z-]+)`", row)}
    siblings = {f"{queue}-letters-age" for queue in ("records", "refine", "load")}
    found = {
        one["AlarmName"].removeprefix("acequia-prod-").removeprefix(f"{layer}-")
        for layer in ("all", "quarantine")
        for one in alarms("prod", layer).values()
    }
    assert named | siblings == found


def test_parameters_that_it_names_are_there() -> None:
    taken = {name for one in names() for name in template(one).get("Parameters", {})} | {"Trail"}
    table = TEXT.split("| parameter | what |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([A-Z]\w+)`", table))
    assert len(named) > 10
    assert named <= taken


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_is_made_up_in_a_parameter_file_is_in_its_table(environment: str) -> None:
    table = TEXT.split("| parameter | what |")[1].split("\n\n")[0]
    made_up = {name for name, value in given(environment).items() if "0000000" in value or "bank.example" in value}
    assert {name for name in made_up if f"`{name}`" not in table} == set()


def test_stacks_that_it_deploys_and_deletes_are_those_of_the_script() -> None:
    steps = re.findall(r"deploy/ecs/deploy \$ENVIRONMENT ([a-z -]+)", TEXT)
    deployed = {stack for step in steps for stack in step.split()}
    assert deployed == {*names()} - {"registry", "service", "scaling", "trail"} | {"all"}
    [deleted] = re.findall(r"for stack in ([a-z -]+); do", TEXT)
    assert {*deleted.split(), "keys", "storage", "queues"} == deployed
    assert all(one in TEXT for one in (*SCALED, *LAYERS))


def test_what_is_copied_out_of_the_first_steps_is_right_for_every_environment() -> None:
    first, _, _ = TEXT.partition("### 7. Production")
    commands = [line for line in first.splitlines() if line.startswith("    ")]
    assert not [line for line in commands if re.search(r"acequia-(dev|prod)|lake-dev|10\.4\d\.", line)]


def test_rules_for_prometheus_ring_where_the_alarms_do() -> None:
    [group] = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    by_name = {one["alert"]: one for one in group["rules"]}
    embedded, plain = (stacks("prod", Metrics=how)["alarms"].resources.keys() for how in ("emf", "prometheus"))
    left_out = {name.replace("RefinePaused", "Paused").replace("LoadPaused", "Paused") for name in embedded - plain}
    assert {name.replace("DatasetPaused", "Paused") for name in by_name} == left_out
    restarts = stacks("prod")["alarms"].of_type("AWS::CloudWatch::Alarm")["Restarts"]
    assert by_name["Restarts"]["expr"].endswith(f">= {restarts['Threshold']}")
    assert not [one for one in by_name.values() if "changes(" in one["expr"]], "a new task is a new series"


def test_an_export_that_a_parameter_takes_away_is_imported_by_nobody() -> None:
    """CloudFormation would refuse the change of `Metrics`."""
    exported = [
        {name for stack in stacks("prod", Metrics=how).values() for name in stack.exports}
        for how in ("emf", "prometheus")
    ]
    assert exported[0] == exported[1]


def trust_policies() -> list[dict[str, Any]]:
    return [json.loads(one) for one in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def test_github_is_trusted_for_one_environment_of_one_repository() -> None:
    [trust] = [one["Statement"][0] for one in trust_policies() if "WebIdentity" in str(one)]
    asked = {key.rpartition(":")[2]: value for key, value in trust["Condition"]["StringEquals"].items()}
    assert asked["aud"] == "sts.amazonaws.com"
    assert re.fullmatch(r"repo:[^*]+/[^*]+:environment:[^*]+", asked["sub"])
    jobs = yaml.safe_load((PROJECT / ".github" / "workflows" / "release.yaml").read_text(encoding="utf-8"))["jobs"]
    told = TEXT.split("## Releases by GitHub")[1].split("\n## ")[0]
    assert all(f"`{job['environment']}`" in told for job in jobs.values() if "environment" in job)


def test_what_makes_a_superuser_of_the_operator_is_taken_away_again() -> None:
    """A superuser's password cannot be disabled (AWS: Redshift, CREATE USER), so that is the last."""
    told = [one.text for one in commands() if one.section.startswith("5.") and one.text.startswith(("CREATE", "ALTER"))]
    user = '"IAMR:acequia-ENV-operator"'
    about = [one for one in told if user in one]
    assert [one.partition(f"USER {user} ")[2] for one in about][1:] == ["NOCREATEUSER;", "PASSWORD DISABLE;"]
    assert re.search(r"PASSWORD '<.+>' CREATEUSER;$", about[0])


def test_a_restored_cluster_gets_its_network_and_settings_back() -> None:
    [restore] = [one.text for one in commands() if "restore-from-cluster-snapshot" in one.text]
    assert {*re.findall(r"--([a-z-]+)", restore)} >= {
        "cluster-subnet-group-name",
        "vpc-security-group-ids",
        "cluster-parameter-group-name",
        "iam-roles",
    }


def test_nothing_is_asked_for_that_no_command_before_has_set() -> None:
    """Somebody who copies the commands from the top has every variable that a command names."""
    known = {"AWS_REGION", "HOME"}
    for command in commands():
        named = {*re.findall(r"\$\{?([A-Za-z]\w*)", command.text)}
        own = {*re.findall(r"(?:^|export |\s)([A-Z_]+)=", command.text), *re.findall(r"for (\w+) in", command.text)}
        assert named <= known | own, command
        known |= own
