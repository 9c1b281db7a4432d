"""What the readers take: the check of a rule that may be a user's own."""

import math
import numbers
from typing import Any, NoReturn

import numpy as np

from evops.connectivity.rules import (
    COUNTED,
    DENSE,
    DIAGONAL,
    GAPS,
    LFSR,
    SUBSET,
    Rule,
    permuted_bits,
)
from evops.connectivity.tables import LOW_BITS
from evops.errors import INT32_MAX

_NAMES = {
    LFSR: "LFSR",
    GAPS: "GAPS",
    DENSE: "DENSE",
    SUBSET: "SUBSET",
    DIAGONAL: "DIAGONAL",
    COUNTED: "COUNTED",
}
_WORD = 2**32 - 1


def check_rule(rule: Rule, shape: tuple[int, int], readers: tuple[int, ...] = ()) -> None:
    """Raise where a matrix of that shape cannot be drawn as `rule` says.

    Args:
        rule: any rule; one that is wrong is named by its class.
        shape: (n_pre, n_post).
        readers: those that the caller has; all by default.

    Raises:
        ValueError: words, a table, a total or an expected number outside their range, or what the
            rule itself raises where shape and parameters do not fit.
        TypeError: words, a table, a total or an expected number that are none; an unhashable rule.
    """
    try:
        hash(rule)
    except TypeError:
        _refuse(rule, TypeError, "it must be hashable, such as a frozen dataclass is")
    scheme = rule.scheme(shape)
    if not isinstance(scheme, tuple) or len(scheme) != 5 or not all(map(_is_integer, scheme)):
        _refuse(rule, TypeError, f"scheme must return a tuple of 5 ints, got {scheme!r}")
    reader, autapses, a, b, c = scheme
    words = a, b, c
    allowed = readers or tuple(_NAMES)
    if reader not in allowed:
        names = ", ".join(f"{k} ({_NAMES[k]})" for k in allowed)
        _refuse(rule, ValueError, f"the reader, scheme[0], must be one of {names}, got {reader}")
    excludes = reader in (GAPS, DENSE)
    if not 0 <= autapses <= excludes:
        _refuse(
            rule,
            ValueError,
            f"scheme[1] must be 0{' or 1' if excludes else f' for {_NAMES[reader]}'}, "
            f"got {autapses}",
        )
    fits, table_size, wanted = _words(reader, a, b, c, shape[1])
    if not fits or max(words) > _WORD:
        _refuse(
            rule,
            ValueError,
            f"scheme[2:] must be {wanted} for {_NAMES[reader]}, got {words}",
        )
    _check_table(rule, rule.table, table_size)
    _check_total(rule, rule.total(shape), reader, words)
    expected = rule.expected_synapses(shape)
    if not isinstance(expected, numbers.Real) or isinstance(expected, (bool, np.bool_)):
        _refuse(rule, TypeError, f"expected_synapses must return a number, got {expected!r}")
    if not 0 <= expected <= shape[0] * INT32_MAX or not math.isfinite(expected):
        _refuse(
            rule,
            ValueError,
            f"expected_synapses must be from 0 to n_pre * {INT32_MAX}, got {expected!r}",
        )


def _words(reader: int, a: int, b: int, c: int, n_post: int) -> tuple[bool, int, str]:
    """Whether three words fit, how long the table is, and what the words must be."""
    if reader == LFSR:
        fits = 1 <= a <= INT32_MAX and b == min((1 << 32) // a, _WORD) and c in (0, 1)
        return fits, 0, f"(clen from 1 to {INT32_MAX}, min(2**32 // clen, 2**32 - 1), hashed)"
    if reader == GAPS:
        fits = 12 <= a <= 22 and 6 <= b <= 12 and c in (0, LOW_BITS)
        size = (1 << b) + (1 << c if c else 0) if fits else 0
        return fits, size, f"(block bits from 12 to 22, digit bits from 6 to 12, 0 or {LOW_BITS})"
    if reader == DENSE:
        fits = (a == 12 and 0 <= b <= 256 and c >= 0) or (0 <= a <= 22 and b == c == 0)
        return fits, 0, "(12, p * 2**8 rounded down, the rest * 2**32)"
    if reader == DIAGONAL:
        return a == b == c == 0, 0, "(0, 0, 0)"
    slots = a if reader == COUNTED else 1
    domain = b == permuted_bits(slots * c) and 1 <= slots * c <= INT32_MAX and c == n_post
    if reader == SUBSET:
        fits = 0 <= a <= INT32_MAX and c == n_post and (b == 0 or (domain and a <= c))
        return (
            fits,
            0,
            f"(k, 0 or {permuted_bits(n_post)} bits for k up to {n_post}, n_post = {n_post})",
        )
    fits = (a, b, c) == (1, 0, 0) or (a >= 1 and domain)
    return fits, 0, f"(1, 0, 0), or (k, bits of k * n_post - 1 and at least 8, n_post = {n_post})"


def _check_table(rule: Rule, table: Any, size: int) -> None:
    if not isinstance(table, np.ndarray) or table.dtype != np.uint32 or table.shape != (size,):
        got = f"{table.dtype}{list(table.shape)}" if isinstance(table, np.ndarray) else repr(table)
        _refuse(rule, TypeError, f"table must be a numpy array uint32[{size}], got {got}")


def _check_total(rule: Rule, total: Any, reader: int, words: tuple[int, int, int]) -> None:
    if reader != COUNTED:
        if total is not None:
            _refuse(rule, TypeError, f"total must be None for {_NAMES[reader]}, got {total!r}")
        return
    if not _is_integer(total):
        _refuse(rule, TypeError, f"total must return an int for COUNTED, got {total!r}")
    k, bits, n_post = words
    most = k * n_post if bits else INT32_MAX
    if not 0 <= total <= most:
        _refuse(rule, ValueError, f"total must be from 0 to {most}, got {total}")


def _is_integer(value: Any) -> bool:
    return type(value) is int  # those of numpy would change the types of what is computed


def _refuse(rule: Rule, error: type[Exception], what: str) -> NoReturn:
    raise error(f"rule {type(rule).__name__} cannot be drawn: {what}") from None
