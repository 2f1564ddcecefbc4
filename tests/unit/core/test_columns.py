"""Column types as a definition writes them."""

import pytest

from service.core.columns import ColumnType


@pytest.mark.parametrize(
    ("written", "ddl"),
    [
        ("smallint", "smallint"),
        ("integer", "integer"),
        ("bigint", "bigint"),
        ("double", "double precision"),
        ("boolean", "boolean"),
        ("date", "date"),
        ("timestamp", "timestamp"),
        ("super", "super"),
        ("varchar(1)", "varchar(1)"),
        ("varchar(65535)", "varchar(65535)"),
        ("decimal(38,38)", "decimal(38,38)"),
        ("decimal(5, 0)", "decimal(5,0)"),
        (" VARCHAR(8) ", "varchar(8)"),
    ],
)
def test_a_type_is_read_and_written_as_redshift_takes_it(written: str, ddl: str) -> None:
    assert str(ColumnType.parse(written)) == ddl


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("", r"type '' is not known; use one of smallint, integer,"),
        ("text", r"decimal\(p,s\), varchar\(n\)$"),
        ("double precision", "is not known"),
        ("varchar", "is not known"),
        ("integer(4)", "is not known"),
        ("decimal(5)", "is not known"),
        ("varchar(5,1)", "is not known"),
        ("varchar(8) x", "is not known"),
        ("varchar(0)", "varchar takes 1 to 65535 bytes"),
        ("varchar(65536)", "varchar takes 1 to 65535 bytes"),
        ("decimal(0,0)", "p from 1 to 38 and s up to p"),
        ("decimal(39,0)", "p from 1 to 38 and s up to p"),
        ("decimal(5,6)", "p from 1 to 38 and s up to p"),
    ],
)
def test_another_type_is_refused_with_what_would_be_right(written: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        ColumnType.parse(written)
