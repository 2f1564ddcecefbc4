"""The guide names what is there: files, stacks, parameters, alarms and metrics, each alarm with a first look."""

import re
from pathlib import Path

import pytest

from service.settings import PROJECT
from tests.deploy.templates import ECS, ENVIRONMENTS, LAYERS, given, names, stacks, template

TEXT = (ECS / "README.md").read_text(encoding="utf-8")
SCALED = ("land-scaling", "refine-scaling")


def alarms() -> set[str]:
    """What every alarm's name ends with, as the guide writes it."""
    made = stacks("prod", Layer="land")
    found = {
        one["AlarmName"].removeprefix("acequia-prod-").removeprefix("land-")
        for stack in made.values()
        for one in stack.of_type("AWS::CloudWatch::Alarm").values()
    }
    assert len(found) > len(LAYERS)
    return found


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
    assert named | siblings == alarms()


def test_metrics_that_it_names_are_there() -> None:
    known = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")
    found = set(re.findall(r"acequia_[a-z_]+(?:_total|_paused)\b", TEXT))
    assert len(found) >= 3
    assert [name for name in found if f"`{name}`" not in known] == []


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
    assert deployed == {*names()} - {"registry", "service", "scaling", "trail"}
    [deleted] = re.findall(r"for stack in ([a-z -]+); do", TEXT)
    assert {*deleted.split(), "keys", "storage", "queues"} == deployed | {"all"}
    assert all(one in TEXT for one in (*SCALED, *LAYERS))
