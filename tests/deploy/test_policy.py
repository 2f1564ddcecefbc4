"""What an auditor asks of every template: least rights, encryption, TLS, retention, nothing public, nothing static."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from service.local.provision import MESSAGE_BYTES_MAX, RECEIVES_MAX, RETENTION_SECONDS
from tests.deploy.templates import ECS, ENVIRONMENTS, LAYERS, Node, Stack, alarms, names, stacks, statements, template

RETAINED = {"AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"}
"""What a deleted stack leaves behind: data, and what opens it."""
NOT_RETAINED = {("network", "FlowsGroup")}
"""Notes of rejected packets: no data, and gone with the network."""
KMS_ADMINISTRATION = re.compile(r"^kms:(\*|ReEncrypt\*|GenerateDataKey\*)$")
POLICY_CHARACTERS_MAX = 6_144
"""AWS: IAM quotas, of a managed policy without white space."""
AWS_KEY_ID = re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b")


def every() -> Iterator[tuple[str, Stack]]:
    """Every template as each environment has it."""
    for environment in ENVIRONMENTS:
        for name, stack in stacks(environment).items():
            yield f"{environment} {name}", stack


def of_type(kind: str) -> list[tuple[str, Mapping[str, Node]]]:
    found = [(f"{where} {name}", one) for where, stack in every() for name, one in stack.of_type(kind).items()]
    assert found, f"no template has a {kind}"
    return found


def identity_policies() -> list[tuple[str, Node]]:
    """What roles may do, in their own policies or in managed ones."""
    managed = [(where, one["PolicyDocument"]) for where, one in of_type("AWS::IAM::ManagedPolicy")]
    inline = [
        (where, policy["PolicyDocument"])
        for where, one in of_type("AWS::IAM::Role")
        for policy in one.get("Policies", [])
    ]
    return managed + inline


def test_no_role_is_allowed_everything_of_anything() -> None:
    for where, document in identity_policies():
        for one in statements(document):
            assert one["Effect"] == "Allow", where
            assert not [action for action in one["Action"] if "*" in action], where
            tokens_only = one["Action"] == ["ecr:GetAuthorizationToken"]
            assert tokens_only or not [arn for arn in one["Resource"] if arn in ("*", "arn:aws:s3:::*")], where
            for arn in one["Resource"]:
                assert tokens_only or re.search(
                    r"acequia|Ref$|/repository|:key/|dbname|workgroup|:catalog$|FlowsGroup|log-group", arn
                ), arn


def test_managed_policies_are_not_too_long() -> None:
    for where, one in of_type("AWS::IAM::ManagedPolicy"):
        assert len(json.dumps(one["PolicyDocument"], separators=(",", ":"))) <= POLICY_CHARACTERS_MAX, where


def test_whoever_is_let_in_from_elsewhere_is_let_in_under_a_condition() -> None:
    kinds = {
        "AWS::KMS::Key": "KeyPolicy",
        "AWS::SNS::TopicPolicy": "PolicyDocument",
        "AWS::SQS::QueuePolicy": "PolicyDocument",
        "AWS::S3::BucketPolicy": "PolicyDocument",
    }
    for kind, part in kinds.items():
        for where, one in of_type(kind):
            for told in statements(one[part]) if part in one else ():
                account = told.get("Principal") == {"AWS": "arn:aws:iam::123456789012:root"}
                assert account or "Condition" in told, (where, told)
                assert told["Effect"] == "Deny" or told["Principal"] != "*", where
                if told["Effect"] == "Allow" and not account:
                    stars = [action for action in told["Action"] if "*" in action]
                    assert all(KMS_ADMINISTRATION.match(action) for action in stars), where


def test_endpoints_pass_callers_of_this_account_alone() -> None:
    for where, one in of_type("AWS::EC2::VPCEndpoint"):
        for told in statements(one["PolicyDocument"]):
            if told.get("Sid") == "ImageLayers":
                assert told["Action"] == ["s3:GetObject"]
                assert "starport-layer-bucket" in told["Resource"][0]
                continue
            [keys] = [{*condition} for condition in told["Condition"].values()]
            assert keys <= {"aws:PrincipalAccount", "aws:ResourceAccount"}, where
            assert set(told["Condition"]["StringEquals"].values()) == {"123456789012"}, where


@pytest.mark.parametrize("kind", sorted(RETAINED))
def test_data_and_keys_outlive_their_stack(kind: str) -> None:
    for name in names():
        for logical, one in template(name)["Resources"].items():
            if one["Type"] == kind and (name, logical) not in NOT_RETAINED:
                assert (one.get("DeletionPolicy"), one.get("UpdateReplacePolicy")) == ("Retain", "Retain"), logical


def test_queues() -> None:
    for where, one in of_type("AWS::SQS::Queue"):
        assert one["MessageRetentionPeriod"] == RETENTION_SECONDS, where
        assert one["MaximumMessageSize"] == MESSAGE_BYTES_MAX, where
        assert one["KmsMasterKeyId"] == "arn:aws:kms:key/MessagesKey", where


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_redrive_goes_from_each_working_queue_to_its_own_dead_letter_queue(environment: str) -> None:
    queues = stacks(environment)["queues"].of_type("AWS::SQS::Queue")
    for name in ("Records", "Refine", "Load"):
        work, dead = queues[f"{name}Queue"], queues[f"{name}DeadQueue"]
        assert work["RedrivePolicy"] == {"deadLetterTargetArn": f"{name}DeadQueue.Arn", "maxReceiveCount": RECEIVES_MAX}
        source = f"arn:aws:sqs:eu-central-1:123456789012:{work['QueueName']}"
        assert dead["RedriveAllowPolicy"] == {"redrivePermission": "byQueue", "sourceQueueArns": [source]}
        assert dead["QueueName"] == f"{work['QueueName']}-dlq"
    ends = {name for name, one in queues.items() if "RedrivePolicy" not in one}
    assert ends == {"RecordsDeadQueue", "RefineDeadQueue", "LoadDeadQueue", "ReprocessQueue"}
    nobodys = {name for name, one in queues.items() if one["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}}
    assert nobodys == {"RecordsQueue", "RefineQueue", "LoadQueue", "ReprocessQueue"}


def _denies_plain(document: Node, resource: str) -> bool:
    return any(
        one["Effect"] == "Deny"
        and one["Principal"] == "*"
        and one["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and any(resource.startswith(arn.removesuffix("*")) for arn in one["Resource"])
        for one in statements(document)
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_everything_is_reached_over_tls_alone(environment: str) -> None:
    made = stacks(environment)
    queues = made["queues"]
    covered = {
        queue: one["PolicyDocument"]
        for one in queues.of_type("AWS::SQS::QueuePolicy").values()
        for queue in one["Queues"]
    }
    for name, one in queues.of_type("AWS::SQS::Queue").items():
        arn = f"arn:aws:sqs:eu-central-1:123456789012:{one['QueueName']}"
        assert _denies_plain(covered[f"{name}.Ref"], arn) or _denies_plain(covered[f"{name}.Ref"], f"{name}.Arn"), name
    [topic] = queues.of_type("AWS::SNS::TopicPolicy").values()
    assert _denies_plain(topic["PolicyDocument"], "AlertsTopic.Ref")
    for name in ("storage", "trail"):
        policies = {
            one["Bucket"]: one["PolicyDocument"] for one in made[name].of_type("AWS::S3::BucketPolicy").values()
        }
        for bucket in made[name].of_type("AWS::S3::Bucket"):
            assert _denies_plain(policies[f"{bucket}.Ref"], f"{bucket}.Arn"), bucket
            assert _denies_plain(policies[f"{bucket}.Ref"], f"{bucket}.Arn/*"), bucket


ZONE_KEYS = {
    "RawBucket": "RawKey",
    "ErrorsBucket": "ErrorsKey",
    "RefinedBucket": "LakeKey",
    "AnalyticsBucket": "LakeKey",
}


def test_buckets_are_private_encrypted_and_have_a_lifecycle() -> None:
    for where, one in of_type("AWS::S3::Bucket"):
        [rule] = one["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["BucketKeyEnabled"] is True, where
        default = rule["ServerSideEncryptionByDefault"]
        key = ZONE_KEYS.get(where.split()[-1], "OperationsKey")
        assert default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"arn:aws:kms:key/{key}"}, where
        assert set(one["PublicAccessBlockConfiguration"].values()) == {True}, where
        assert len(one["PublicAccessBlockConfiguration"]) == 4, where
        assert one["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}, where
        rules = one["LifecycleConfiguration"]["Rules"]
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules), where
        versioned = one.get("VersioningConfiguration") == {"Status": "Enabled"}
        assert versioned == where.endswith(("RawBucket", "ErrorsBucket", "trail Bucket")), where


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_bodies_as_they_came_are_read_by_the_service_and_whom_it_names(environment: str) -> None:
    break_glass = "arn:aws:iam::123456789012:role/break-glass"
    policies = stacks(environment, RawReaderArns=break_glass)["storage"].of_type("AWS::S3::BucketPolicy")
    for bucket, what in (("Raw", "RawBucket.Arn/*"), ("Errors", "ErrorsBucket.Arn/originals/*")):
        [few] = [one for one in statements(policies[f"{bucket}Policy"]["PolicyDocument"]) if one["Sid"] == "FewReaders"]
        assert (few["Effect"], few["Principal"], few["Resource"]) == ("Deny", "*", [what])
        assert set(few["Action"]) == {"s3:GetObject", "s3:GetObjectVersion"}
        roles = {one.rpartition("-")[2] for one in few["Condition"]["StringNotLike"]["aws:PrincipalArn"][:-1]}
        assert roles == {*LAYERS, "operator"} - ({"load"} if bucket == "Raw" else set())
        assert few["Condition"]["StringNotLike"]["aws:PrincipalArn"][-1] == break_glass


def _rules(stack: str, bucket: str, **changed: str) -> list[Mapping[str, Node]]:
    found: list[Mapping[str, Node]] = stacks("prod", **changed)[stack].of_type("AWS::S3::Bucket")[bucket][
        "LifecycleConfiguration"
    ]["Rules"]
    return found


def test_what_expires_is_moved_before_and_leaves_no_version_behind() -> None:
    """AWS: S3, lifecycle. An expiry must be later than a move; in a versioned bucket it only makes an old version."""
    for where, one in of_type("AWS::S3::Bucket"):
        rules = one["LifecycleConfiguration"]["Rules"]
        expiring = [rule for rule in rules if "ExpirationInDays" in rule]
        for rule in expiring:
            moves = [move for each in rules if "Prefix" not in each for move in each.get("Transitions", [])]
            assert all(int(rule["ExpirationInDays"]) > move["TransitionInDays"] for move in moves), where
        if expiring and "VersioningConfiguration" in one:
            assert any("NoncurrentVersionExpiration" in rule for rule in rules), where
    least = template("trail")["Parameters"]["TrailRetentionDays"]["MinValue"]
    [move] = [rule["Transitions"][0]["TransitionInDays"] for rule in _rules("trail", "Bucket") if "Transitions" in rule]
    assert least > move
    assert any(rule.get("ExpiredObjectDeleteMarker") for rule in _rules("trail", "Bucket"))


def test_retention_of_zones_follows_the_parameters() -> None:
    days = {
        name: [rule for rule in one["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in rule]
        for name, one in stacks("prod", RawRetentionDays="30", ErrorsRetentionDays="15")["storage"]
        .of_type("AWS::S3::Bucket")
        .items()
    }
    assert [rule["ExpirationInDays"] for rule in days["RawBucket"]] == ["30"]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in days["ErrorsBucket"]] == [
        ("errors/", "15"),
        ("originals/", "15"),
    ]
    assert not [rule for rule in _rules("storage", "RawBucket", RawRetentionDays="30") if "Transitions" in rule]
    assert [rule for rule in _rules("storage", "RawBucket", RawRetentionDays="0") if "Transitions" in rule]
    forever = stacks("prod", RawRetentionDays="0")["storage"].of_type("AWS::S3::Bucket")["RawBucket"]
    assert not [rule for rule in forever["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in rule]
    assert template("storage")["Parameters"]["ErrorsRetentionDays"]["MinValue"] * 86_400 > RETENTION_SECONDS


def test_logs_topic_and_secrets_are_encrypted_and_logs_end() -> None:
    for where, one in of_type("AWS::Logs::LogGroup"):
        assert one["RetentionInDays"], where
        assert one["KmsKeyId"] == "arn:aws:kms:key/OperationsKey", where
    for kind in ("AWS::SNS::Topic", "AWS::SecretsManager::Secret"):
        for where, one in of_type(kind):
            assert one.get("KmsMasterKeyId", one.get("KmsKeyId")) == "arn:aws:kms:key/OperationsKey", where
    for where, one in of_type("AWS::KMS::Key"):
        assert one["EnableKeyRotation"] is True, where


def test_nothing_is_open_to_the_internet() -> None:
    for where, one in of_type("AWS::EC2::SecurityGroup"):
        for rule in [*one["SecurityGroupIngress"], *one["SecurityGroupEgress"]]:
            assert rule.get("CidrIp", "") not in ("0.0.0.0/0", "::/0"), where
            assert "CidrIpv6" not in rule, where
            assert rule["FromPort"] == rule["ToPort"], where
    public = {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::EIP"}
    assert not [name for name in names() for one in template(name)["Resources"].values() if one["Type"] in public]
    for where, one in of_type("AWS::EC2::Subnet"):
        assert one["MapPublicIpOnLaunch"] is False, where
    for where, one in of_type("AWS::ECS::Service"):
        assert one["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED", where


def test_the_port_for_metrics_is_closed_until_a_scraper_is_named() -> None:
    group = stacks("prod")["network"].of_type("AWS::EC2::SecurityGroup")["TasksGroup"]
    assert group["SecurityGroupIngress"] == []
    open_ = stacks("prod", ScraperCidr="10.9.0.0/24")["network"].of_type("AWS::EC2::SecurityGroup")["TasksGroup"]
    [rule] = open_["SecurityGroupIngress"]
    assert (rule["CidrIp"], rule["FromPort"]) == ("10.9.0.0/24", 9100)


def test_no_key_or_password_stands_in_a_template_or_a_parameter_file() -> None:
    for path in [*ECS.rglob("*.yaml"), *ECS.rglob("*.json")]:
        assert not AWS_KEY_ID.search(path.read_text()), path
    kinds = {one["Type"] for name in names() for one in template(name)["Resources"].values()}
    assert not kinds & {"AWS::IAM::AccessKey", "AWS::IAM::User"}
    for where, one in of_type("AWS::SecretsManager::Secret"):
        assert "SecretString" not in one, where


def test_the_two_secrets_are_made_once_and_stay_as_they_are() -> None:
    """An edit of this block would have CloudFormation make other values: every old record would look new."""
    for one in stacks("prod")["keys"].of_type("AWS::SecretsManager::Secret").values():
        assert one["GenerateSecretString"] == {
            "PasswordLength": 64,
            "ExcludePunctuation": True,
            "ExcludeCharacters": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
        }


@pytest.mark.parametrize("layer", LAYERS)
def test_every_alarm_tells_somebody(layer: str) -> None:
    pager = "arn:aws:sns:eu-central-1:123456789012:pager"
    for told, heard in (("", ["AlertsTopic.Ref"]), (pager, ["AlertsTopic.Ref", pager])):
        found = alarms("dev", layer, EscalationTopicArn=told)
        assert len(found) > len(LAYERS)
        for one in found.values():
            assert one["AlarmActions"] == heard, one["AlarmName"]
            assert one["TreatMissingData"] in ("notBreaching", "breaching", "missing"), one["AlarmName"]
            assert len(one["AlarmDescription"]) > 20, one["AlarmName"]


def test_the_trail_is_encrypted_checked_and_locked() -> None:
    made = stacks("prod")["trail"]
    [trail] = made.of_type("AWS::CloudTrail::Trail").values()
    assert trail["KMSKeyId"] == "arn:aws:kms:key/OperationsKey"
    assert trail["EnableLogFileValidation"] is True
    arns: list[Any] = [
        arn
        for one in trail["AdvancedEventSelectors"]
        for part in one["FieldSelectors"]
        if part["Field"] == "resources.ARN"
        for arn in part["StartsWith"]
    ]
    assert {arn.split("-")[2] for arn in arns} == {"raw", "errors", "refined", "analytics"}
    [bucket] = made.of_type("AWS::S3::Bucket").values()
    assert bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]["Mode"] == "COMPLIANCE"
