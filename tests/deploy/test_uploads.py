"""What a zone takes: the service's plain uploads and those under the zone's own key, and nothing under another."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.deploy.templates import ENVIRONMENTS, stacks, statements

HOW = "s3:x-amz-server-side-encryption"
KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"
ZONE_KEYS = {"Raw": "RawKey", "Errors": "ErrorsKey", "Refined": "LakeKey", "Analytics": "LakeKey"}
OURS = "the zone's own"

UPLOADS = [
    # what the request says of encryption → taken
    ({}, True),  # the bucket's own: how the service uploads
    ({HOW: "aws:kms", KEY: OURS}, True),  # UNLOAD … ENCRYPTED AUTO
    ({HOW: "AES256"}, False),  # UNLOAD without it
    ({HOW: "aws:kms"}, False),  # AWS's own key
    ({HOW: "aws:kms", KEY: "arn:aws:kms:key/Other"}, False),
    ({HOW: "aws:kms:dsse", KEY: OURS}, False),
]


def holds(condition: Mapping[str, Mapping[str, Any]], request: Mapping[str, str]) -> bool:
    """AWS: IAM, condition operators. A negated operator holds where its key is absent, with IfExists and without."""
    for operator, keys in condition.items():
        for key, value in keys.items():
            match operator:
                case "Null":
                    met = (key not in request) == (value == "true")
                case "StringNotEquals" | "StringNotEqualsIfExists":
                    met = request.get(key) != value
                case _:
                    raise AssertionError(operator)
            if not met:
                return False
    return True


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("zone", sorted(ZONE_KEYS))
@pytest.mark.parametrize(("said", "taken"), UPLOADS)
def test_uploads(environment: str, zone: str, said: Mapping[str, str], taken: bool) -> None:  # noqa: FBT001 (an expectation)
    policy = stacks(environment)["storage"].of_type("AWS::S3::BucketPolicy")[f"{zone}Policy"]["PolicyDocument"]
    ours = f"arn:aws:kms:key/{ZONE_KEYS[zone]}"
    request = {key: ours if value == OURS else value for key, value in said.items()}
    denials = [one for one in statements(policy) if one["Effect"] == "Deny" and "s3:PutObject" in one["Action"]]
    assert all(one["Resource"] == [f"{zone}Bucket.Arn/*"] and one["Principal"] == "*" for one in denials)
    assert not any(one["Effect"] == "Allow" for one in statements(policy))
    assert any(holds(one["Condition"], request) for one in denials) != taken


def test_who_unloads_may_learn_the_key() -> None:
    """ENCRYPTED AUTO asks the bucket for it."""
    role = stacks("prod")["redshift-roles"].of_type("AWS::IAM::Role")["UnloadRole"]
    allowed = [one for policy in role["Policies"] for one in statements(policy["PolicyDocument"])]
    assert any("s3:GetEncryptionConfiguration" in one["Action"] for one in allowed)
