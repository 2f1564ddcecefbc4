"""The script `adopt`: a deleted stack around what it left behind. An AWS CLI that notes its calls stands in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from tests.deploy.script import Calls, Said, copied, run_script
from tests.deploy.templates import ECS, PSEUDO, Loader, given, names, template

LEAVE = ("keys", "logs", "queues", "registry", "storage", "trail")
DESCRIBED = ("raw zone", "errors zone", "refined and analytics zones", "queues", "logs, alerts, secrets, trail")
ANSWERS = """
case "$2 $*" in
  get-caller-identity*) echo 123456789012 ;;
  get-queue-url*) echo "https://sqs.eu-central-1.amazonaws.com/123456789012/$4" ;;
  describe-secret*) echo "arn:aws:secretsmanager:eu-central-1:123456789012:secret:$4-a1b2c3" ;;
  list-keys*) echo $KEYS ;;
  describe-key*) printf '%s\t%s\n' "$(cat "$PLACE/$4.state")" "$(cat "$PLACE/$4.description")" ;;
  create-change-set*) exit "${CODE:-0}" ;;
esac
"""


def adopt(
    tmp_path: Path, stack: str, *, twice: bool = False, code: str = "0", directory: Path = ECS
) -> tuple[Said, Calls]:
    """What came of it, where the account has our keys, one of somebody else, and one that is being deleted."""
    keys = [(f"k{number}", f"acequia prod: {one}", "Enabled") for number, one in enumerate(DESCRIBED)]
    keys += [
        ("other", "somebody's", "Enabled"),
        ("old", "acequia prod: raw zone", "Enabled" if twice else "PendingDeletion"),
    ]
    for name, description, state in keys:
        (tmp_path / f"{name}.description").write_text(description)
        (tmp_path / f"{name}.state").write_text(state)
    given = {"KEYS": " ".join(key[0] for key in keys), "PLACE": str(tmp_path), "CODE": code}
    script = str(directory / "adopt")
    return run_script(script, tmp_path, "prod", stack, answers=ANSWERS, AWS_REGION="eu-central-1", **given)


def named(node: Any) -> Iterator[str]:
    """Everything that a part of a template refers to."""
    if isinstance(node, list):
        for one in node:
            yield from named(one)
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("Ref", "Fn::GetAtt"):
                yield value if isinstance(value, str) else value[0]
            yield from named(value)


@pytest.mark.parametrize("stack", sorted({*LEAVE} - {"registry"}))
def test_what_a_stack_left_is_imported_and_nothing_else(stack: str, tmp_path: Path) -> None:
    said, calls = adopt(tmp_path, stack)
    assert said.returncode == 0, said.stderr
    [asked] = [call for call in calls if call[1] == "create-change-set"]
    told = dict(zip(asked[2::2], asked[3::2], strict=True))
    assert (told["--stack-name"], told["--change-set-type"]) == (f"acequia-prod-{stack}", "IMPORT")
    body = yaml.load(told["--template-body"], Loader)
    whole = template(stack)
    kept = {name: one for name, one in whole["Resources"].items() if one.get("DeletionPolicy") == "Retain"}
    assert body["Resources"] == kept
    assert "Outputs" not in body
    assert {*named(body["Resources"])} <= {*kept, *whole["Parameters"], *PSEUDO, "AWS::NoValue"}
    given = {one["ParameterKey"] for one in json.loads(told["--parameters"])}
    assert (
        {one for one in whole["Parameters"] if "Default" not in whole["Parameters"][one]}
        <= given
        <= {*whole["Parameters"]}
    )
    wanted = json.loads(told["--resources-to-import"])
    assert {one["LogicalResourceId"]: one["ResourceType"] for one in wanted} == {
        n: one["Type"] for n, one in kept.items()
    }
    for one in wanted:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-central-1", one["ResourceType"]).schema
        assert [f"/properties/{name}" for name in one["ResourceIdentifier"]] == schema["primaryIdentifier"]
    assert [call[1] for call in calls][-4:] == ["create-change-set", "wait", "execute-change-set", "wait"]


def test_each_is_found_by_its_name(tmp_path: Path) -> None:
    found: dict[str, str] = {}
    for stack in ("keys", "storage", "queues", "logs"):
        _, calls = adopt(tmp_path, stack)
        [asked] = [call for call in calls if call[1] == "create-change-set"]
        for one in json.loads(asked[asked.index("--resources-to-import") + 1]):
            [found[one["LogicalResourceId"]]] = one["ResourceIdentifier"].values()
    assert found["RawKey"] == "k0"
    assert found["IdentityKey"].endswith(":secret:acequia-prod/identity-key-a1b2c3")
    assert found["RawBucket"] == "acequia-prod-raw-123456789012-eu-central-1"
    assert found["LoadDeadQueue"].endswith("/acequia-prod-load-dlq")
    assert found["ServiceGroup"] == "/acequia/prod/service"


def test_names_of_a_second_region_are_found(tmp_path: Path) -> None:
    edited = copied(tmp_path, prod={**given("prod"), "NameSuffix": "-west"})
    said, calls = adopt(tmp_path, "keys", directory=edited)
    assert said.returncode == 0, said.stderr
    asked = [call[3] for call in calls if call[1] == "describe-secret"]
    assert asked == ["acequia-prod-west/identity-key", "acequia-prod-west/mask-key"]


def test_it_changes_nothing_where_it_does_not_know(tmp_path: Path) -> None:
    said, calls = adopt(tmp_path, "keys", twice=True)
    assert said.returncode == 2
    assert "k0 old" in said.stderr
    assert "create-change-set" not in [call[1] for call in calls]
    said, calls = adopt(tmp_path, "logs", code="254")
    assert (said.returncode, calls[-1][1]) == (254, "create-change-set")
    said, calls = adopt(tmp_path, "network")
    assert (said.returncode, calls) == (2, [])
    assert "usage" in said.stderr


def test_every_stack_that_leaves_something_is_known() -> None:
    leaving = {name for name in names() if any("DeletionPolicy" in one for one in template(name)["Resources"].values())}
    assert leaving == {*LEAVE}
