"""Parameter files: nothing that no template takes, nothing missing, and the bank's four environments everywhere."""

import re

import pytest

from tests.deploy.templates import ENVIRONMENTS, given, names, stacks, template

SCRIPTS_OWN = {"Trail"}
"""Read by the script `deploy` alone: whether there is such a stack."""
SETS = {"Image", "Layer"}
"""What the script gives each stack."""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_file_names_what_templates_take(environment: str) -> None:
    taken = {name for one in names() for name in template(one).get("Parameters", {})}
    assert given(environment).keys() <= taken | SCRIPTS_OWN
    assert given(environment)["Environment"] == environment


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", names())
def test_a_template_gets_what_it_needs_and_within_what_it_allows(name: str, environment: str) -> None:
    for parameter, declared in template(name).get("Parameters", {}).items():
        if parameter in SETS:
            continue
        assert parameter in given(environment) or "Default" in declared, parameter
        value = given(environment).get(parameter, declared.get("Default"))
        assert str(value) in map(str, declared.get("AllowedValues", [value])), parameter
        if declared["Type"] == "Number":
            assert float(value) >= declared.get("MinValue", float("-inf")), parameter


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_rule_refuses_them(environment: str) -> None:
    assert {name: stack.refused() for name, stack in stacks(environment).items() if stack.refused()} == {}


def test_rules_refuse_half_of_a_choice() -> None:
    assert len(stacks("prod", WarehouseLogin="secret")["policies"].refused()) == 1
    assert len(stacks("prod", WarehouseLogin="iam-cluster", WarehouseCluster="")["policies"].refused()) == 1
    assert len(stacks("prod", WarehouseLogin="iam-serverless")["policies"].refused()) == 1
    assert len(stacks("prod", Network="existing")["network"].refused()) == 1


def test_the_same_parameter_means_the_same_everywhere() -> None:
    """Type, default and allowed values: one file serves all stacks."""
    seen: dict[str, dict[str, object]] = {}
    for name in names():
        for parameter, declared in template(name).get("Parameters", {}).items():
            if parameter in SETS:
                continue
            told = {key: declared.get(key) for key in ("Type", "Default", "AllowedValues")}
            assert seen.setdefault(parameter, told) == told, (name, parameter)
    assert seen["Environment"]["AllowedValues"] == ["sandbox", "dev", "test", "prod"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_whatever_is_imported_is_exported_once(environment: str) -> None:
    made = stacks(environment)
    exported = [name for one in made.values() for name in one.exports]
    assert len(exported) == len(set(exported))
    for one in made.values():
        assert one.resources  # resolves every import, or fails


ONE_IN_AN_ACCOUNT = {
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::SecretsManager::Secret": "Name",
}
"""What has a name that no other region of the account may use; of secrets the copies lie there."""
SUFFIX = "-west"


def once_in_an_account(**changed: str) -> set[str]:
    return {
        f"{kind} {one[name]}"
        for stack in stacks("prod", **changed).values()
        for kind, name in ONE_IN_AN_ACCOUNT.items()
        for one in stack.of_type(kind).values()
        if name in one
    }


def test_a_second_region_shares_no_name_with_the_first_and_names_what_is_its_own() -> None:
    first, second = once_in_an_account(), once_in_an_account(NameSuffix=SUFFIX)
    assert len(first) > 20
    assert len(first) == len(second)
    assert not first & second
    told = str([stack.resources for stack in stacks("prod", NameSuffix=SUFFIX).values()])
    named = set(re.findall(r":(?:role|policy)/acequia-prod-[\w-]+", told))
    known = {one.rpartition(" ")[2] for one in second}
    assert len(named) > 10
    assert {one.rpartition("/")[2] for one in named} <= known


@pytest.mark.parametrize("suffix", ["", "-west", "-2"])
@pytest.mark.parametrize("name", [name for name in names() if "NameSuffix" in template(name).get("Parameters", {})])
def test_a_suffix_is_short_and_follows_a_hyphen(name: str, suffix: str) -> None:
    pattern = template(name)["Parameters"]["NameSuffix"]["AllowedPattern"]
    assert re.fullmatch(pattern, suffix)
    assert not re.fullmatch(pattern, "west")
    assert not re.fullmatch(pattern, "-a-region-too-long")


def test_profiles_differ_in_zones_and_endpoints() -> None:
    subnets = {
        profile: len(stacks("dev", Profile=profile)["network"].of_type("AWS::EC2::Subnet"))
        for profile in ("small", "split")
    }
    assert subnets == {"small": 1, "split": 3}
    services = {
        one["ServiceName"].removeprefix("com.amazonaws.eu-central-1.")
        for one in stacks("prod")["endpoints"].of_type("AWS::EC2::VPCEndpoint").values()
    }
    assert services == {
        "s3",
        "sqs",
        "sns",
        "logs",
        "secretsmanager",
        "ecr.api",
        "ecr.dkr",
        "kms",
        "monitoring",
        "redshift",
    }
