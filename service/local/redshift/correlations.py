"""Subqueries that look into the query around them, as far as Redshift can run them.

It turns such a subquery into a join, and refuses what does not become one (AWS: Correlated subqueries). Here a column
of an outer table counts as that where the table's name or alias stands before it; of a bare column nobody can tell
without the tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from service.local.redshift.refusals import OWN_LIMIT, not_supported
from service.local.redshift.vocabulary import SYSTEM_VIEW_PREFIXES

# The number is not known.
_PATTERN = "This type of correlated subquery pattern is not supported due to internal error"
_MOST_NAMES_OF_A_TABLE = 2  # its schema and its own


@dataclass(frozen=True)
class _Reference:
    """A column of an outer query; `blocks` are the queries from the one that it stands in up to the one it means."""

    column: exp.Column
    blocks: Sequence[exp.Expr]


def check_correlations(tree: exp.Expr | None, *, reads_user_table: bool) -> None:
    """`tree` is None where the statement could not be read. Raises RefusedError."""
    if tree is None:
        if reads_user_table:
            raise not_supported(f"{OWN_LIMIT} The subqueries of this statement could not be made out.")
        return
    references = [found for column in tree.find_all(exp.Column) if (found := _reference(column)) is not None]
    if any(_of_system_tables(reference) for reference in references):
        raise not_supported(_PATTERN)
    if reads_user_table and (any(not _joins(found) for found in references) or _aggregated_in(tree)):
        raise not_supported(_PATTERN)


def _joins(reference: _Reference) -> bool:
    """Whether the reference can become a condition of a join."""
    inner, *skipped, outer = reference.blocks
    return not (
        skipped
        or any(_block_of(window) is inner for window in inner.find_all(exp.Window))
        or not _is_equality(reference.column, inner)
        or _in_outer_join(inner, outer)
        or _is_grouped_by(inner, outer)
    )


def _reference(column: exp.Column) -> _Reference | None:
    blocks: list[exp.Expr] = []
    names = [part.name.lower() for part in column.parts[:-1]][:_MOST_NAMES_OF_A_TABLE]
    block = _block_of(column)
    while block is not None:
        blocks.append(block)
        if any(name in _sources(block) for name in names):
            return _Reference(column, blocks) if len(blocks) > 1 else None
        block = _block_of(block)
    return None


def _block_of(node: exp.Expr) -> exp.Expr | None:
    return node.find_ancestor(exp.Select, exp.Update, exp.Delete)


def _sources(block: exp.Expr) -> set[str]:
    tables = block.find_all(exp.Table, exp.Subquery)
    return {table.alias_or_name.lower() for table in tables if _block_of(table) is block}


def _path(start: exp.Expr, end: exp.Expr) -> Iterator[exp.Expr]:
    """What lies around `start`, up to but without `end`."""
    node = start.parent
    while node is not None and node is not end:
        yield node
        node = node.parent


def _is_equality(column: exp.Column, block: exp.Expr) -> bool:
    """Whether the column stands in an equality that must hold, itself or within a plain function."""
    path = [*_path(column, block)]
    equality = next((at for at, node in enumerate(path) if isinstance(node, exp.EQ)), len(path))
    below = all(isinstance(node, exp.Paren | exp.Func) and not _is_choice(node) for node in path[:equality])
    above = [node for node in path[equality + 1 :] if not isinstance(node, exp.Paren | exp.And)]
    return below and len(above) == 1 and isinstance(above[0], exp.Where)


def _is_choice(node: exp.Expr) -> bool:
    return isinstance(node, exp.Connector | exp.AggFunc | exp.Case | exp.If)


def _in_outer_join(inner: exp.Expr, outer: exp.Expr) -> bool:
    return any(isinstance(node, exp.Join) and node.side for node in _path(inner, outer))


def _is_grouped_by(inner: exp.Expr, outer: exp.Expr) -> bool:
    """Whether the outer query groups by the result of the inner one, by its alias or its number."""
    group = outer.args.get("group")
    shown = [*_path(inner, outer)]
    grouped = {part.name.lower() for part in group.expressions} if group else set()
    return any(
        projection.alias.lower() in grouped or str(number) in grouped
        for number, projection in enumerate(outer.args.get("expressions") or [], 1)
        if any(projection is node for node in shown)
    )


def _of_system_tables(reference: _Reference) -> bool:
    """NOT IN with a subquery that looks out, about system tables."""
    inner, outer = reference.blocks[0], reference.blocks[-1]
    path = [*_path(inner, outer)]
    is_sensitive = any(isinstance(node, exp.In) and isinstance(node.parent, exp.Not) for node in path)
    tables = [*inner.find_all(exp.Table), *outer.find_all(exp.Table)]
    return is_sensitive and any(table.name.lower().startswith(SYSTEM_VIEW_PREFIXES) for table in tables)


def _aggregated_in(tree: exp.Expr) -> bool:
    """IN with a subquery that groups and aggregates, but for MIN and MAX."""
    for found in tree.find_all(exp.In):
        query = found.args.get("query")
        select = query.this if isinstance(query, exp.Subquery) else query
        if not isinstance(select, exp.Select) or not select.args.get("group"):
            continue
        aggregates = [node for each in select.expressions for node in each.find_all(exp.AggFunc)]
        if any(not isinstance(node, exp.Min | exp.Max) for node in aggregates):
            return True
    return False
