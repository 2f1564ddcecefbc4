"""ECS scale-in protection through the agent's endpoint inside the task (AWS: task scale-in protection endpoint).

It spares a service's task from scaling in and from deployments, not from Spot or from the host's retirement.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from service.core.errors import TransientError

PATH = "/task-protection/v1/state"
SECONDS_MAX = 5


class EcsProtection:
    """The `Protection` of a task on ECS; `agent_uri` is what ECS puts into ECS_AGENT_URI."""

    def __init__(self, session: aiohttp.ClientSession, agent_uri: str) -> None:
        self._session = session
        self._url = agent_uri.rstrip("/") + PATH

    async def ask(self, *, protected: bool, expires_seconds: int) -> None:
        """Have the agent set it; raises TransientError when it does not, or not in time."""
        wanted: dict[str, object] = {"ProtectionEnabled": protected}
        if protected:
            wanted["ExpiresInMinutes"] = math.ceil(expires_seconds / 60)
        try:
            async with asyncio.timeout(SECONDS_MAX), self._session.put(self._url, json=wanted) as answer:
                told = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as wrong:
            raise TransientError("ecs", f"could not set scale-in protection ({type(wrong).__name__})") from wrong
        found = told.get("protection") if isinstance(told, dict) else None
        if not isinstance(found, dict) or found.get("ProtectionEnabled") is not protected:
            raise TransientError("ecs", f"could not set scale-in protection ({_code(told)})")


def _code(told: object) -> str:
    """The agent's own word for what is wrong: `failure` when the task cannot be protected, `error` otherwise."""
    if isinstance(told, dict):
        for part, key in (("failure", "Reason"), ("error", "Code")):
            found = told.get(part)
            if isinstance(found, dict) and isinstance(found.get(key), str):
                return str(found[key])
    return "no answer that we know"


@asynccontextmanager
async def open_protection(agent_uri: str) -> AsyncIterator[EcsProtection]:
    """Open for the life of the process."""
    async with aiohttp.ClientSession() as session:
        yield EcsProtection(session, agent_uri)
