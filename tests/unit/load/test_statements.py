"""Named SQL blocks, and the rendering of names and literals."""

from pathlib import Path

import pytest

from service.core.errors import SetupError
from service.load.statements import Statements, identifier, listed, literal

BLOCKS = """-- What this file is for.

-- name: first
-- A remark.
SELECT {columns}
FROM {table};

-- name: second
DROP TABLE {table};
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.sql"
    path.write_text(BLOCKS, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        ("plain", "'plain'"), ("", "''"), ("it's", "'it''s'"), ("a\\b", "'a\\\\b'"), ("\\'", "'\\\\'''"),
        ("\\\\", "'\\\\\\\\'"), ("a\nb;--", "'a\nb;--'"), (0, "0"), (-5, "-5"),
    ],
)  # fmt: skip
def test_a_literal_doubles_quotes_and_backslashes(value: str | int, rendered: str) -> None:
    assert literal(value) == rendered


@pytest.mark.parametrize(
    ("parts", "rendered"),
    [(("a",), '"a"'), (("lake", "things"), '"lake"."things"'), (('x"; DROP TABLE y;--',), '"x""; DROP TABLE y;--"')],
)
def test_an_identifier_is_quoted(parts: tuple[str, ...], rendered: str) -> None:
    assert identifier(*parts) == rendered


def test_a_statement_is_rendered_without_remarks_or_its_semicolon(file: Path) -> None:
    statements = Statements.load(file, expected=["second", "first"])
    rendered = statements.render("first", columns=listed(['"a"', '"b"']), table='"t"', unused="x")
    assert (rendered.name, rendered.text) == ("first", 'SELECT "a", "b"\nFROM "t"')


def test_a_value_that_looks_like_a_place_is_left_alone(file: Path) -> None:
    rendered = Statements.load(file, expected=["first", "second"]).render("first", columns="'{table}'", table='"t"')
    assert rendered.text == "SELECT '{table}'\nFROM \"t\""


@pytest.mark.parametrize("expected", [["first"], ["first", "second", "third"], ["first", "other"], []])
def test_a_file_must_hold_exactly_the_expected_statements(file: Path, expected: list[str]) -> None:
    with pytest.raises(SetupError) as raised:
        Statements.load(file, expected=expected)
    assert str(raised.value) == f"{file}: must hold the statements {', '.join(sorted(expected))}"


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="not found; ACEQUIA_SQL_DIRECTORY must name"):
        Statements.load(tmp_path / "none.sql", expected=[])
