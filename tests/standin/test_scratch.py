"""Temporary directories: gone at the end, and cleared by the next owner where one was killed."""

import subprocess
import sys
from pathlib import Path

from service.local.scratch import scratch_directory

KILLED = """
import os, signal, sys
from pathlib import Path
from service.local.scratch import scratch_directory
with scratch_directory("kept-", Path(sys.argv[1])) as directory:
    (directory / "data").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_is_gone_at_the_end(tmp_path: Path) -> None:
    with scratch_directory("kept-", tmp_path) as directory:
        assert directory.is_dir()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_owner_left_is_cleared_and_what_has_an_owner_stays(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, cwd=Path(__file__).parents[2])
    [left] = tmp_path.iterdir()
    (tmp_path / "kept-strange").mkdir()
    with scratch_directory("kept-", tmp_path) as first, scratch_directory("kept-", tmp_path) as second:
        assert not left.exists()
        assert first.is_dir()
        assert second.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["kept-strange"]
