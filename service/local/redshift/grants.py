"""Reads GRANT, REVOKE, ALTER DEFAULT PRIVILEGES and the statements about roles (AWS: the pages of those names).

PostgreSQL knows neither ASSUMEROLE nor a difference between users, groups and roles, so each statement comes with a
question to `rights.sql` that is asked first, and that fails as Redshift would.
"""

from collections.abc import Sequence

from service.local.redshift.assumptions import read_assumerole
from service.local.redshift.grantees import Grantees, Rights, array, folded, names_of, quoted, read_grantees
from service.local.redshift.reader import Reader
from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported, syntax_error
from service.local.redshift.rights import check_words
from service.local.redshift.statements import Statement

_TABLE = ("SELECT", "INSERT", "UPDATE", "DELETE", "DROP", "REFERENCES", "ALTER", "TRUNCATE")
_DEFAULT = ("SELECT", "INSERT", "UPDATE", "DELETE", "DROP", "REFERENCES", "TRUNCATE")
_DATABASE = ("CREATE", "TEMPORARY", "TEMP", "USAGE", "ALTER")
_SCHEMA = ("CREATE", "USAGE", "ALTER", "DROP")
_NOT_HERE = {"TABLE": {"DROP", "ALTER"}, "DATABASE": {"USAGE", "ALTER"}, "SCHEMA": {"ALTER", "DROP"}}
_OF_THE_SYSTEM = frozenset({"CREATE", "DROP", "ALTER", "TRUNCATE", "VACUUM", "ANALYZE", "CANCEL", "ACCESS", "EXPLAIN"})
_SYSTEM_ROLES = "sys:"
_ROLE_MARK = "VALID UNTIL 'infinity'"
"""How `rights.sql` knows a role from a group: PostgreSQL has one kind for both."""


def read_rights(statement: Statement) -> Rights:
    """Raises RefusedError."""
    check_words(statement)
    if statement.word(0) in {"GRANT", "REVOKE"} and not {"ON", "ROLE"}.intersection(statement.words(1, len(statement))):
        raise not_supported(f"{OWN_LIMIT} A role is granted and revoked with the word ROLE before its name.")
    reader = Reader(statement, start=0)
    if reader.take("GRANT"):
        return read_assumerole(reader, "GRANT") if reader.word == "ASSUMEROLE" else _granted(reader)
    if reader.take("REVOKE"):
        return read_assumerole(reader, "REVOKE") if reader.word == "ASSUMEROLE" else _revoked(reader)
    if statement.words(0, 2) == ("ALTER", "DEFAULT"):
        return _default_privileges(Reader(statement, start=2))
    return _role(Reader(statement, start=2), statement.word(0))


def _granted(reader: Reader) -> Rights:
    if reader.word == "ROLE":
        return _membership(reader, "GRANT", "TO")
    schemas, what = _what(reader)
    reader.expect("TO")
    grantees = read_grantees(reader)
    option = _grant_option(reader, grantees)
    reader.end()
    before = f"{_external(schemas, inside=False) if 'CREATE' in what.partition(' ON ')[0] else ''}{grantees.question}"
    text = f"GRANT {what} TO {grantees.text}{option}"
    return Rights(before, text, "GRANT", inside=_external(schemas, inside=True))


def _revoked(reader: Reader) -> Rights:
    if reader.word == "ROLE":
        return _membership(reader, "REVOKE", "FROM")
    option = _option_for(reader)
    schemas, what = _what(reader)
    reader.expect("FROM")
    grantees = read_grantees(reader)
    how = _how(reader)
    reader.end()
    text = f"REVOKE {option}{what} FROM {grantees.text}{how}"
    return Rights(grantees.question, text, "REVOKE", inside=_external(schemas, inside=True))


def _external(schemas: Sequence[str], *, inside: bool) -> str:
    """A question that fails for an external schema, which takes no CREATE and no grant inside a transaction."""
    named = array(map(folded, schemas))
    return f"SELECT redshift.check_schemas({named}, {str(inside).lower()}); " if schemas else ""


def _membership(reader: Reader, verb: str, toward: str) -> Rights:
    """GRANT ROLE a, ROLE b TO u, ROLE c."""
    given = Grantees()
    while True:
        reader.expect("ROLE")
        given.roles.append(folded(reader.name()))
        if not reader.take(","):
            break
    reader.expect(toward)
    grantees = read_grantees(reader)
    reader.end()
    if grantees.groups or grantees.public:
        raise syntax_error("GROUP" if grantees.groups else "PUBLIC")
    names = ", ".join(quoted(name) for name in given.roles)
    return Rights(f"{given.question}; {grantees.question}", f"{verb} {names} {toward} {grantees.text}", verb)


def _what(reader: Reader) -> tuple[list[str], str]:
    """The schemas that it is about, if any; and privileges and on what, for PostgreSQL."""
    first = reader.word
    privileges = _privileges(reader, {*_TABLE, *_DATABASE, *_SCHEMA})
    if reader.word == "FOR":
        raise not_supported(f"{OWN_LIMIT} Scoped permissions (FOR … IN …) are not supported.")
    if reader.word != "ON" and first in _OF_THE_SYSTEM:
        raise not_supported(f"{OWN_LIMIT} System permissions are not supported.")
    reader.expect("ON")
    if reader.take("DATABASE"):
        return [], f"{_checked(privileges, 'DATABASE')} ON DATABASE {', '.join(names_of(reader, qualified=False))}"
    if reader.take("SCHEMA"):
        written, names = _checked(privileges, "SCHEMA"), names_of(reader, qualified=False)
        return names, f"{written} ON SCHEMA {', '.join(names)}"
    if reader.take("ALL"):
        reader.expect("TABLES")
        reader.expect("IN")
        reader.expect("SCHEMA")
        schemas = ", ".join(names_of(reader, qualified=False))
        return [], f"{_checked(privileges, 'TABLE')} ON ALL TABLES IN SCHEMA {schemas}"
    reader.take("TABLE")
    return [], f"{_checked(privileges, 'TABLE')} ON {', '.join(names_of(reader, qualified=True))}"


