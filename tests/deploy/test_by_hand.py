"""Commands of the guide that emulated AWS cannot follow; an AWS CLI that notes its calls and answers stands in."""

from pathlib import Path

from tests.deploy.guide import commands
from tests.deploy.script import Calls, Said, run_script

ANSWERS = """
case "$2 $*" in
  get-caller-identity*) echo 210987654321 ;;
  describe-services*) echo "definition of $6" ;;
  describe-task-definition*) echo 123456789012.dkr.ecr.eu-central-1.amazonaws.com/acequia@sha256:0 ;;
  batch-get-image*imageManifestMediaType*) echo application/vnd.oci.image.manifest.v1+json ;;
  batch-get-image*) echo '{"schemaVersion": 2}' ;;
  get-secret-value*) echo "value of $4" ;;
  put-secret-value*) mkdir -p "$PLACE/$4"; cat > "$PLACE/$4/told" ;;
esac
"""


def typed(tmp_path: Path, section: str, *more: str) -> tuple[Said, Calls]:
    """What came of a section's commands, typed in order without those of our own scripts, and then of `more`."""
    told = [one.text for one in commands() if one.section == section and not one.text.startswith("deploy/")]
    assert told
    script = tmp_path / "typed"
    script.write_text("\n".join(["#!/usr/bin/env bash", "set -euo pipefail", *told, *more]))
    script.chmod(0o755)
    return run_script(str(script), tmp_path, answers=ANSWERS, AWS_REGION="eu-central-1", PLACE=str(tmp_path))


def test_prod_gets_the_digest_that_dev_runs_and_keeps_it(tmp_path: Path) -> None:
    said, calls = typed(tmp_path, "7. Production", 'bash -c \'aws tell "$ENVIRONMENT" "$IMAGE"\'')
    assert said.returncode == 0, said.stderr
    [service] = [call for call in calls if call[1] == "describe-services"]
    assert service[2:6] == ["--cluster", "acequia-dev", "--services", "acequia-dev-all"]
    [put] = [call for call in calls if call[1] == "put-image"]
    told = dict(zip(put[2::2], put[3::2], strict=True))
    assert told["--image-manifest"] == '{"schemaVersion": 2}'
    assert told["--image-manifest-media-type"] == "application/vnd.oci.image.manifest.v1+json"
    assert told["--image-digest"] == "sha256:0"
    assert told["--image-tag"].startswith("release-")
    assert calls[-1] == ["tell", "prod", "210987654321.dkr.ecr.eu-central-1.amazonaws.com/acequia@sha256:0"]


def test_another_regions_secrets_get_the_values_of_the_copies(tmp_path: Path) -> None:
    said, _ = typed(tmp_path, "The region")
    assert said.returncode == 0, said.stderr
    for name in ("identity-key", "mask-key"):
        assert (tmp_path / f"acequia-prod-west/{name}/told").read_text() == f"value of acequia-prod/{name}"
