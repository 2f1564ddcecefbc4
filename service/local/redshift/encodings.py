"""Which compression encoding goes with which type of column (AWS: Compression encodings, its table)."""

from service.local.redshift.refusals import RefusedError
from service.local.redshift.statements import Statement

# The text is Redshift's; of the number it is known only that clients take it for an error in the program.
_INVALID_TABLE = "42P16"
_FAMILIES = {
    "SMALLINT": "SMALLINT INT2",
    "INTEGER": "INTEGER INT INT4",
    "BIGINT": "BIGINT INT8",
    "DECIMAL": "DECIMAL NUMERIC",
    "FLOAT": "REAL FLOAT4 DOUBLE FLOAT8 FLOAT",
    "BOOLEAN": "BOOLEAN BOOL",
    "CHAR": "CHAR CHARACTER NCHAR BPCHAR",
    "VARCHAR": "VARCHAR NVARCHAR TEXT",
}
_FAMILY_OF = {word: family for family, words in _FAMILIES.items() for word in words.split()}
_PLAIN = "SMALLINT INTEGER BIGINT DECIMAL DATE TIMESTAMP"
_TAKES = {
    "AZ64": f"{_PLAIN} TIMESTAMPTZ",
    "BYTEDICT": f"{_PLAIN} TIMESTAMPTZ FLOAT CHAR VARCHAR",
    "DELTA": _PLAIN,
    "DELTA32K": "INTEGER BIGINT DECIMAL DATE TIMESTAMP",
    "LZO": f"{_PLAIN} TIMESTAMPTZ CHAR VARCHAR SUPER",
    "MOSTLY8": "SMALLINT INTEGER BIGINT DECIMAL",
    "MOSTLY16": "INTEGER BIGINT DECIMAL",
    "MOSTLY32": "BIGINT DECIMAL",
    "RUNLENGTH": f"{_PLAIN} TIMESTAMPTZ FLOAT BOOLEAN CHAR VARCHAR",
    "TEXT255": "VARCHAR",
    "TEXT32K": "VARCHAR",
    "ZSTD": f"{_PLAIN} TIMESTAMPTZ FLOAT BOOLEAN CHAR VARCHAR SUPER",
}
_ANY_TYPE = frozenset({"RAW", "AUTO"})
ENCODINGS = frozenset(_TAKES) | _ANY_TYPE


def encoding_of(statement: Statement, start: int, end: int) -> str:
    """The encoding that stands among a column's attributes; empty where none does."""
    for at in range(start, end):
        if statement.word(at) == "ENCODE" and statement.word(at + 1) != "(":
            return statement.word(at + 1)
    return ""


def check_encoding(statement: Statement, type_at: int, end: int) -> None:
    """The column's name stands before its type at `type_at`. Raises RefusedError."""
    encoding = encoding_of(statement, type_at, end)
    if not encoding or encoding in _ANY_TYPE:
        return
    words = statement.words(type_at, 2)
    word = "VARCHAR" if "VARYING" in " ".join(words).split() else words[0].split(" ")[0]
    if _FAMILY_OF.get(word, word) not in _TAKES[encoding].split():
        name = statement.name(type_at - 1)
        raise RefusedError(_INVALID_TABLE, f'invalid encoding type specified for column "{name}"')
