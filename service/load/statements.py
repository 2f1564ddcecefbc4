"""SQL is SQL: statements are named blocks in `sql/`, loaded and checked at start; names and literals are rendered here.

Redshift treats a backslash in a literal as an escape, so literals double both quotes and backslashes.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from service.core.errors import SetupError
from service.core.ports import Statement

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PLACE = re.compile(r"\{(\w+)\}")


class Statements:
    """The named blocks of one file."""

    def __init__(self, blocks: Mapping[str, str]) -> None:
        self._blocks = blocks

    @classmethod
    def load(cls, path: Path, *, expected: Iterable[str]) -> "Statements":
        """Read a file; raises SetupError unless it has exactly the expected names."""
        if not path.is_file():
            raise SetupError(f"{path}: not found; ACEQUIA_SQL_DIRECTORY must name the project's sql/ directory")
        pieces = _NAME.split(path.read_text(encoding="utf-8"))[1:]
        blocks = {name: _without_comments(text) for name, text in zip(pieces[::2], pieces[1::2], strict=True)}
        if sorted(blocks) != sorted(expected):
            raise SetupError(f"{path}: must hold the statements {', '.join(sorted(expected))}")
        return cls(blocks)

    def render(self, name: str, /, **places: str) -> Statement:
        """The statement with its places filled by SQL text that the functions below made."""
        text = self._blocks[name]
        wanted = set(_PLACE.findall(text))
        assert wanted <= set(places), f"{name} needs {sorted(wanted)}"
        return Statement(name, _PLACE.sub(lambda place: places[place[1]], text))


def identifier(*parts: str) -> str:
    """A quoted, possibly qualified name."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(value: str | int) -> str:
    """A string or integer literal."""
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def listed(pieces: Iterable[str]) -> str:
    """Pieces of SQL joined by commas."""
    return ", ".join(pieces)


def _without_comments(text: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return "\n".join(lines).strip().removesuffix(";")
