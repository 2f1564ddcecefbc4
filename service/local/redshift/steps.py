"""The statements that the stand-in runs itself: COPY, UNLOAD, TRUNCATE, VACUUM, ANALYZE, grants, some ALTER TABLE."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from service.local.redshift import wire
from service.local.redshift.backend import Backend, BackendFailedError
from service.local.redshift.copy_run import Loader
from service.local.redshift.copy_statement import CopyStatement, read_copy
from service.local.redshift.external import read_external
from service.local.redshift.grantees import Rights, literal
from service.local.redshift.grants import read_rights
from service.local.redshift.kinds import Kind, kind_of
from service.local.redshift.maintenance import (
    Alone,
    Maintain,
    Truncate,
    inside_transaction,
    read_maintain,
    read_truncate,
)
from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported
from service.local.redshift.rewriting import rewritten
from service.local.redshift.statements import Statement
from service.local.redshift.unload_run import Unloader
from service.local.redshift.unload_statement import UnloadStatement, read_unload
from service.local.redshift.wire import Message

Own: TypeAlias = CopyStatement | UnloadStatement | Truncate | Maintain | Alone | Rights
Step: TypeAlias = str | Own

_COUNT_SETTING = "redshift.last_copy_count"
_ID_SETTING = "redshift.last_copy_id"
_UNLOAD_SETTING = "redshift.last_unload_count"
_ALONE = {"APPEND": "ALTER TABLE APPEND", "ALTER": "ALTER TABLE ALTER COLUMN"}


def planned(found: list[Statement]) -> list[Step]:
    """The steps that statements ask for. What goes to the backend as it is goes together. Raises RefusedError."""
    steps: list[Step] = []
    for statement in found:
        step = _step(statement)
        if isinstance(step, str) and steps and isinstance(steps[-1], str):
            steps[-1] += f"; {step}"
        else:
            steps.append(step)
    return steps


_READERS: dict[Kind, Callable[[Statement], Own]] = {
    Kind.COPY: read_copy,
    Kind.UNLOAD: read_unload,
    Kind.TRUNCATE: read_truncate,
    Kind.VACUUM: read_maintain,
    Kind.ANALYZE: read_maintain,
    Kind.GRANT: read_rights,
    Kind.EXTERNAL: read_external,
}


def _step(statement: Statement) -> Step:
    read = _READERS.get(kind_of(statement))
    if read is not None:
        return read(statement)
    alone = _alone(statement)
    return Alone(alone, statement) if alone else rewritten(statement)


def relayed(statement: Statement) -> str:
    """The statement's text for the extended protocol, where nobody sees to it that it stands alone.

    Raises RefusedError.
    """
    alone = _alone(statement)
    if alone:
        raise not_supported(f"{OWN_LIMIT} {alone} is taken as a simple query only, not in the extended protocol.")
    return rewritten(statement)


def _alone(statement: Statement) -> str:
    """What the statement is called if it may not stand in a transaction; empty if it may."""
    return (
        _ALONE.get(statement.word(statement.after_name(2)), "") if statement.words(0, 2) == ("ALTER", "TABLE") else ""
    )


class Steps:
    """Takes steps in the transaction that one client has open, or in one of its own where there is none."""

    def __init__(
        self, backend: Backend, writer: asyncio.StreamWriter, *, user: str, loader: Loader, unloader: Unloader
    ) -> None:
        self._backend = backend
        self._writer = writer
        self._user = user
        self._loader = loader
        self._unloader = unloader

    async def take(self, step: Step) -> bool:
        """Run it and tell the client how it ended, but not that all is done. False if it failed."""
        if isinstance(step, str):
            return await self._backend.relay_query(step)
        if self._backend.status == b"E":
            return await self._backend.relay_query("SELECT 1")  # fails with 25P02
        own_transaction = self._backend.status == b"I"
        try:
            return await self._taken(step, own_transaction=own_transaction)
        except RefusedError as refusal:
            error = wire.error(refusal.sqlstate, refusal.message, refusal.detail)
        except BackendFailedError as failure:
            error = failure.without_values
        await self._fail(error, step, own_transaction=own_transaction)
        return False

    async def _taken(self, step: Own, *, own_transaction: bool) -> bool:
        match step:
            case Alone():
                if not own_transaction:
                    raise inside_transaction(step.command)
                return await self._backend.relay_query(rewritten(step.statement))
            case Truncate():
                return await self._truncate(step)
            case Maintain():
                await self._maintain(step, own_transaction=own_transaction)
            case Rights():
                return await self._change_rights(step, own_transaction=own_transaction)
            case _:
                await self._moved(step, own_transaction=own_transaction)
        return True

    async def _fail(self, error: Message, step: Step, *, own_transaction: bool) -> None:
        if own_transaction:
            await self._backend.query("ROLLBACK")
            if isinstance(step, CopyStatement):
                await self._backend.query(_set(_COUNT_SETTING, 0))
        elif self._backend.status == b"T":
            await self._backend.abort()
        self._writer.write(error.raw)

    async def _moved(self, step: CopyStatement | UnloadStatement, *, own_transaction: bool) -> None:
        """Run COPY or UNLOAD."""
        if own_transaction:
            await self._backend.query("BEGIN")
        if step.iam_role:
            command = "COPY" if isinstance(step, CopyStatement) else "UNLOAD"
            await self._backend.query(f"SELECT redshift.check_assumerole({literal(step.iam_role)}, '{command}')")
        if isinstance(step, CopyStatement):
            run = await self._loader.begun(step, user=self._user, session=self._backend.process)
            rows = await self._loader.load(step, self._backend, run)
            await self._backend.query(f"{_set(_COUNT_SETTING, rows)}; {_set(_ID_SETTING, run.query)}")
            text = f"Load into table '{step.shown_table}' completed, {rows} record(s) loaded successfully."
            tag = "COPY"
        else:
            rows = await self._unloader.unload(step, self._backend)
            await self._backend.query(_set(_UNLOAD_SETTING, rows))
            text = f"UNLOAD completed, {rows} record(s) unloaded successfully."
            tag = "UNLOAD"
        if own_transaction:
            await self._backend.query("COMMIT")
        self._writer.write(wire.notice("INFO", text).raw + wire.command_complete(tag).raw)

    async def _change_rights(self, step: Rights, *, own_transaction: bool) -> bool:
        """Ask first, then change; both or neither."""
        if step.alone and not own_transaction:
            raise inside_transaction(step.alone)
        if own_transaction:
            await self._backend.query("BEGIN")
        elif step.inside:
            await self._backend.query(step.inside)
        if step.before:
            await self._backend.query(step.before)
        if not step.text:
            self._writer.write(wire.command_complete(step.tag).raw)
        elif not await self._backend.relay_query(step.text):
            if own_transaction:
                await self._backend.query("ROLLBACK")
            return False
        if own_transaction:
            await self._backend.query("COMMIT")
        return True

    async def _truncate(self, step: Truncate) -> bool:
        """Empty the table and commit the transaction, whatever else it did."""
        if not await self._backend.relay_query(f"TRUNCATE TABLE {step.table}"):
            return False
        if self._backend.status == b"T":
            await self._backend.query("COMMIT")
        return True

    async def _maintain(self, step: Maintain, *, own_transaction: bool) -> None:
        if step.command == "VACUUM" and not own_transaction:
            raise inside_transaction(step.command)
        if step.table is not None:
            await self._backend.query(f"SELECT FROM {step.table} LIMIT 0")
        self._writer.write(wire.command_complete(step.command).raw)


def _set(setting: str, number: int) -> str:
    """The statement after which a function of functions.sql tells of this number, until a rollback."""
    return f"SELECT pg_catalog.set_config('{setting}', '{number}', false)"
