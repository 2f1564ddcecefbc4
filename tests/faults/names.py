"""Names that a worker's machine resolves, or does not: endpoints by host name, of which a test takes some away.

Whom libc asks is the whole machine's affair, so the worker runs with a `sitecustomize.py` before it: lookups of names
that end on `.test`, which no real resolver knows (RFC 6761), go from uvloop to a file, and fail as libc's fail. aiohttp
looks a name up and connects to the address; asyncpg leaves both to the loop.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from service.local.ports import HOST
from tests.faults.program import PATIENCE_SECONDS, until
from tests.stack.conftest import PROJECT

RESOLVER = """
import socket
from pathlib import Path

import uvloop

known, refused = Path({known!r}), Path({refused!r})
lookup, connect = uvloop.Loop.getaddrinfo, uvloop.Loop.create_connection


def resolved(host):
    if not isinstance(host, str) or not host.endswith(".test"):
        return host
    if host in known.read_text().split():
        return {address!r}
    with refused.open("a") as file:
        file.write(f"{{host}}\\n")
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def getaddrinfo(self, host, *given, **named):
    return await lookup(self, resolved(host), *given, **named)


async def create_connection(self, factory, host=None, *given, **named):
    return await connect(self, factory, resolved(host), *given, **named)


uvloop.Loop.getaddrinfo, uvloop.Loop.create_connection = getaddrinfo, create_connection
"""
PATH_STYLE = "[default]\ns3 =\n    addressing_style = path\n"
"""Else the SDK asks for a name for each bucket."""


class Names:
    """A private resolver for the workers of one test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "resolver"
        self._directory.mkdir()
        self._known, self._refused = self._directory / "known", self._directory / "refused"
        self._refused.touch()
        self.know()
        text = RESOLVER.format(known=str(self._known), refused=str(self._refused), address=HOST)
        (self._directory / "sitecustomize.py").write_text(text)
        (self._directory / "aws").write_text(PATH_STYLE)

    def know(self, *services: str) -> None:
        """From now on these are resolved, and no others."""
        fresh = self._known.with_suffix(".fresh")
        fresh.write_text("\n".join(map(_name, services)))
        fresh.replace(self._known)

    async def refused(self, service: str, *, seconds_max: float = PATIENCE_SECONDS) -> None:
        """Wait until somebody asks for that one once more, and is told that there is no such name."""
        before = self._asked(service)
        await until(
            lambda: self._asked(service) > before, lambda: f"{service} was not asked for", seconds_max=seconds_max
        )

    def environment(self, endpoints: Mapping[str, str]) -> dict[str, str]:
        """What a worker is given so that it goes to these endpoints by name; each by its setting, with its service."""
        return {
            "PYTHONPATH": f"{self._directory}:{PROJECT}",
            "AWS_CONFIG_FILE": str(self._directory / "aws"),
            **endpoints,
        }

    def _asked(self, service: str) -> int:
        return self._refused.read_text().split().count(_name(service))


def by_name(service: str, address: str) -> str:
    """The same address with the service's name in the place of its host."""
    parts = urlsplit(address)
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=f"{user}{_name(service)}:{parts.port}"))


def _name(service: str) -> str:
    return f"{service}.test"
