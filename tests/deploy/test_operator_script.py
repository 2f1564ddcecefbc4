"""The script `operator`: a command as a task, its words, and its exit code."""

import json
from pathlib import Path

import pytest

from tests.deploy.script import Calls, Said, run_script

ECS = """
case "$2 $*" in
  list-exports*SubnetIds*) echo subnet-1,subnet-2 ;;
  list-exports*TasksGroup*) echo sg-1 ;;
  run-task*) echo "$TASK" ;;
  describe-tasks*lastStatus*) if [[ -e $CALLS.seen ]]; then echo STOPPED; else touch "$CALLS.seen"; echo RUNNING; fi ;;
  describe-tasks*exitCode*) echo "$CODE" ;;
  describe-tasks*stoppedReason*) echo "CannotPullContainerError" ;;
  filter-log-events*) echo "It adds up."; exit "${LOGS:-0}" ;;
esac
"""
TASK = "arn:aws:ecs:eu-central-1:123456789012:task/acequia-dev/0123"


def operate(tmp_path: Path, *arguments: str, task: str = TASK, code: str = "0", logs: str = "0") -> tuple[Said, Calls]:
    given = {"TASK": task, "CODE": code, "LOGS": logs, "LOOK_SECONDS": "0"}
    return run_script("operator", tmp_path, *arguments, answers=ECS, **given)


def test_it_runs_the_command_inside_the_network_and_waits_for_its_end(tmp_path: Path) -> None:
    said, calls = operate(tmp_path, "dev", "reconcile", "--dataset", "loan events")
    assert (said.returncode, said.stdout) == (0, "It adds up.\n")
    [run] = [call for call in calls if call[1] == "run-task"]
    told = dict(zip(run[2::2], run[3::2], strict=False))
    assert told["--cluster"] == "acequia-dev"
    assert told["--task-definition"] == "acequia-dev-operator"
    assert told["--network-configuration"] == (
        "awsvpcConfiguration={subnets=[subnet-1,subnet-2],securityGroups=[sg-1],assignPublicIp=DISABLED}"
    )
    command = ["reconcile", "--dataset", "loan events"]
    assert json.loads(told["--overrides"]) == {"containerOverrides": [{"name": "acequia", "command": command}]}
    assert [call[1] for call in calls].count("describe-tasks") == 3, "running, stopped, and its code"
    [logs] = [call for call in calls if call[1] == "filter-log-events"]
    assert "operator/acequia/0123" in logs


@pytest.mark.parametrize("code", ["1", "2", "130"])
def test_its_end_is_the_commands_end(tmp_path: Path, code: str) -> None:
    assert operate(tmp_path, "dev", "migrate", code=code)[0].returncode == int(code)


def test_a_task_that_never_ran_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    said, _ = operate(tmp_path, "dev", "migrate", task="None")
    assert (said.returncode, said.stderr) == (1, "operator: ECS started no task\n")
    said, _ = operate(tmp_path, "dev", "migrate", code="None", logs="1")
    assert said.returncode == 1
    assert "CannotPullContainerError" in said.stderr
    assert operate(tmp_path, "dev")[0].returncode == 2
