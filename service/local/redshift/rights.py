"""Users, groups, roles and grants, and the plain statements about schemas, views and tables."""

import re

from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported, syntax_error
from service.local.redshift.statements import Statement

_USER_OPTIONS = frozenset(
    {"WITH", "PASSWORD", "IN", "GROUP", "CONNECTION", "LIMIT", "VALID", "UNTIL", "UNLIMITED", ","}
)
_REFUSED_WORDS = frozenset(
    {"EXTERNAL", "DATASHARE", "FUNCTION", "FUNCTIONS", "PROCEDURE", "LANGUAGE", "MODEL", "ADMIN",
     "SUPERUSER", "CREATEROLE", "CREATEDB", "CREATEUSER", "DISABLE", "SYSLOG", "SESSION", "QUOTA", "EXTERNALID",
     "MASKING", "RLS", "IGNORE", "SEQUENCE", "SEQUENCES", "PARAMETER", "TABLESPACE", "GRANTED", "AUTHORIZATION"}
)  # fmt: skip
_NOT_TAKEN = "28P01"
_HASHED = re.compile(r"md5[0-9a-fA-F]{32}")
# Of the printable characters all but these: ' " \\ / @
_CLEAR_TEXT = re.compile(r"[!#-&(-.0-?A-\[\]-~]{8,64}")
_HOLDS = ("[A-Z]", "[a-z]", "[0-9]")
_RULES = "8 to 64 characters, upper and lower case letters and a digit, and no ' \" \\ / @ or blank."
_OWN_ROLES = ("standin", "pg_")


def check_rights(statement: Statement) -> None:
    """Raises RefusedError for a form that is not supported. Grants and roles have a grammar of their own."""
    check_words(statement)
    match statement.words(0, 2):
        case (("CREATE" | "ALTER"), "USER"):
            _check_user(statement)
        case "CREATE", "SCHEMA":
            name = 5 if statement.words(2, 3) == ("IF", "NOT", "EXISTS") else 2
            if len(statement) != name + 1:
                raise syntax_error(statement.shown(name + 1))
        case "ALTER", "SCHEMA":
            if statement.words(3, 2) not in {("RENAME", "TO"), ("OWNER", "TO")}:
                raise syntax_error(statement.shown(3))


def check_words(statement: Statement) -> None:
    """Raises RefusedError for a word of what is not supported, and for names that are the stand-in's own."""
    check_own_names(statement)
    for at in range(1, len(statement)):
        if statement.word(at) in _REFUSED_WORDS and statement.word(1) != "ASSUMEROLE":
            raise not_supported(f"{OWN_LIMIT} {statement.word(at)} is not supported here.")
        if statement.word(at) == "(" and statement.word(0) not in {"GRANT", "REVOKE"}:
            raise syntax_error("(")


def check_own_names(statement: Statement) -> None:
    """Raises RefusedError."""
    for at in range(1, len(statement)):
        if statement.name(at).startswith(_OWN_ROLES):
            raise not_supported(f"{OWN_LIMIT} The name {statement.name(at)} belongs to the stand-in.")


def _check_user(statement: Statement) -> None:
    if statement.word(0) == "CREATE" and "PASSWORD" not in statement.words(0, len(statement)):
        raise not_supported(f"{OWN_LIMIT} CREATE USER needs a PASSWORD.")
    _check_password(statement)
    for at in range(3, len(statement)):
        named = statement.word(at - 1) in {"GROUP", ","}
        if not named and statement.literal(at) is None and statement.word(at) not in _USER_OPTIONS:
            raise syntax_error(statement.shown(at))


def _check_password(statement: Statement) -> None:
    """The rules for a password in clear text (AWS: CREATE USER). The message never shows it."""
    for at in range(len(statement)):
        password = statement.literal(at + 1)
        if statement.word(at) != "PASSWORD" or password is None or _HASHED.fullmatch(password):
            continue
        if password.startswith("sha256|"):
            raise not_supported(f"{OWN_LIMIT} A password is taken in clear text or as an MD5 hash.")
        if not _CLEAR_TEXT.fullmatch(password) or not all(re.search(kind, password) for kind in _HOLDS):
            raise RefusedError(_NOT_TAKEN, f"{OWN_LIMIT} A password needs {_RULES}")
