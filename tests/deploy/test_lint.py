"""cfn-lint has nothing to say: types, properties, values, and what refers to what."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.templates import ECS, names


def linted(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from cfnlint.runner import main; main()",
        "--format",
        "parseable",
        "--regions",
        "eu-central-1",
        "--",
        *map(str, paths),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_templates_are_clean() -> None:
    told = linted(*(ECS / f"{name}.yaml" for name in names()))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 1209601"),
        ("VisibilityTimeout: 600", "Visibility: 600"),
    ],
)
def test_the_linter_bites(tmp_path: Path, what: str, instead: str) -> None:
    text = (ECS / "queues.yaml").read_text()
    broken = tmp_path / "queues.yaml"
    broken.write_text(text.replace(what, instead, 1))
    assert linted(broken).returncode != 0
