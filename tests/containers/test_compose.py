"""compose.yaml: the images that it names and their users, mounts and limits, and settings that the service has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import LAYERS, PREFIX, PROJECT, Settings
from tests.containers.container import SMALL, STOP_SECONDS

FILE = PROJECT / "compose.yaml"
PLACE = "/stack"
"""Where the local stack writes what the layers need to find it."""


def services() -> dict[str, Any]:
    """As Compose reads them: anchors put in, the variables' dollars still doubled."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


def dockerfile(service: dict[str, Any]) -> str:
    """The text of what its image is built from."""
    build = service["build"]
    build = {"context": build} if isinstance(build, str) else build
    file: Path = PROJECT / build["context"] / build.get("dockerfile", "Dockerfile")
    return file.read_text(encoding="utf-8")


def test_there_is_a_service_a_layer_beside_the_stack() -> None:
    assert services().keys() == {*LAYERS, "stack", "send"}
    assert [services()[layer]["environment"]["LAYER"] for layer in LAYERS] == [*LAYERS]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_confined_as_in_production(layer: str) -> None:
    one = services()[layer]
    assert (one["image"], one["read_only"], one["tmpfs"]) == ("acequia", True, ["/tmp"])
    assert (one["cap_drop"], one["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert one["mem_limit"] == "512m"
    assert one["stop_grace_period"] == f"{STOP_SECONDS}s"
    assert "user" not in one, "the image has its own"
    assert re.search(r"^USER 10001:10001$", dockerfile(one), re.MULTILINE)
    assert 'VOLUME ["/tmp"]' in dockerfile(one)
    assert one["volumes"] == [f"stack:{PLACE}:ro"]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_has_the_settings_of_half_a_gibibyte(layer: str) -> None:
    told = {key: str(value) for key, value in services()[layer]["environment"].items() if key.startswith(PREFIX)}
    assert told.items() <= SMALL.items()
    assert {name.removeprefix(PREFIX).lower() for name in told} <= Settings.model_fields.keys()


@pytest.mark.parametrize("layer", LAYERS)
def test_the_process_of_a_layer_gets_sigterm(layer: str) -> None:
    *shell, script = services()[layer]["entrypoint"]
    assert shell == ["sh", "-c"]
    assert script.replace("$$", "$").split(" && ")[-2:] == ["ACEQUIA_LAYERS=$LAYER", "exec acequia run"]
    assert f". {PLACE}/environment" in script


def test_the_stack_writes_where_the_layers_read() -> None:
    every = services()
    text = dockerfile(every["stack"])
    assert f"VOLUME {PLACE}\n" in text
    assert f'"--env-file", "{PLACE}/environment"' in text
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert every["stack"]["volumes"] == [f"stack:{PLACE}"]
    assert "stack" in yaml.safe_load(FILE.read_text(encoding="utf-8"))["volumes"]
    for name in (*LAYERS, "send"):
        assert every[name]["network_mode"] == "service:stack", "everything in it is bound to loopback"
        assert every[name]["depends_on"] == {"stack": {"condition": "service_healthy"}}
    assert "HEALTHCHECK" in text
    assert every["send"]["image"] == every["stack"]["image"]
