"""Prints the table of `docs/poison.md`: `python -m tests.poison.table`."""

from tests.poison.corpus import CORPUS, Poison


def row(poison: Poison) -> str:
    """One line of the table."""
    values = ", ".join("NULL" if value is None else str(value) for value in poison.loaded)
    loaded = f"loaded, with {values} as its amount" if values else "holds no record: nothing happens"
    codes = ", ".join(f"`{code}`" for code in poison.codes)
    return f"| {poison.name} | {codes or loaded} |"


def table() -> str:
    """The whole table."""
    return "\n".join(["| what comes | what becomes of it |", "| --- | --- |", *map(row, CORPUS)])


if __name__ == "__main__":
    print(table())  # noqa: T201 (its purpose)
