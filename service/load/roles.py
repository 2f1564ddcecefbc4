"""`acequia migrate --roles`: who may do what in the warehouse, from the numbered files of `sql/roles/`.

A right that is there already is given again, which changes nothing; a role is made once and never dropped. Each
statement is committed by itself, so what dies in between is done by the next run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.core.datasets import LAKE_SCHEMA, SERVICE_SCHEMA
from service.core.errors import SetupError
from service.core.ports import Statement, Warehouse
from service.load.migrate import Step
from service.load.statements import Statements, identifier, listed, literal

ROLE_STATEMENTS = ("login", "roles", "nested", "holders", "relations", "external_schemas")
OPERATOR = "acequia_operator"
"""Who makes tables; what others may do with those is said for each user who has it."""
NOBODY = f"default privileges: nobody makes tables yet; grant {OPERATOR} to who migrates, and run this again"

_NUMBERED = re.compile(r"\d{3}_\w+\.sql")
_WHERE = re.compile(r"Only where there is (\S+)")
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the warehouse has: relations by their full names and external schemas; what needs no doing; who makes."""

    there: frozenset[str]
    done: frozenset[str]
    makers: tuple[str, ...]


class Roles:
    """Renders the files for one database and the IAM role that COPY uses, and runs them."""

    def __init__(self, sql: Path, warehouse: Warehouse, *, database: str, copy_role: str) -> None:
        self._files = sql / "roles"
        self._warehouse = warehouse
        self._places = {"database": identifier(database), "copy_role": literal(copy_role)}
        self._questions = Statements.load(sql / "statements" / "roles.sql", expected=ROLE_STATEMENTS)

    async def run(self) -> list[Step]:
        """Make the roles and give the rights; returns what was done. Raises SetupError, having done nothing, for a
        login that may not.
        """
        steps = await self.plan()
        for step in steps:
            for statement in step.statements:
                await self._warehouse.run(statement)
        return steps

    async def plan(self) -> list[Step]:
        """What `run` would do, without doing any of it. Raises SetupError as `run` does."""
        facts = await self._look()
        paths = sorted(path for path in self._files.glob("*.sql") if _NUMBERED.fullmatch(path.name))
        if not paths:
            raise SetupError(f"{self._files}: no files; ACEQUIA_SQL_DIRECTORY must name the project's sql/ directory")
        steps = [Step(f"roles/{path.name}", list(self._statements(path, facts))) for path in paths]
        return [*steps, *([] if facts.makers else [Step(NOBODY, [])])]

    def _statements(self, path: Path, facts: _Facts) -> Iterator[Statement]:
        places = self._places | {"makers": listed(map(identifier, facts.makers))}
        for number, (text, needed) in enumerate(_pieces(path.read_text(encoding="utf-8")), start=1):
            nobody = "{makers}" in text and not facts.makers
            if text in facts.done or nobody or not facts.there.issuperset(needed):
                continue
            yield Statement(f"{path.stem} {number}", _PLACE.sub(lambda place: places[place[1]], text))

    async def _look(self) -> _Facts:
        schemas = listed(map(literal, (LAKE_SCHEMA, SERVICE_SCHEMA)))
        async with self._warehouse.transaction() as session:
            [(user, superuser)] = await session.fetch(self._questions.render("login"))
            if not superuser:
                raise SetupError(
                    f"warehouse: user {user} is no superuser, and roles are made and rights given by one alone: log in "
                    "as the admin user of the cluster or workgroup, or let that one run for the time "
                    f"`ALTER USER {identifier(user)} PASSWORD '…' CREATEUSER`; the role sys:superuser is not enough"
                )
            holders = await session.fetch(self._questions.render("holders"))
            roles = await session.fetch(self._questions.render("roles"))
            nested = await session.fetch(self._questions.render("nested"))
            relations = await session.fetch(self._questions.render("relations", schemas=schemas))
            external = await session.fetch(self._questions.render("external_schemas"))
        return _Facts(
            there=frozenset([*(f"{schema}.{name}" for schema, name, _ in relations), *(name for [name] in external)]),
            done=frozenset(
                [
                    *(f"CREATE ROLE {role}" for [role] in roles),
                    *(f"GRANT ROLE {given} TO ROLE {role}" for role, given in nested),
                ]
            ),
            makers=tuple(sorted({owner for _, _, owner in relations} | {u for u, role in holders if role == OPERATOR})),
        )


def _pieces(content: str) -> Iterator[tuple[str, list[str]]]:
    """Each statement without its comments, and what must be there for it."""
    text: list[str] = []
    needed: list[str] = []
    for line in content.splitlines():
        if line.startswith("--"):
            needed += _WHERE.findall(line)
        elif line:
            text.append(line)
        if text and text[-1].endswith(";"):
            yield "\n".join(text).removesuffix(";"), needed
            text, needed = [], []
