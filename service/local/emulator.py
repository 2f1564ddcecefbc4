"""Emulated AWS on this machine: ministack with SQS, S3, SNS and STS.

It lives in a virtual environment of its own because it pins botocore exactly.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import aiohttp

from service.local.ports import HOST
from service.local.processes import Command, child

EXECUTABLE_VARIABLE = "ACEQUIA_LOCAL_MINISTACK"
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 5.0
PROBE_SECONDS_MAX = 2.0


class EmulatorMissingError(Exception):
    """Emulated AWS is not installed."""


@contextlib.asynccontextmanager
async def emulated_aws(directory: Path, port: int) -> AsyncIterator[str]:
    """Run emulated AWS on 127.0.0.1:`port` and give its endpoint URL.

    Objects lie as plain files under `directory`/s3/<account>/<bucket>/<key>; queues live in its memory. Everything
    that it writes stays inside `directory`. Raises EmulatorMissingError or ChildFailedError.
    """
    endpoint = f"http://{HOST}:{port}"
    async with child(_command(directory, port)) as process, aiohttp.ClientSession() as http:

        async def answers() -> bool:
            try:
                timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS_MAX)
                async with http.get(f"{endpoint}/_ministack/health", timeout=timeout) as response:
                    return response.status == HTTPStatus.OK
            except (aiohttp.ClientError, TimeoutError):
                return False

        await process.until_ready(answers, seconds_max=READY_SECONDS_MAX)
        yield endpoint


def _command(directory: Path, port: int) -> Command:
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "SERVICES": "sqs,s3,sns,sts",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(directory / "s3"),
        "STATE_DIR": str(directory / "state"),
        # Off, or it listens on every interface and looks after containers of other ministacks.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{directory}/no-docker.sock",
        "LOG_LEVEL": "WARNING",
    }
    return Command(
        name="Emulated AWS (ministack)",
        argv=(str(_executable()),),
        env=env,
        directory=directory,
        log=directory / "ministack.log",
        account=None,
        stop_signal=signal.SIGTERM,
        stop_seconds_max=STOP_SECONDS_MAX,
    )


def _executable() -> Path:
    named = os.environ.get(EXECUTABLE_VARIABLE)
    if named:
        candidates = [Path(named)]
    else:
        on_path = shutil.which("ministack")
        candidates = [Path(sys.prefix) / "stack" / "bin" / "ministack", *([Path(on_path)] if on_path else [])]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    places = ", ".join(str(candidate) for candidate in candidates)
    raise EmulatorMissingError(
        f"Emulated AWS (ministack) is not installed; looked at {places}. "
        f"Run `make .venv/local.stamp`, or set {EXECUTABLE_VARIABLE} to its executable."
    )
