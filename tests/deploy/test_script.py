"""The script `deploy`: which stacks, in which order, with what. An AWS CLI that notes its calls stands in."""

from pathlib import Path

import pytest

from tests.deploy.script import IMAGE, copied, deployed, ran
from tests.deploy.templates import ENVIRONMENTS, Stack, given, stacks, template

SERVICES = {"dev": ["all"], "prod": ["land", "refine", "load", "quarantine", "land-scaling", "refine-scaling"]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stack_comes_after_those_that_it_imports_from(environment: str, tmp_path: Path) -> None:
    said, calls = ran(tmp_path, environment)
    assert said.returncode == 0, said.stderr
    made = deployed(calls)
    assert [name.removeprefix(f"acequia-{environment}-") for name in made][-len(SERVICES[environment]) :] == SERVICES[
        environment
    ]
    exported: dict[str, object] = {}
    for name, parameters in made.values():
        defaults = {one: told["Default"] for one, told in template(name)["Parameters"].items() if "Default" in told}
        stack = Stack(name, {**defaults, **parameters}, exported)
        assert stack.resources
        assert stack.refused() == []
        exported |= stack.exports
    left = {"registry", "trail", "scaling"} if environment == "dev" else {"registry"}
    assert {name for name, _ in made.values()} == stacks(environment).keys() - left


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_gives_each_stack_the_parameter_file_and_each_service_its_layer_and_image(
    environment: str, tmp_path: Path
) -> None:
    """And the template's defaults: where the CLI is told nothing, a line that was taken out would keep its value."""
    _, calls = ran(tmp_path, environment)
    for stack, (name, parameters) in deployed(calls).items():
        own = {}
        if name in ("service", "scaling"):
            own["Layer"] = stack.removeprefix(f"acequia-{environment}-").removesuffix("-scaling")
        if name in ("service", "cluster"):
            own["Image"] = IMAGE
        declared = template(name)["Parameters"].items()
        defaults = {one: str(told["Default"]) for one, told in declared if "Default" in told}
        assert parameters == {**defaults, **given(environment), **own}


def test_what_holds_data_is_protected_from_deletion(tmp_path: Path) -> None:
    _, calls = ran(tmp_path, "prod")
    protected = {call[-1] for call in calls if call[1] == "update-termination-protection"}
    assert protected == {"acequia-prod-keys", "acequia-prod-storage", "acequia-prod-queues"}


def test_one_stack_alone_and_a_preview_that_changes_nothing(tmp_path: Path) -> None:
    said, calls = ran(tmp_path, "prod", "--preview", "keys", "land")
    assert said.returncode == 0, said.stderr
    assert list(deployed(calls)) == ["acequia-prod-keys", "acequia-prod-land"]
    assert all("--no-execute-changeset" in call for call in calls if call[1] == "deploy")
    assert [call[1] for call in calls] == ["deploy", "describe-change-set", "delete-change-set"] * 2


def test_it_says_what_it_misses(tmp_path: Path) -> None:
    said, _ = ran(tmp_path, "nowhere")
    assert said.returncode == 2
    assert "usage" in said.stderr
    said, calls = ran(tmp_path, "prod", "nothing")
    assert (said.returncode, calls) == (2, [])
    assert "there is no stack nothing" in said.stderr
    said, calls = ran(tmp_path, "prod", "land", image="")
    assert (said.returncode, calls) == (2, [])
    assert "IMAGE is not set" in said.stderr


def test_what_decides_on_stacks_has_the_template_s_default_or_is_asked_for(tmp_path: Path) -> None:
    told = given("prod")
    silent = copied(tmp_path, prod={name: value for name, value in told.items() if name != "Autoscaling"})
    _, calls = ran(tmp_path, "prod", directory=silent)
    assert {"acequia-prod-land-scaling", "acequia-prod-refine-scaling"} <= deployed(calls).keys()
    silent = copied(tmp_path / "other", prod={name: value for name, value in told.items() if name != "Profile"})
    said, calls = ran(tmp_path, "prod", directory=silent)
    assert (said.returncode, calls) == (2, [])
    assert "names no Profile: small or split" in said.stderr
