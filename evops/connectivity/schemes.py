"""The check of a rule, which may be a user's own, against the readers."""

import math
import numbers
from typing import Any, NoReturn

import numpy as np

from evops.connectivity.format import MAX_SYNAPSES, SCHEMES, CountedRows, Scheme, fields
from evops.connectivity.rule import Rule
from evops.errors import shown


def check_rule(
    rule: Rule, shape: tuple[int, int], allowed: tuple[type[Scheme], ...] = tuple(SCHEMES.values())
) -> None:
    """Raise where a matrix of that shape cannot be drawn as `rule` says.

    Args:
        rule: any rule; one that is wrong is named by its class.
        shape: (n_pre, n_post).
        allowed: the records whose readers the caller has; all by default.

    Raises:
        ValueError: fields, a table, a total or an expected number outside their range. A rule may
            also raise it for parameters that do not fit the shape.
        TypeError: no record, or one whose fields, table, total or expected number are none; an
            unhashable rule.
    """
    try:
        hash(rule)
    except TypeError:
        _refuse(rule, TypeError, "it must be hashable, such as a frozen dataclass is")
    scheme = rule.scheme(shape)
    if type(scheme) not in allowed:
        names = ", ".join(record.__name__ for record in allowed)
        wanted = f"a record of evops.connectivity.format ({names})"
        what = f"scheme must return {wanted}, got {shown(scheme)}"
        _refuse(rule, TypeError, what)
    _check_scheme(rule, scheme, shape[1])
    _check_table(rule, rule.table, scheme.table_size)
    _check_total(rule, rule.total(shape), scheme)
    expected = rule.expected_synapses(shape)
    if not isinstance(expected, numbers.Real) or isinstance(expected, (bool, np.bool_)):
        _refuse(rule, TypeError, f"expected_synapses must return a number, got {shown(expected)}")
    if not 0 <= expected <= shape[0] * MAX_SYNAPSES or not math.isfinite(expected):
        _refuse(
            rule,
            ValueError,
            f"expected_synapses must be from 0 to n_pre * {MAX_SYNAPSES}, got {shown(expected)}",
        )


def _check_scheme(rule: Rule, scheme: Scheme, n_post: int) -> None:
    name = type(scheme).__name__
    for field in fields(type(scheme)):
        value, low, high = (
            getattr(scheme, field.name),
            field.metadata["low"],
            field.metadata["high"],
        )
        if not _is_integer(value):
            _refuse(rule, TypeError, f"{name}.{field.name} must be an int, got {shown(value)}")
        if not low <= value <= high:
            wanted = f"from {low} to {high} ({field.metadata['meaning']})"
            _refuse(rule, ValueError, f"{name}.{field.name} must be {wanted}, got {value}")
    excludes = scheme.exclude_autapses
    if type(excludes) is not bool or excludes > scheme.excludes:
        wanted = "a bool" if scheme.excludes else f"False, {name} cannot leave pairs out"
        what = f"{name}.exclude_autapses must be {wanted}, got {shown(excludes)}"
        _refuse(rule, ValueError if excludes is True else TypeError, what)
    fits, wanted = scheme.relation(n_post)
    if not fits:
        _refuse(rule, ValueError, f"{name} must have {wanted}, got {scheme}")


def _check_table(rule: Rule, table: Any, size: int) -> None:
    if not isinstance(table, np.ndarray) or table.dtype != np.uint32 or table.shape != (size,):
        got = f"{table.dtype}{list(table.shape)}" if isinstance(table, np.ndarray) else repr(table)
        _refuse(rule, TypeError, f"table must be a numpy array uint32[{size}], got {got}")


def _check_total(rule: Rule, total: Any, scheme: Scheme) -> None:
    if not isinstance(scheme, CountedRows):
        if total is not None:
            what = f"total must be None for {type(scheme).__name__}, got {shown(total)}"
            _refuse(rule, TypeError, what)
        return
    if not _is_integer(total):
        _refuse(rule, TypeError, f"total must return an int for CountedRows, got {shown(total)}")
    most = scheme.slots * scheme.n_post if scheme.low_bits else MAX_SYNAPSES
    if not 0 <= total <= most:
        _refuse(rule, ValueError, f"total must be from 0 to {most}, got {total}")


def _is_integer(value: Any) -> bool:
    return type(value) is int  # those of numpy would change the types of what is computed


def _refuse(rule: Rule, error: type[Exception], what: str) -> NoReturn:
    raise error(f"rule {type(rule).__name__} cannot be drawn: {what}") from None
