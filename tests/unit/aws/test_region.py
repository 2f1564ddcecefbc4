"""Where a client's region comes from."""

import asyncio

import pytest

from service.aws.clients import open_client
from service.core.errors import SetupError


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but what a test gives."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


def region() -> str:
    """What a client opened now has."""

    async def opened() -> str:
        async with open_client("sqs") as client:
            return str(client.meta.region_name)

    return asyncio.run(opened())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": ""}, "eu-west-1"),
    ],
)
def test_the_environment_names_it(given: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert region() == expected


def test_without_one_the_remedy_is_told() -> None:
    with pytest.raises(SetupError, match="no AWS region: set AWS_REGION or AWS_DEFAULT_REGION"):
        region()
