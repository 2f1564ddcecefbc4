"""What statements about rights have in common: who is named in them, and names as PostgreSQL takes them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from service.local.redshift.reader import Reader

_NOBODY = frozenset({"CURRENT_USER", "SESSION_USER", "CURRENT_ROLE", "USER"})


@dataclass(frozen=True)
class Rights:
    """`before` is run first and fails where Redshift would; `text` goes to PostgreSQL, unless `before` did it all."""

    before: str
    text: str
    tag: str
    alone: str = ""
    """What it is called where it may not stand in a transaction; empty if it may."""
    inside: str = ""
    """Asked besides where it stands in a transaction."""


@dataclass
class Grantees:
    """Who was named, as they are folded, and the list as PostgreSQL takes it."""

    users: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    public: bool = False
    text: str = ""

    @property
    def question(self) -> str:
        return f"SELECT redshift.check_names({array(self.users)}, {array(self.roles)}, {array(self.groups)})"


def read_grantees(reader: Reader) -> Grantees:
    """user | ROLE r | GROUP g | PUBLIC, …"""
    found, texts = Grantees(), []
    while True:
        kind = reader.word
        if reader.take("PUBLIC"):
            found.public = True
            texts.append("PUBLIC")
        elif reader.take("ROLE", "GROUP"):
            name = folded(reader.name())
            (found.roles if kind == "ROLE" else found.groups).append(name)
            texts.append(quoted(name))
        else:
            if kind in _NOBODY:
                raise reader.unexpected()
            found.users.append(folded(reader.name()))
            texts.append(quoted(found.users[-1]))
        if not reader.take(","):
            break
    found.text = ", ".join(texts)
    return found


def names_of(reader: Reader, *, qualified: bool) -> list[str]:
    """Names with commas between them, as they are written."""
    found = []
    while True:
        found.append(reader.qualified_name() if qualified else reader.name())
        if not reader.take(","):
            return found


def folded(written: str) -> str:
    """A name as Redshift keeps it: in lower case, quoted or not."""
    return (written[1:-1].replace('""', '"') if written.startswith('"') else written).lower()


def quoted(name: str) -> str:
    """A name for PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A string for PostgreSQL, where a backslash is an escape."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def array(values: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(map(literal, values))}]::text[]"
