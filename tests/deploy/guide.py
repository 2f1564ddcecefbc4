"""The commands of deploy/ecs/README.md, in order, as somebody would copy them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from tests.deploy.templates import ECS

INDENT = "    "
SQL = ("ALTER", "CREATE", "GRANT", "REVOKE", "SELECT")


@dataclass(frozen=True)
class Command:
    """One command, and the headings that it stands under, such as `4. The way to the warehouse, and back`."""

    section: str
    text: str

    @property
    def is_sql(self) -> bool:
        """For the warehouse's admin user; everything else is for a shell."""
        return self.text.startswith(SQL)


def commands() -> list[Command]:
    """All of them."""
    found, section = [], ""
    for indented, lines in groupby(_lines(), key=lambda line: line.startswith(INDENT)):
        block = [*lines]
        if indented:
            found += [Command(section, text) for text in _split([line.removeprefix(INDENT) for line in block])]
        else:
            headings = [line for line in block if line.startswith("#")]
            section = headings[-1].lstrip("# ") if headings else section
    return found


def _lines() -> Iterator[str]:
    """Without what is fenced: that is no command."""
    text = (ECS / "README.md").read_text(encoding="utf-8")
    yield from re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()


def _split(block: list[str]) -> Iterator[str]:
    """A line that ends with a backslash goes on, and so does a loop until its `done`."""
    held: list[str] = []
    for line in block:
        held.append(line)
        if not line.endswith("\\") and (not held[0].startswith("for ") or line == "done"):
            yield "\n".join(held)
            held = []
    assert not held, held
