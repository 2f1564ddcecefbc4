"""A small AWS that gives logins, each call in AWS's own protocol for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

from service.local.ports import HOST

NAMESPACE = "http://redshift.amazonaws.com/doc/2012-12-01/"


@dataclass(frozen=True, slots=True)
class Issued:
    """A temporary login."""

    user: str
    password: str
    expiration: datetime
    next_refresh: datetime


@dataclass
class Issuer:
    """What it answers; `fault` is an error's code instead. `calls` are the actions and parameters that came."""

    endpoint: str = ""
    secret: dict[str, str] = field(default_factory=dict)
    issue: Callable[[], Awaitable[Issued]] | None = None
    fault: str | None = None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """One call, in the protocol that it came in."""
        target = request.headers.get("X-Amz-Target")
        if target is None:
            form = {name: str(value) for name, value in (await request.post()).items()}
            self.calls.append((form.pop("Action"), {name: form[name] for name in form if name != "Version"}))
            return web.Response(text=await self._xml(), content_type="text/xml", status=400 if self.fault else 200)
        self.calls.append((target, await request.json()))
        body = {"__type": self.fault, "message": "no"} if self.fault else await self._json(target)
        return web.json_response(body, content_type="application/x-amz-json-1.1", status=400 if self.fault else 200)

    async def _json(self, target: str) -> dict[str, Any]:
        if target == "secretsmanager.GetSecretValue":
            return {"Name": "redshift!lake-admin", "VersionStages": ["AWSCURRENT"], **self.secret}
        assert target == "RedshiftServerless.GetCredentials"
        given = await self._issued()
        return {
            "dbUser": given.user,
            "dbPassword": given.password,
            "expiration": given.expiration.timestamp(),
            "nextRefreshTime": given.next_refresh.timestamp(),
        }

    async def _xml(self) -> str:
        if self.fault:
            error = f"<Error><Type>Sender</Type><Code>{self.fault}</Code><Message>no</Message></Error>"
            return f'<ErrorResponse xmlns="{NAMESPACE}">{error}<RequestId>r</RequestId></ErrorResponse>'
        given, action = await self._issued(), "GetClusterCredentialsWithIAM"
        fields = {
            "DbUser": given.user,
            "DbPassword": given.password,
            "Expiration": given.expiration.isoformat(),
            "NextRefreshTime": given.next_refresh.isoformat(),
        }
        text = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        return f'<{action}Response xmlns="{NAMESPACE}"><{action}Result>{text}</{action}Result></{action}Response>'

    async def _issued(self) -> Issued:
        assert self.issue is not None
        return await self.issue()


@asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    """Serve it on 127.0.0.1 at a free port."""
    found = Issuer()
    app = web.Application()
    app.router.add_post("/", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        found.endpoint = f"http://{HOST}:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()
