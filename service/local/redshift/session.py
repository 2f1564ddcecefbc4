"""What a client says after its login: relayed to PostgreSQL after it was looked at, or done here step by step."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

from service.local.redshift import wire
from service.local.redshift.backend import Backend
from service.local.redshift.faults import Fault, Faults
from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported, serializable_violation
from service.local.redshift.statements import statements
from service.local.redshift.steps import Step, Steps, planned, relayed
from service.local.redshift.wire import Message, MessageReader

_T = TypeVar("_T")

READ_ON_LOOP_CHARACTERS_MAX = 16 * 1024

_ANSWERED_BY_READY = frozenset({b"Q", b"S"})
# Parse, Bind, Describe, Execute, Close, Flush, Sync, and passwords during the login.
_RELAYED = frozenset({b"P", b"B", b"D", b"E", b"C", b"H", b"S", b"Q", b"p"})


class ResetError(Exception):
    """The client's connection is to be cut without a word."""


def cut(writer: asyncio.StreamWriter) -> None:
    """Reset the connection, so that its client sees an error and no orderly end."""
    held = writer.get_extra_info("socket")
    if held is not None:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Session:
    """One client and its backend."""

    def __init__(
        self,
        client: MessageReader,
        writer: asyncio.StreamWriter,
        backend: Backend,
        steps: Steps,
        faults: Faults,
        *,
        string_bytes_max: int,
    ) -> None:
        self._client = client
        self._writer = writer
        self._backend = backend
        self._steps = steps
        self._faults = faults
        self._string_bytes_max = string_bytes_max

    async def run(self) -> None:
        """Take what the client says, in order, until it leaves."""
        while messages := await self._client.batch():
            outgoing = bytearray()
            for message in messages:
                if message.kind == b"X":
                    return
                if message.kind not in _RELAYED:
                    raise wire.ProtocolError("A kind of message that Redshift's clients have no use for.")
                passed_on = await self._looked_at(message, outgoing)
                if passed_on is None:
                    continue
                if passed_on.kind in _ANSWERED_BY_READY:
                    self._backend.expect_ready()
                outgoing += passed_on.raw
            await self._backend.send(bytes(outgoing))

    async def _looked_at(self, message: Message, outgoing: bytearray) -> Message | None:
        """The message for the backend; None if all is done. `outgoing` waits to be sent, and goes first."""
        if message.kind == b"P":
            message = await self._parse(message)
        elif message.kind == b"Q":
            text, steps = await self._planned(wire.text(message.body))
            if text is None:
                await self._backend.send(bytes(outgoing))
                outgoing.clear()
                await self._take_over(steps)
                return None
            message = wire.query(text)
        try:
            self._backend.note(message)
        except RefusedError as refusal:
            return wire.bind_nothing(self._failing(refusal))
        return message

    async def _parse(self, message: Message) -> Message:
        """The Parse message for the backend."""
        name, sql, types = wire.parse_parts(message.body)
        try:
            await self._meet_faults(sql)
            text = await _off_loop_if_long(_relayed, sql, self._string_bytes_max)
        except RefusedError as refusal:
            text = self._failing(refusal)
        return wire.parse(name, text, types)

    async def _planned(self, sql: str) -> tuple[str | None, list[Step]]:
        """One text for the backend, or else steps that must be taken here."""
        try:
            await self._meet_faults(sql)
            steps = await _off_loop_if_long(_steps, sql, self._string_bytes_max)
        except RefusedError as refusal:
            return self._failing(refusal), []
        match steps:
            case []:
                return "", []
            case [str(text)]:
                return text, []
        return None, steps

    def _failing(self, refusal: RefusedError) -> str:
        infos = [wire.notice("INFO", info) for info in refusal.infos]
        return self._backend.failing(*infos, wire.error(refusal.sqlstate, refusal.message, refusal.detail))

    async def _take_over(self, steps: list[Step]) -> None:
        """Take the steps one by one up to the first that fails, and tell the client that all is done."""
        async with self._backend.taken_over():
            for step in steps:
                if not await self._steps.take(step):
                    break
            self._writer.write(wire.ready(self._backend.status).raw)
        await self._writer.drain()

    async def _meet_faults(self, sql: str) -> None:
        match self._faults.heard(sql):
            case Fault.VIOLATE:
                raise serializable_violation(self._backend.process)
            case Fault.HANG:
                while await self._client.batch():  # whatever else the client says stays unanswered too
                    pass
                raise ResetError
            case Fault.DROP_BEFORE_COMMIT:
                raise ResetError
            case Fault.DROP_AFTER_COMMIT:
                await self._commit_unheard()
            case Fault.DELAY_COMMIT:
                cut(self._writer)
                await self._faults.commit_released()
                await self._commit_unheard()

    async def _commit_unheard(self) -> None:
        async with self._backend.taken_over():
            await self._backend.query("COMMIT")
        raise ResetError


def _relayed(sql: str, string_bytes_max: int) -> str:
    return "; ".join(relayed(statement) for statement in statements(sql, string_bytes_max=string_bytes_max))


def _steps(sql: str, string_bytes_max: int) -> list[Step]:
    return planned(statements(sql, string_bytes_max=string_bytes_max))


async def _off_loop_if_long(read: Callable[[str, int], _T], sql: str, string_bytes_max: int) -> _T:
    if "\0" in sql:
        raise not_supported(f"{OWN_LIMIT} A statement must not hold a zero character.")
    if len(sql) <= READ_ON_LOOP_CHARACTERS_MAX:
        return read(sql, string_bytes_max)
    return await asyncio.to_thread(read, sql, string_bytes_max)
