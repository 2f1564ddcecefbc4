"""What asyncio would print about errors that nobody looked at."""

import asyncio
import gc
from typing import Any, Self


class Noise:
    """Listens to the running loop for the length of a block; `heard` tells what was dropped so far."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def __enter__(self) -> Self:
        asyncio.get_running_loop().set_exception_handler(self._hear)
        return self

    def __exit__(self, *raised: object) -> None:
        asyncio.get_running_loop().set_exception_handler(None)

    async def heard(self) -> list[str]:
        """What the loop complained of, after everything that can be collected was."""
        for _ in range(3):
            gc.collect()
            await asyncio.sleep(0)
        return self._said

    def _hear(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._said.append(f"{context['message']}: {context.get('exception')!r}")
