"""Each role may do what its code calls, and nothing more; who else may take a role on, and with what."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.deploy.calls import ASKED, USES, Right, rights
from tests.deploy.templates import ENVIRONMENTS, Stack, stacks, statements

WAREHOUSE = {
    "secret": ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:loader"),
    "iam-cluster": (
        "redshift:GetClusterCredentialsWithIAM",
        "arn:aws:redshift:eu-central-1:123456789012:dbname:cluster/lake",
    ),
    "iam-serverless": (
        "redshift-serverless:GetCredentials",
        "arn:aws:redshift-serverless:eu-central-1:123456789012:workgroup/id",
    ),
}
LOGS_IN = ("load", "quarantine", "operator")
"""COPY; whether a round of reprocessing is loaded; every command that asks the warehouse."""


def given(role: str, environment: str, **changed: str) -> list[Mapping[str, Any]]:
    """The statements of the policies of a task's role."""
    made = stacks(environment, **changed)
    arns = made["roles"].of_type("AWS::IAM::Role")[f"{role.title()}Role"]["ManagedPolicyArns"]
    policies = {
        f"arn:aws:iam::123456789012:policy/{one['ManagedPolicyName']}": one["PolicyDocument"]
        for name in ("layer-policies", "policies")
        for one in made[name].of_type("AWS::IAM::ManagedPolicy").values()
    }
    return [one for arn in arns for one in statements(policies[arn])]


def allowed(role: str, environment: str, **changed: str) -> set[Right]:
    """Every action with every resource that a role's policies name."""
    found = given(role, environment, **changed)
    assert all(one["Effect"] == "Allow" for one in found)
    return {(action, resource) for one in found for action in one["Action"] for resource in one["Resource"]}


def covered(right: Right, by: set[Right]) -> bool:
    """Whether it stands there, maybe as a part of something larger, as `errors/*` covers `errors/rounds/*`."""
    return any(right[0] == action and fnmatchcase(right[1], resource) for action, resource in by)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("role", sorted(USES))
def test_a_role_has_what_its_calls_ask_for_and_nothing_more(role: str, environment: str) -> None:
    asked, has = rights(USES[role], environment), allowed(role, environment)
    has -= {one for one in has if one[0].startswith(("redshift", "secretsmanager"))}
    assert {one for one in asked if not covered(one, has)} == set(), "missing"
    assert {one for one in has if not any(covered(right, {one}) for right in asked)} == set(), "nobody needs it"


@pytest.mark.parametrize("login", sorted(WAREHOUSE))
@pytest.mark.parametrize("role", sorted(USES))
def test_who_asks_the_warehouse_logs_in_and_nobody_else(role: str, login: str) -> None:
    changed = {
        "WarehouseLogin": login,
        "WarehouseSecretArn": WAREHOUSE["secret"][1],
        "WarehouseCluster": "cluster",
        "WarehouseWorkgroupId": "id",
    }
    mine = {one for one in allowed(role, "dev", **changed) if one[0].startswith(("redshift", "secretsmanager"))}
    assert mine == ({WAREHOUSE[login]} if role in LOGS_IN else set())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_one_task_of_the_small_profile_may_do_what_the_layers_may(environment: str) -> None:
    layers = [allowed(role, environment) for role in sorted(USES) if role != "operator"]
    assert allowed("all", environment) == set().union(*layers)


@pytest.mark.parametrize("role", [*sorted(USES), "all"])
def test_keys_are_used_by_way_of_their_services_alone(role: str) -> None:
    uses = [one for one in given(role, "prod") if any(action.startswith("kms:") for action in one["Action"])]
    assert uses
    for one in uses:
        ways = one["Condition"]["StringEquals"]["kms:ViaService"]
        assert ways
        assert all(way.endswith(".eu-central-1.amazonaws.com") for way in ways)


def trusted(stack: Stack) -> dict[str, Mapping[str, Any]]:
    return {
        name: one["AssumeRolePolicyDocument"]["Statement"][0] for name, one in stack.of_type("AWS::IAM::Role").items()
    }


def test_a_tasks_role_is_for_tasks_of_this_account() -> None:
    for name, one in trusted(stacks("prod")["roles"]).items():
        assert one["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}, name
        assert one["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}, name
        assert one["Condition"]["ArnLike"]["aws:SourceArn"].startswith("arn:aws:ecs:eu-central-1:123456789012:"), name


def test_redshift_takes_its_roles_on_for_the_users_that_are_named() -> None:
    user = "arn:aws:redshift:eu-central-1:123456789012:dbuser:lake/loader"
    for one in trusted(stacks("prod", RedshiftUserArns=f"{user},{user}2")["redshift-roles"]).values():
        assert set(one["Principal"]["Service"]) == {"redshift.amazonaws.com", "redshift-serverless.amazonaws.com"}
        assert one["Condition"] == {"StringEquals": {"sts:ExternalId": [user, f"{user}2"]}}


REDSHIFT = {
    "CopyRole": ({"refined", "errors/errors"}, set()),
    "UnloadRole": ({"analytics"}, {"analytics"}),
    "SpectrumRole": ({"refined", "analytics", "errors/errors"}, set()),
}
"""What each of Redshift's roles reads, and what it writes."""


@pytest.mark.parametrize("role", sorted(REDSHIFT))
def test_redshift_reads_and_writes_what_is_masked_alone(role: str) -> None:
    policies = stacks("prod")["redshift-roles"].of_type("AWS::IAM::Role")[role]["Policies"]
    found = [one for policy in policies for one in statements(policy["PolicyDocument"])]

    def places(action: str) -> set[str]:
        arns = {arn for one in found if action in one["Action"] for arn in one["Resource"]}
        plain = {arn.removeprefix("arn:aws:s3:::acequia-prod-").removesuffix("/*") for arn in arns}
        return {one.replace("-123456789012-eu-central-1", "") for one in plain}

    assert (places("s3:GetObject"), places("s3:PutObject")) == REDSHIFT[role]
    keys = {arn for one in found for arn in one["Resource"] if ":kms:" in arn}
    assert keys <= {"arn:aws:kms:key/LakeKey", "arn:aws:kms:key/ErrorsKey"}
    for one in found:
        if "s3:ListBucket" in one["Action"] and any("-errors-" in arn for arn in one["Resource"]):
            assert one["Condition"] == {"StringLike": {"s3:prefix": ["errors/*"]}}


def test_ecs_itself_reads_the_two_secrets_the_image_and_writes_logs() -> None:
    role = stacks("prod")["roles"].of_type("AWS::IAM::Role")["ExecutionRole"]
    found = [one for policy in role["Policies"] for one in statements(policy["PolicyDocument"])]
    services = {action.partition(":")[0] for one in found for action in one["Action"]}
    assert services == {"ecr", "secretsmanager", "kms", "logs"}
    [secrets] = [one["Resource"] for one in found if "secretsmanager:GetSecretValue" in one["Action"]]
    assert secrets == ["IdentityKey.Ref", "MaskKey.Ref"]


def test_every_call_says_where_aws_tells_what_it_asks_for() -> None:
    assert all(len(one.source) > len("SQS") for one in ASKED.values())
    used = {call for uses in USES.values() for calls in uses.values() for call in calls}
    assert used == set(ASKED)
