"""The release: nothing is built twice, nobody's key is kept, and prod waits for dev and for somebody's approval."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PROJECT
from tests.deploy.script import run_script

WORKFLOW = PROJECT / ".github" / "workflows" / "release.yaml"
SCRIPTS = ("deploy/ecs/deploy", "deploy/ecs/operator", ".ci/run")


def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    return found


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


def test_prod_comes_after_tests_dev_and_an_approval() -> None:
    found = jobs()
    order, job = ["prod"], "prod"
    while (needs := found[job].get("needs")) is not None:
        job = needs[-1] if isinstance(needs, list) else needs
        order.append(job)
    assert order == ["prod", "preview-prod", "dev", "image", "check-and-test"]
    assert found["prod"]["environment"] == "prod"
    assert found["preview-prod"]["environment"] != "prod", "or the approval would come before there is anything to see"


def test_one_release_at_a_time_for_each_environment_and_none_waits_for_another_ones_approval() -> None:
    assert "concurrency" not in yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    found = jobs()
    assert {name: found[name].get("concurrency") for name in ("image", "dev", "preview-prod", "prod")} == {
        "image": None,
        "dev": "dev",
        "preview-prod": None,
        "prod": "prod",
    }


def test_one_image_goes_everywhere() -> None:
    found = jobs()
    assert [name for name, job in found.items() if "docker build" in commands(job)] == ["image"]
    for name in ("dev", "preview-prod", "prod"):
        assert "needs.image.outputs.digest" in str(found[name])


def test_a_preview_changes_nothing_and_tables_come_first() -> None:
    found = jobs()
    assert commands(found["preview-prod"]).strip() == "deploy/ecs/deploy prod --preview"
    for environment in ("dev", "prod"):
        told = commands(found[environment])
        migrated = told.index(f"deploy/ecs/operator {environment} migrate")
        assert told.index(f"deploy/ecs/deploy {environment} cluster") < migrated
        assert migrated < told.rindex(f"deploy/ecs/deploy {environment}")


def test_no_key_is_kept_and_a_token_is_given_to_whom_it_takes_alone() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    assert "access-key" not in text
    assert "secrets." not in text
    for name, job in jobs().items():
        signs_in = any("configure-aws-credentials" in step.get("uses", "") for step in job["steps"])
        assert signs_in == ("id-token" in job.get("permissions", {})), name


def test_what_it_runs_is_there() -> None:
    for script in SCRIPTS:
        assert script in WORKFLOW.read_text(encoding="utf-8")
        assert (PROJECT / script).stat().st_mode & 0o111, script


def test_a_session_lasts_as_long_as_its_job_may() -> None:
    """Without a word AWS ends it after an hour, in the middle of a deployment."""
    for name, job in jobs().items():
        for step in job["steps"]:
            if "configure-aws-credentials" in step.get("uses", ""):
                assert job["timeout-minutes"] * 60 <= step["with"].get("role-duration-seconds", 3_600), name
    assert (
        str(jobs()["prod"]["steps"][1]["with"]["role-duration-seconds"]) in WORKFLOW.read_text().partition("\nname:")[0]
    )


ECR = """
case "$2 $*" in
  batch-get-image*imageManifestMediaType*) echo application/vnd.oci.image.manifest.v1+json ;;
  batch-get-image*) echo '{"schemaVersion": 2}' ;;
  put-image*) echo "$ANSWER" >&2; exit "${CODE:-0}" ;;
esac
"""


@pytest.mark.parametrize(
    ("answer", "code", "ends"),
    [
        ("", "0", 0),
        ("An error occurred (ImageAlreadyExistsException)", "254", 0),
        ("An error occurred (AccessDeniedException)", "254", 1),
    ],
)
def test_an_image_that_cannot_be_kept_stops_the_release(tmp_path: Path, answer: str, code: str, ends: int) -> None:
    [keep] = [step["run"] for step in jobs()["prod"]["steps"] if "put-image" in step.get("run", "")]
    script = tmp_path / "keep"
    script.write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{keep}")
    script.chmod(0o755)
    given = {"DIGEST": "sha256:0", "GITHUB_SHA": "0123", "ANSWER": answer, "CODE": code}
    said, calls = run_script(str(script), tmp_path, answers=ECR, **given)
    assert (said.returncode, answer in said.stdout) == (ends, True)
    [put] = [call for call in calls if call[1] == "put-image"]
    told = dict(zip(put[2::2], put[3::2], strict=True))
    assert told["--image-manifest"] == '{"schemaVersion": 2}'
    assert told["--image-manifest-media-type"] == "application/vnd.oci.image.manifest.v1+json"
    assert (told["--image-digest"], told["--image-tag"]) == ("sha256:0", "release-0123")


def test_what_is_built_is_one_image_and_no_index() -> None:
    [push] = [step for step in jobs()["image"]["steps"] if "docker build" in step.get("run", "")]
    assert push["env"]["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
