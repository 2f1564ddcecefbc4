"""What `acequia migrate --roles` makes of its files, for warehouses that say different things of themselves."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import SetupError
from service.core.ports import Session, Statement
from service.load.roles import NOBODY, Roles
from service.settings import PROJECT

EMPTY: Mapping[str, Sequence[tuple[Any, ...]]] = {
    "login": [("admin", True)], "roles": [], "nested": [], "holders": [], "relations": [], "external_schemas": [],
}  # fmt: skip
TABLES = {"relations": [("lake", "things", "ops"), ("acequia", "failures", "admin")]}
NAMES = {"bi", "analyst", "loader", "spectrum", "operator"}


class Told:
    """A warehouse that answers questions by their names, and keeps what is run."""

    def __init__(self, **answers: Sequence[tuple[Any, ...]]) -> None:
        self._answers = {**EMPTY, **answers}
        self.ran: list[str] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        yield self

    async def execute(self, statement: Statement) -> None:
        raise AssertionError(f"{statement.name}: in a transaction nothing is changed")

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        return list(self._answers[statement.name])

    async def run(self, statement: Statement) -> None:
        self.ran.append(statement.text)


def roles(warehouse: Told, sql: Path = PROJECT / "sql") -> Roles:
    return Roles(sql, warehouse, database='la"ke', copy_role="arn:o'role")


async def planned(**answers: Sequence[tuple[Any, ...]]) -> list[str]:
    return [statement.text for step in await roles(Told(**answers)).plan() for statement in step.statements]


async def test_all_is_run_in_the_order_of_the_plan() -> None:
    warehouse = Told(**TABLES)
    steps = await roles(warehouse).run()
    assert warehouse.ran == [statement.text for step in steps for statement in step.statements]
    assert [step.title for step in steps] == sorted(
        f"roles/{path.name}" for path in (PROJECT / "sql/roles").glob("*.sql")
    )
    made = {text.removeprefix("CREATE ROLE acequia_") for text in warehouse.ran if text.startswith("CREATE ROLE")}
    assert made == NAMES


async def test_no_place_is_left_and_names_are_quoted() -> None:
    texts = await planned(**TABLES)
    assert not [text for text in texts if re.search(r"[{};]|--", text)]
    assert 'GRANT TEMP ON DATABASE "la""ke" TO ROLE acequia_loader' in texts
    assert "GRANT ASSUMEROLE ON 'arn:o''role' TO ROLE acequia_loader FOR COPY" in texts


async def test_what_is_there_is_not_made_again() -> None:
    there = await planned(roles=[("acequia_bi",)], nested=[("acequia_analyst", "acequia_bi")])
    left = set(await planned()) - set(there)
    assert left == {"CREATE ROLE acequia_bi", "GRANT ROLE acequia_bi TO ROLE acequia_analyst"}


async def test_rights_on_a_view_wait_for_the_view_and_those_on_an_external_schema_for_it() -> None:
    more = set(await planned(relations=[("acequia", "failures", "ops")], holders=[("ops", "acequia_operator")]))
    assert more - set(await planned(holders=[("ops", "acequia_operator")])) == {
        "GRANT SELECT ON acequia.failures TO ROLE acequia_bi"
    }
    assert set(await planned(external_schemas=[("errors_lake",)])) - set(await planned()) == {
        "GRANT USAGE ON SCHEMA errors_lake TO ROLE acequia_spectrum"
    }


async def test_default_privileges_are_for_owners_and_operators_or_for_nobody_yet() -> None:
    holders = [("new", "acequia_operator"), ("somebody", "acequia_loader")]
    texts = [text for text in await planned(**TABLES, holders=holders) if "DEFAULT PRIVILEGES" in text]
    assert len(texts) == 3
    assert all('FOR USER "admin", "new", "ops" IN SCHEMA' in text for text in texts)
    assert not [text for text in await planned() if "DEFAULT PRIVILEGES" in text]
    assert [step.title for step in await roles(Told()).plan()][-1] == NOBODY


@pytest.mark.parametrize("role", ["acequia_operator", "sys:superuser"])
async def test_only_superusers_are_taken(role: str) -> None:
    """The system role has no right to give rights on what others own (AWS: Redshift, system permissions for RBAC)."""
    warehouse = Told(login=[("ops", False)], holders=[("ops", role)])
    with pytest.raises(SetupError, match=r'user ops is no superuser.*`ALTER USER "ops" PASSWORD .*CREATEUSER`'):
        await roles(warehouse).run()
    assert warehouse.ran == []


async def test_a_directory_without_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "statements").symlink_to(PROJECT / "sql" / "statements")
    with pytest.raises(SetupError, match="ACEQUIA_SQL_DIRECTORY must name the project's sql/ directory"):
        await roles(Told(), tmp_path).plan()
