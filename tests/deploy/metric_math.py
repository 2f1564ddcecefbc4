"""CloudWatch's metric math, as far as the templates use it, for one moment: a metric has a value, or none (`None`).

AWS: using metric math. An operator with a missing side gives nothing; FILL gives a value in its place; a comparison
gives 1 or 0; IF takes a 0 for false; MAX of an array leaves out what is missing. FILL with REPEAT takes the last value
that there was, if there was one.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

Value = float | None

OPERATORS: Mapping[type[Any], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
}


class UnknownError(Exception):
    """The expression has something in it that this evaluator does not know."""


def evaluate(expression: str, metrics: Mapping[str, Value], before: Mapping[str, Value] | None = None) -> Value:
    """The value of an expression, whose words are Python's but for IF and AND. `before` is what metrics had last."""
    python = expression.replace("IF(", "IF_(").replace(" AND ", " and ").replace(" OR ", " or ")
    last = {f"{name} before": value for name, value in (before or {}).items()}
    return _value(ast.parse(python, mode="eval").body, {**metrics, **last})


def _value(node: ast.expr, metrics: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return metrics[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _both(type(op), _value(left, metrics), _value(right, metrics))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _both(type(op), _value(left, metrics), _value(right, metrics))
        case ast.BoolOp(op=op, values=several):
            found = [_value(one, metrics) for one in several]
            whole = float(all(found) if isinstance(op, ast.And) else any(found))
            return None if None in found else whole
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, arguments, metrics)
    raise UnknownError(ast.unparse(node))


def _both(op: type[Any], left: Value, right: Value) -> Value:
    if left is None or right is None:
        return None
    if op is ast.Div and right == 0:
        return None  # AWS drops points that a division by zero would make
    return float(OPERATORS[op](left, right))


def _call(name: str, arguments: list[ast.expr], metrics: Mapping[str, Value]) -> Value:
    match name, arguments:
        case "FILL", [ast.Name(id=series), ast.Name(id="REPEAT")]:
            return metrics.get(f"{series} before") if metrics[series] is None else metrics[series]
        case "FILL", [series, filling]:
            found = _value(series, metrics)
            return _value(filling, metrics) if found is None else found
        case "IF_", [condition, then, otherwise]:
            asked = _value(condition, metrics)
            if asked is None:
                return None
            return _value(then if asked else otherwise, metrics)
        case "MAX", [ast.List(elts=several)]:
            return max((one for one in (_value(part, metrics) for part in several) if one is not None), default=None)
    raise UnknownError(name)
