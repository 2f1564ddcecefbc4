"""`/livez` (the loop turns), `/readyz` (all layers receive, else 503 and why) and `/metrics`, over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from service.core.errors import SetupError
from service.telemetry.health import Health

SHUTDOWN_SECONDS_MAX = 1.0


@asynccontextmanager
async def serve(host: str, port: int, *, health: Health, registry: CollectorRegistry) -> AsyncIterator[int]:
    """Serve for the length of the block; yields the port, which the system chooses where 0 was asked for."""

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(_: web.Request) -> web.Response:
        reasons = health.reasons()
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    application = web.Application()
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", make_aiohttp_handler(registry))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS_MAX)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as wrong:
            place = f"ACEQUIA_HTTP_HOST holds {host!r} and ACEQUIA_HTTP_PORT {port}"
            raise SetupError(f"{place}: cannot listen there ({wrong.strerror})") from None
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
