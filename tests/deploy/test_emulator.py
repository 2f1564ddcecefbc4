"""The environment `dev` on emulated AWS, in the order of the script: made, updated, taken away. No task starts here;
`test_guide.py` has them.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from service.local.provision import RECEIVES_MAX
from service.settings import KEY_BYTES_MIN
from tests.deploy.emulated import Emulated, emulated
from tests.deploy.script import copied, deployed, ran
from tests.deploy.templates import given, stacks, template

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

OTHER = "repository/acequia@sha256:1"
NOT_HERE = {"S3PrefixListId": "", "WarehouseVpcId": "", "FlowLogs": "no"}
"""The emulator has no peering and no flow logs; the id of the prefix list is made up."""
Asked = Mapping[str, tuple[str, Mapping[str, str]]]


def asked(tmp_path: Path, aws: Emulated, profile: str) -> Asked:
    """What the script asks for, by stack: the template and its parameters."""
    edited = {**given("dev"), **NOT_HERE, "Profile": profile, "EmulatorEndpointUrl": aws.endpoint}
    told, calls = ran(tmp_path, "dev", directory=copied(tmp_path, dev=edited))
    assert told.returncode == 0, told.stderr
    return {
        stack: (name, {key: value for key, value in parameters.items() if key in template(name)["Parameters"]})
        for stack, (name, parameters) in deployed(calls).items()
    }


@pytest.mark.parametrize(("profile", "layer"), [("small", "all"), ("split", "refine")])
async def test_an_environment_from_nothing_to_nothing(tmp_path: Path, profile: str, layer: str) -> None:
    async with emulated(tmp_path) as aws:
        wanted = asked(tmp_path, aws, profile)
        for stack, (name, parameters) in wanted.items():
            assert (await aws.deploy(stack, name, parameters), await aws.failures(stack)) == ("CREATE_COMPLETE", [])
        await _is_as_the_templates_say(aws)
        before = await _runs(aws, layer)
        name, parameters = wanted[service := f"acequia-dev-{layer}"]
        assert await aws.deploy(service, name, {**parameters, "Image": OTHER}) == "UPDATE_COMPLETE"
        after = await _runs(aws, layer)
        assert (before[1] != after[1], before[0], after[0]) == (True, parameters["Image"], OTHER)
        with pytest.raises(ClientError, match="is imported by"):
            await aws.formation.delete_stack(StackName="acequia-dev-keys")
        for stack in reversed([*wanted]):
            await aws.delete(stack)
        assert await aws.stacks() == {}
        await _keeps_what_it_holds(aws)


async def _is_as_the_templates_say(aws: Emulated) -> None:
    """Redrive, encryption and secrets, as the services themselves tell of them. (Of buckets the emulator's
    CloudFormation keeps versions and policies, and no encryption.)
    """
    sqs, s3 = await aws.client("sqs"), await aws.client("s3")
    url = (await sqs.get_queue_url(QueueName="acequia-dev-load"))["QueueUrl"]
    told = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
    redrive = json.loads(told["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(":acequia-dev-load-dlq")
    assert int(redrive["maxReceiveCount"]) == RECEIVES_MAX
    assert ":key/" in told["KmsMasterKeyId"]
    for bucket in (await s3.list_buckets())["Buckets"]:
        policy = json.loads((await s3.get_bucket_policy(Bucket=bucket["Name"]))["Policy"])
        assert policy["Statement"][0]["Sid"] == "TlsOnly"
        versions = (await s3.get_bucket_versioning(Bucket=bucket["Name"])).get("Status")
        assert (versions == "Enabled") == (bucket["Name"].split("-")[2] in ("raw", "errors"))
    secrets = await aws.client("secretsmanager")
    for name in ("identity-key", "mask-key"):
        made = await secrets.get_secret_value(SecretId=f"acequia-dev/{name}")
        assert len(base64.b64decode(made["SecretString"], validate=True)) >= KEY_BYTES_MIN


async def _runs(aws: Emulated, layer: str) -> tuple[str, str]:
    """The image and the task definition of the service; what it is told is what the template says."""
    ecs = await aws.client("ecs")
    [service] = (await ecs.describe_services(cluster="acequia-dev", services=[f"acequia-dev-{layer}"]))["services"]
    assert (service["desiredCount"], service["status"]) == (1, "ACTIVE")
    task = await ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
    [container] = task["taskDefinition"]["containerDefinitions"]
    told = {pair["name"]: pair["value"] for pair in container["environment"]}
    wanted = stacks("dev", Layer=layer, EmulatorEndpointUrl=aws.endpoint)["service"]
    [definition] = wanted.of_type("AWS::ECS::TaskDefinition")["Task"]["ContainerDefinitions"]
    assert [pair["Name"] for pair in definition["Environment"]] == [*told]
    assert told["AWS_ENDPOINT_URL"] == aws.endpoint
    assert len(base64.b64decode(told["ACEQUIA_IDENTITY_KEY"], validate=True)) >= KEY_BYTES_MIN
    return container["image"], service["taskDefinition"]


async def _keeps_what_it_holds(aws: Emulated) -> None:
    """Zones and queues outlive their stacks."""
    sqs, s3 = await aws.client("sqs"), await aws.client("s3")
    zones = [bucket["Name"].split("-")[2] for bucket in (await s3.list_buckets())["Buckets"]]
    assert sorted(zones) == ["analytics", "errors", "raw", "refined"]
    names = [url.rpartition("/")[2] for url in (await sqs.list_queues(QueueNamePrefix="acequia-dev-"))["QueueUrls"]]
    assert len(names) == 7