def _privileges(reader: Reader, known: set[str]) -> list[str]:
    """As they are written, with the columns where some follow."""
    if reader.take("ALL"):
        reader.take("PRIVILEGES")
        return ["ALL"]
    found: list[str] = []
    while True:
        word = reader.word
        if not reader.take(*known):
            raise (
                not_supported(f"{OWN_LIMIT} {word} is not supported.")
                if word in _OF_THE_SYSTEM
                else reader.unexpected()
            )
        columns = reader.names() if word in {"SELECT", "UPDATE"} else ()
        found.append(f"{word} ({', '.join(columns)})" if columns else word)
        if not reader.take(","):
            return found


def _checked(privileges: Sequence[str], kind: str) -> str:
    """Refuses what does not go with that kind of object, and what the stand-in does not keep."""
    known = {"TABLE": _TABLE, "DATABASE": _DATABASE, "SCHEMA": _SCHEMA}[kind]
    for privilege in privileges:
        word = privilege.split(" ")[0]
        if word not in {"ALL", *known}:
            raise RefusedError("0LP01", f"invalid privilege type {word} for {'relation' if kind == 'TABLE' else kind}")
        if word in _NOT_HERE[kind]:
            raise not_supported(f"{OWN_LIMIT} The privilege {word} is not supported: only owners alter and drop here.")
    return ", ".join(privileges)


def _grant_option(reader: Reader, grantees: Grantees) -> str:
    """Goes with a user alone (AWS: it cannot be granted to a group or to PUBLIC; its place is behind the user)."""
    if not reader.take("WITH"):
        return ""
    reader.expect("GRANT")
    reader.expect("OPTION")
    if grantees.roles or grantees.groups or grantees.public:
        raise syntax_error("WITH")
    if len(grantees.users) > 1 or reader.word == ",":
        raise not_supported(f"{OWN_LIMIT} WITH GRANT OPTION is taken with one user alone.")
    return " WITH GRANT OPTION"


def _option_for(reader: Reader) -> str:
    if not reader.take("GRANT"):
        return ""
    reader.expect("OPTION")
    reader.expect("FOR")
    return "GRANT OPTION FOR "


def _how(reader: Reader) -> str:
    return f" {reader.before}" if reader.take("CASCADE", "RESTRICT") else ""


def _default_privileges(reader: Reader) -> Rights:
    reader.expect("PRIVILEGES")
    makers, schemas = Grantees(), []
    if reader.take("FOR"):
        reader.expect("USER")
        makers.users = [folded(name) for name in names_of(reader, qualified=False)]
    if reader.take("IN"):
        reader.expect("SCHEMA")
        schemas = names_of(reader, qualified=False)
    text = "ALTER DEFAULT PRIVILEGES"
    text += f" FOR USER {', '.join(map(quoted, makers.users))}" if makers.users else ""
    text += f" IN SCHEMA {', '.join(schemas)}" if schemas else ""
    verb = "GRANT" if reader.take("GRANT") else "REVOKE"
    if verb == "REVOKE":
        reader.expect("REVOKE")
        text += f" REVOKE {_option_for(reader)}"
    else:
        text += " GRANT "
    text += _checked(_privileges(reader, {*_DEFAULT}), "TABLE")
    reader.expect("ON")
    reader.expect("TABLES")
    reader.expect("TO" if verb == "GRANT" else "FROM")
    grantees = read_grantees(reader)
    text += f" ON TABLES {'TO' if verb == 'GRANT' else 'FROM'} {grantees.text}"
    text += _grant_option(reader, grantees) if verb == "GRANT" else _how(reader)
    reader.end()
    creators = f"SELECT redshift.check_creators({array(makers.users)}, {array(map(folded, schemas))})"
    return Rights(f"{makers.question}; {grantees.question}; {creators}", text, "ALTER DEFAULT PRIVILEGES")


def _role(reader: Reader, verb: str) -> Rights:
    """CREATE ROLE r, ALTER ROLE r RENAME TO s, DROP ROLE r [RESTRICT]."""
    named = Grantees(roles=[folded(reader.name())])
    [name] = named.roles
    if name.startswith(_SYSTEM_ROLES):
        raise not_supported(f"{OWN_LIMIT} A role's name does not begin with {_SYSTEM_ROLES}")
    match verb:
        case "CREATE":
            before, text = "", f"CREATE ROLE {quoted(name)} {_ROLE_MARK}"
        case "ALTER":
            reader.expect("RENAME")
            reader.expect("TO")
            before, text = named.question, f"ALTER ROLE {quoted(name)} RENAME TO {quoted(folded(reader.name()))}"
        case _:
            reader.take("RESTRICT")
            before, text = named.question, f"DROP ROLE {quoted(name)}"
    reader.end()
    return Rights(before, text, f"{verb} ROLE")
