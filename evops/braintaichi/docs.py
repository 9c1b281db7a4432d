"""The parts that docstrings of the operators share: arguments, results, errors and sources."""

import dataclasses
import inspect
import textwrap
from collections.abc import Callable
from typing import TypeVar

_Function = TypeVar("_Function", bound=Callable)
# Of a docstring in help(), which indents it by four.
_WIDTH = 96

EVENT = "bool, or numbers where 0 and NaN are no event. An event's value is ignored."
_ARGUMENTS = {
    "events": f"`(n_in,)`; {EVENT}",
    "vector": "`(n_in,)`, bool or real.",
    "weight": "scalar or `(1,)`, the weight of every synapse; in float32 for a Python float. Any "
    "unit.",
    "w_low": "scalar or `(1,)`, lower end of the weights; in float32 for a Python number. Any "
    "unit.",
    "w_high": "scalar or `(1,)`, upper end of the weights, in the unit of `w_low`.",
    "w_mu": "scalar or `(1,)`, mean of the weights; in float32 for a Python number. Any unit.",
    "w_sigma": "scalar or `(1,)`, standard deviation of the weights, in the unit of `w_mu`.",
    "conn_prob": "connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.",
    "seed": "integer or JAX key, modulo 2**32; may be traced.",
    "shape": "matrix shape, static.",
    "transpose": "whether `shape` is (n_in, n_out).",
    "outdim_parallel": "whether a line of the scheme is an output.",
    "backend": '"native", "jnp" or None for the fastest there is.',
}


@dataclasses.dataclass(frozen=True)
class Family:
    """The parts that docstrings of one kind of operator share.

    Attributes:
        returns: shape and dtype of the result.
        value_error: which values raise.
        type_error: which types raise.
        arguments: texts by name that differ from those of the other families.
        source: where the operators come from.
        notes: sentences before the arguments, in lines of a docstring.
    """

    returns: str
    value_error: str
    type_error: str = "complex or non-numeric arrays, a traced `shape` or `conn_prob`."
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    source: str = "BrainPy 2.5 and braintaichi 0.0.5."
    notes: str = ""


def documented(family: Family, **own: str) -> Callable[[_Function], _Function]:
    """Decorator that completes a docstring with the sections that its family has in common.

    The text before the example comes first; `own` are texts of arguments that mean something else
    in this function.
    """

    def complete(function: _Function) -> _Function:
        if function.__doc__ is None:  # python -OO
            return function
        text, example, code = inspect.cleandoc(function.__doc__).partition("Example:")
        texts = _ARGUMENTS | family.arguments | own
        sections = {
            "Args": [f"{name}: {texts[name]}" for name in inspect.signature(function).parameters],
            "Returns": [family.returns],
            "Raises": [f"ValueError: {family.value_error}", f"TypeError: {family.type_error}"],
            "Source": [family.source],
        }
        parts = [text.rstrip(), *[family.notes] * bool(family.notes)]
        parts += [_section(*section) for section in sections.items()]
        function.__doc__ = "\n\n".join([*parts, example + code])
        return function

    return complete


def _section(title: str, entries: list[str]) -> str:
    """A section of a docstring, each entry wrapped under its first word."""
    wrapped = (
        textwrap.fill(
            entry,
            _WIDTH,
            initial_indent=" " * 4,
            subsequent_indent=" " * (4 if title in ("Returns", "Source") else 8),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for entry in entries
    )
    return "\n".join([f"{title}:", *wrapped])


EVENTS = Family(
    returns="`(n_out,)` in the dtype of the weights.",
    value_error="a probability, shape, length or backend that does not fit.",
)
VECTOR = Family(
    returns="`(n_out,)` in the dtype of `vector`, or of the weights for a vector of bools or "
    "integers.",
    value_error=EVENTS.value_error,
    notes="The values of the vector count: a NaN reaches every output that it is connected to.",
)
MATRIX = Family(
    returns="`shape`, or reversed with ``transpose=True``, in the dtype of the weights.",
    value_error="a probability, shape or backend that does not fit, 2**31 entries or more.",
    type_error="complex or non-numeric weights, a traced `shape` or `conn_prob`.",
    arguments={
        "shape": "matrix shape before it is transposed, static.",
        "transpose": "whether to return the transposed matrix.",
        "outdim_parallel": "whether a line of the scheme is a row of `shape`, or else a column.",
    },
    notes="Let M be the matrix for `outdim_parallel` and N the one for its opposite. The product "
    "with\na vector v is ``M @ v``, and ``v @ N`` with ``transpose=True``.",
)
AREAS = Family(
    returns="`(area_num, n_post)` in the dtype of `weight`.",
    value_error="a probability, shape, length, area count or backend that does not fit.",
    type_error="complex or non-numeric arrays, a traced static.",
    arguments={
        "seed": "`(area_num,)` integers, taken modulo 2**32; may be traced.",
        "shape": "`(n_pre, n_post)`, static.",
        "area_num": "number of target areas, static.",
    },
    source="BrainPy's notebook of the 29-area model of M. R. Joglekar et al. (2018), Neuron "
    "98:222-234, doi:10.1016/j.neuron.2018.02.031.",
)
