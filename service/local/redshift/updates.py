"""UPDATE … FROM: the other tables must be joined with the target by an equality (AWS: UPDATE, usage notes)."""

from sqlglot import exp

from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported

# The number is not known.
_NO_EQUIJOIN = RefusedError("0A000", "Target table must be part of an equijoin predicate")


def check_update(tree: exp.Expr | None) -> None:
    """Raises RefusedError. A condition counts where both of its columns have their table's name before them."""
    if not isinstance(tree, exp.Update) or not tree.args.get("from_"):
        return
    source = tree.args["from_"]
    if any(join.side for join in source.find_all(exp.Join) if join.find_ancestor(exp.Select) is None):
        raise _NO_EQUIJOIN
    target = tree.this.alias_or_name.lower()
    where = tree.args.get("where")
    equalities = [part for part in _conjuncts(where.this if where else None) if isinstance(part, exp.EQ)]
    sides = [({*_tables(each.this)}, {*_tables(each.expression)}) for each in equalities]
    if any(_joins(left, right, target) or _joins(right, left, target) for left, right in sides):
        return
    if any("" in left | right and left and right for left, right in sides):
        raise not_supported(f"{OWN_LIMIT} Write the tables' names before the columns that join the target of UPDATE.")
    raise _NO_EQUIJOIN


def _joins(left: set[str], right: set[str], target: str) -> bool:
    return left == {target} and bool(right) and not right & {target, ""}


def _conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    if condition is None:
        return []
    if isinstance(condition, exp.Paren):
        return _conjuncts(condition.this)
    if isinstance(condition, exp.And):
        return [*_conjuncts(condition.this), *_conjuncts(condition.expression)]
    return [condition]


def _tables(side: exp.Expr) -> list[str]:
    return [column.table.lower() for column in side.find_all(exp.Column)]
