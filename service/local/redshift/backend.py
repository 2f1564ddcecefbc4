"""One client's connection to PostgreSQL.

Two ways to use it. Relayed: what the backend says goes straight to the client. Taken over: nothing is on its way, we
send statements of our own and read the answers ourselves, and the client sees only what we choose to tell it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from service.local.redshift import wire
from service.local.redshift.backend_errors import CANCELLED, CANCELLED_TEXT, as_redshift
from service.local.redshift.results import Field, Results, described
from service.local.redshift.wire import Message, MessageReader

SERVER_VERSION = "8.0.2"
PADB_REVISION = "1.0.436211"
ANSWERS_MAX = 16

# What a backend may say at any time, whoever asked.
_UNASKED = frozenset({b"N", b"S", b"A"})
_DATA_EXCEPTION_CLASS = "22"
_FAILED_ON_PURPOSE = "acequia_refusal"


class BackendFailedError(Exception):
    """The backend refused a statement; `message` is its ErrorResponse, `own` that it is Redshift's word already."""

    def __init__(self, message: Message, *, own: bool = False) -> None:
        super().__init__("The backend refused a statement.")
        self.message = message
        self._own = own

    @property
    def without_values(self) -> Message:
        """The error without the fields that quote rows; the text of a data error quotes them too and is replaced."""
        if self._own:
            return self.message
        fields = wire.fields(self.message.body)
        sqlstate = fields.get("C", "XX000")
        if sqlstate.startswith(_DATA_EXCEPTION_CLASS):
            return wire.error(sqlstate, "[stand-in] The warehouse refused a value.")
        return wire.error(sqlstate, fields.get("M", ""))


