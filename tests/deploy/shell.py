"""A shell that somebody types commands into, one after the other; variables stay."""

import asyncio
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

END = "--- the command has ended with"
COMMAND_SECONDS_MAX = 300


class Shell:
    """Bash. Made by `open_shell`, which owns its end."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def run(self, command: str) -> tuple[int, str]:
        """Its exit code, and what it said on both channels. Raises TimeoutError when it does not end in time."""
        into, out = self._process.stdin, self._process.stdout
        assert into is not None
        assert out is not None
        into.write(f"{{ {command}\n}} </dev/null\nprintf '\\n%s %s\\n' '{END}' $?\n".encode())
        said = ""
        async with asyncio.timeout(COMMAND_SECONDS_MAX):
            async for line in out:
                text = line.decode()
                if text.startswith(END):
                    return int(text.removeprefix(END)), said.strip()
                said += text
        raise AssertionError(f"the shell is gone: {said}")


@asynccontextmanager
async def open_shell(directory: Path, environment: Mapping[str, str]) -> AsyncIterator[Shell]:
    """In a directory, with nothing but this environment."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-o", "pipefail", "-u", cwd=directory, env=environment, stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    try:
        yield Shell(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
