"""The release: nothing is built twice, nobody's key is kept, and prod waits for dev and for somebody's approval."""

from typing import Any

import yaml

from service.settings import PROJECT

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
