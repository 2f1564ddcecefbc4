"""Reads GRANT and REVOKE ASSUMEROLE: who may use which IAM role for which command (AWS: GRANT, its usage notes)."""

from service.local.redshift.grantees import Rights, array, read_grantees
from service.local.redshift.reader import Reader

_COMMANDS = ("COPY", "UNLOAD", "EXTERNAL FUNCTION", "CREATE MODEL")


def read_assumerole(reader: Reader, verb: str) -> Rights:
    """GRANT ASSUMEROLE ON { 'arn', … | DEFAULT | ALL } TO … FOR { ALL | COPY | … }."""
    reader.expect("ASSUMEROLE")
    reader.expect("ON")
    if reader.take("ALL"):
        iam_roles = ["*"]
    elif reader.take("DEFAULT"):
        iam_roles = ["default"]
    else:
        iam_roles = [reader.take_literal()]
        while reader.take(","):
            iam_roles.append(reader.take_literal())
    reader.expect("TO" if verb == "GRANT" else "FROM")
    grantees = read_grantees(reader)
    reader.expect("FOR")
    commands = _commands(reader)
    reader.end()
    names = f"{array(grantees.users + grantees.roles + grantees.groups)}, {str(grantees.public).lower()}"
    change = f"SELECT redshift.change_assumerole('{verb}', {array(iam_roles)}, {names}, {array(commands)})"
    return Rights(f"{grantees.question}; {change}", "", verb)


def _commands(reader: Reader) -> list[str]:
    if reader.take("ALL"):
        return [*_COMMANDS]
    found = []
    while True:
        first = reader.word
        if reader.take("EXTERNAL"):
            reader.expect("FUNCTION")
        elif reader.take("CREATE"):
            reader.expect("MODEL")
        elif not reader.take("COPY", "UNLOAD"):
            raise reader.unexpected()
        found.append(next(command for command in _COMMANDS if command.startswith(first)))
        if not reader.take(","):
            return found
