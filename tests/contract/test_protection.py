"""Scale-in protection, asked of a server that speaks as ECS's agent does."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from service.aws.protection import EcsProtection, open_protection
from service.core.errors import TransientError
from service.local.ports import HOST, free_port

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]


class Agent:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status = 200
        self.answer: object = None

    async def put(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self.asked.append(wanted)
        same = {"protection": {"ProtectionEnabled": wanted["ProtectionEnabled"], "TaskArn": "arn:t"}}
        return web.json_response(self.answer or same, status=self.status)


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest_asyncio.fixture(loop_scope="session")
async def protection(agent: Agent) -> AsyncIterator[EcsProtection]:
    app = web.Application()
    app.router.add_put("/api/task/task-protection/v1/state", agent.put)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port(0)
    await web.TCPSite(runner, HOST, port).start()
    async with open_protection(f"http://{HOST}:{port}/api/task") as opened:
        yield opened
    await runner.cleanup()


async def test_the_agent_is_asked_in_its_own_words(protection: EcsProtection, agent: Agent) -> None:
    await protection.ask(protected=True, expires_seconds=900)
    await protection.ask(protected=False, expires_seconds=900)
    assert agent.asked == [{"ProtectionEnabled": True, "ExpiresInMinutes": 15}, {"ProtectionEnabled": False}]


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (200, {"failure": {"Arn": "arn:t", "Reason": "TASK_NOT_VALID"}}, "TASK_NOT_VALID"),
        (400, {"error": {"Arn": "arn:t", "Code": "AccessDeniedException"}}, "AccessDeniedException"),
        (200, {"protection": {"ProtectionEnabled": False}}, "no answer that we know"),
        (500, "oops", "no answer that we know"),
    ],
)
async def test_what_the_agent_does_not_do_is_told(
    protection: EcsProtection, agent: Agent, status: int, answer: object, told: str
) -> None:
    agent.status, agent.answer = status, answer
    with pytest.raises(TransientError, match=told):
        await protection.ask(protected=True, expires_seconds=900)


async def test_an_agent_that_is_not_there_is_told() -> None:
    async with open_protection(f"http://{HOST}:{free_port(0)}") as nobody:
        with pytest.raises(TransientError, match="ClientConnectorError"):
            await nobody.ask(protected=True, expires_seconds=900)