class Backend:
    """Reads from and writes to one backend; `client` gets what is relayed."""

    def __init__(self, reader: MessageReader, writer: asyncio.StreamWriter, client: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._client = client
        self._status = b"I"
        self._awaited = 1  # ReadyForQuery messages that are still to come; the first ends the login
        self._quiet = asyncio.Event()
        self._taken = False
        self._answers: asyncio.Queue[Message] = asyncio.Queue(ANSWERS_MAX)
        self._refusals: dict[str, bytes] = {}
        self._refused = 0
        self._key = b""
        self._cancelled = False
        self._results = Results()

    @property
    def process(self) -> int:
        """The number of the backend's process, which is the session's."""
        return int.from_bytes(self._key[:4], "big")

    @property
    def status(self) -> bytes:
        """The transaction's state as the last ReadyForQuery told it: I, T or E."""
        return self._status

    def cancel(self, key: bytes) -> None:
        """Note that the holder of `key` asked to cancel; other keys are ignored.

        The backend is asked too, but between two of our own statements it is idle and would forget it.
        """
        if key == self._key:
            self._cancelled = True

    def note(self, message: Message) -> None:
        """Note a message that the client sends to the backend. Raises RefusedError."""
        self._results.sent(message)

    def expect_ready(self) -> None:
        """Note that a message was sent which the backend answers with ReadyForQuery."""
        self._awaited += 1
        self._quiet.clear()

    def failing(self, *shown: Message) -> str:
        """A text that is no SQL: sent in a statement's place it fails as the statement should, and `shown` is sent.

        So the backend itself aborts the transaction, or skips to the next Sync, exactly as it always does.
        """
        self._refused += 1
        text = f"{_FAILED_ON_PURPOSE}_{self._refused}"
        self._refusals[text] = b"".join(message.raw for message in shown)
        return text

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def relay(self) -> None:
        """Pass on what the backend says until it leaves. Runs beside everything else."""
        while messages := await self._reader.batch():
            for message in messages:
                if self._taken and message.kind not in _UNASKED:
                    await self._answers.put(message)
                else:
                    self._pass_on(message)
            await self._client.drain()

    def _pass_on(self, message: Message) -> None:
        match message.kind:
            case b"S":
                self._client.write(_as_redshift(message))
            case b"K":
                self._key = message.body
                self._client.write(message.raw)
            case b"E":
                self._client.write(self._shown_error(message))
            case b"Z":
                self._client.write(self._results.shown(message).raw)
                self._settle(message)
            case _:
                self._client.write(self._results.shown(message).raw)

    def _shown_error(self, message: Message) -> bytes:
        told = wire.fields(message.body).get("M", "")
        refusal = next((shown for text, shown in self._refusals.items() if f'"{text}"' in told), None)
        return refusal or (as_redshift(message, process=self.process) or message).raw

    def _failed(self, message: Message) -> BackendFailedError:
        translated = as_redshift(message, process=self.process)
        return BackendFailedError(translated or message, own=translated is not None)

    def _settle(self, message: Message) -> None:
        self._status = message.body
        self._awaited -= 1
        if self._awaited == 0:
            self._refusals.clear()
            self._quiet.set()

    @contextlib.asynccontextmanager
    async def taken_over(self) -> AsyncIterator[None]:
        """Wait until every statement that was relayed is answered, then read the answers ourselves."""
        await self._quiet.wait()
        with self._diverted():
            yield

    @contextlib.contextmanager
    def _diverted(self) -> Iterator[None]:
        self._taken = True
        self._cancelled = False
        try:
            yield
        finally:
            self._taken = False

    async def relay_query(self, sql: str) -> bool:
        """While taken over: run statements and show the client all but the final ReadyForQuery. False if one failed."""
        await self.send(wire.query(sql).raw)
        succeeded = True
        async for message in self._until_ready():
            succeeded = succeeded and message.kind != b"E"
            self._pass_on(message)
            await self._client.drain()
        return succeeded

    async def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """While taken over: run statements of our own; the rows as text. Raises BackendFailedError."""
        await self.send(wire.query(sql).raw)
        return [wire.data_row(message.body) for message in await self._outcome() if message.kind == b"D"]

    async def select(self, sql: str, *, rows_max: int) -> tuple[list[Field], list[tuple[str | None, ...]]]:
        """While taken over: run a query of our own; its columns and rows. More rows than `rows_max` are left out.

        Raises BackendFailedError.
        """
        await self.send(wire.query(sql).raw)
        fields: list[Field] = []
        rows: list[tuple[str | None, ...]] = []
        error: Message | None = None
        async for message in self._until_ready():
            if message.kind == b"T":
                fields, _ = described(message)
            elif message.kind == b"D" and len(rows) <= rows_max:
                rows.append(wire.data_row(message.body))
            elif message.kind == b"E":
                error = message
        if error is not None:
            raise self._failed(error)
        return fields, rows

    async def copy_in(self, sql: str, chunks: AsyncGenerator[bytes, None]) -> int:
        """While taken over: run COPY … FROM STDIN; the number of rows.

        Raises BackendFailedError, or what `chunks` raises; then the statement has failed in the backend too.
        """
        if self._cancelled:
            raise BackendFailedError(wire.error(CANCELLED, CANCELLED_TEXT), own=True)
        await self.send(wire.query(sql).raw)
        first = await self._answers.get()
        if first.kind != b"G":
            raise await self._failure(first)
        try:
            async with contextlib.aclosing(chunks) as produced:
                async for chunk in produced:
                    if not self._answers.empty():
                        break  # the backend has failed already, or was cancelled
                    for message in wire.copy_data(chunk):
                        await self.send(message.raw)
        except Exception:
            await self.send(wire.copy_fail("refused by the stand-in").raw)
            with contextlib.suppress(BackendFailedError):
                await self._outcome()
            raise
        await self.send(wire.copy_done().raw)
        tags = [wire.text(message.body) for message in await self._outcome() if message.kind == b"C"]
        return int(tags[-1].split()[-1])

    async def abort(self) -> None:
        """While taken over: fail the open transaction."""
        with contextlib.suppress(BackendFailedError):
            await self.query(_FAILED_ON_PURPOSE)

    async def _outcome(self) -> list[Message]:
        answers = [message async for message in self._until_ready()]
        for message in answers:
            if message.kind == b"E":
                raise self._failed(message)
        return answers

    async def _failure(self, first: Message) -> BackendFailedError:
        async for _ in self._until_ready():
            pass
        return self._failed(first)

    async def _until_ready(self) -> AsyncIterator[Message]:
        while (message := await self._answers.get()).kind != b"Z":
            yield message
        self._status = message.body


def _as_redshift(message: Message) -> bytes:
    """The parameter as Redshift tells it; clients know Redshift by `padb_revision`."""
    name, _ = wire.parameter_parts(message.body)
    if name != "server_version":
        return message.raw
    version = wire.parameter_status("server_version", SERVER_VERSION)
    return version.raw + wire.parameter_status("padb_revision", PADB_REVISION).raw
