"""`acequia local`, as a newcomer runs it."""

import contextlib
import re
import socket
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.stack.conftest import Starter, gone

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

ROW = re.compile(r"│ (.+?)\s+│\s+([\d,]+) │")


def test_the_demo_adds_up_answers_questions_and_leaves_parquet_but_no_process(start: Starter) -> None:
    program = start("local")
    program.until("records   loaded")
    relatives = program.relatives()
    assert program.finish() == 0, program.text
    assert gone(relatives)
    counts = {name: int(number.replace(",", "")) for name, number in ROW.findall(program.text)}
    rejected = sum(number for name, number in counts.items() if name.startswith("rejected: "))
    assert counts["sent"] == 20_000 == counts["loaded"] + counts["duplicate"] + rejected
    assert counts["duplicate"] > 100
    assert rejected > 50
    assert program.text.count("?") >= 3
    files = sorted((start.directory / ".acequia").rglob("acequia-refined/onboarding_events/dt=*/*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files) == counts["loaded"] + counts["duplicate"]


def test_a_taken_port_is_said_and_another_one_serves(start: Starter) -> None:
    with contextlib.ExitStack() as taken:
        with contextlib.suppress(OSError):  # taken already: as good
            taken.enter_context(socket.create_server(("127.0.0.1", 5439)))
        program = start("local", "--stack-only")
        assert "127.0.0.1:5439" not in program.until("warehouse at")
        assert program.until("is taken") == f"Port 5439 is taken, so the warehouse listens on {_port(program.text)}."


def test_stacks_that_start_at_once_find_ports_of_their_own(start: Starter) -> None:
    programs = [start("local", "--stack-only", "--directory", f"stack{number}") for number in range(3)]
    said = [program.until("warehouse at") for program in programs]
    assert len({_port(line) for line in said}) == 3


def _port(text: str) -> int:
    found = re.search(r"@127\.0\.0\.1:(\d+)/acequia", text)
    assert found is not None
    return int(found[1])


def test_ctrl_c_in_the_middle_leaves_no_process(start: Starter) -> None:
    program = start("local", "--stay")
    program.until("Emulated AWS at")
    relatives = program.relatives()
    assert relatives
    assert program.interrupt() == 130
    assert gone(relatives)


def test_killing_the_parent_leaves_no_process(start: Starter) -> None:
    program = start("local", "--stack-only")
    program.until("keep running")
    relatives = program.relatives()
    assert {psutil.Process(p.pid).name() for p in relatives} & {"postgres", "ministack"}
    program.process.kill()
    program.finish()
    assert gone(relatives)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--dataset", "nothing"], "--dataset nothing: .*nothing.toml does not exist; write it, or use one of"),
        (["--input", "absent.ndjson"], "--input absent.ndjson: no such file"),
        (["--layers", "load"], "--layers load: give land; land,refine; land,refine,load; or all four"),
        (["--datasets", "broken"], r"broken/events.toml: column 'id': type 'int' is not known; use one of smallint"),
        (["--directory", "taken"], "taken holds files that are not ours: name another place with --directory"),
    ],
)
def test_a_users_mistake_gets_one_line_and_exit_code_2(start: Starter, arguments: list[str], sentence: str) -> None:
    _strange_directories(start.directory)
    program = start("local", *arguments)
    assert program.finish() == 2
    assert len(program.lines) == 1
    assert re.match(f"acequia: .*{sentence}", program.text), program.text


def _strange_directories(directory: Path) -> None:
    (directory / "taken").mkdir()
    (directory / "taken" / "thesis.doc").write_text("years of work")
    (directory / "broken").mkdir()
    (directory / "broken" / "events.toml").write_text('[[column]]\nname = "id"\ntype = "int"\n')
