"""Calls that are refused, or that mean the same as a plain call, as source text.

``cd tests && python -c "from fuzz_refused import *; CALL"`` repeats a call. One argument is odd,
the others are good.
"""

import dataclasses
import decimal  # noqa: F401
import fractions  # noqa: F401
import functools
import math  # noqa: F401
import re
from typing import Any

import jax
import jax.numpy as jnp  # noqa: F401
import ml_dtypes  # noqa: F401
import networkx
import numpy as np
from matplotlib.figure import Figure

import evops
import evops.plot
from evops.connectivity import format  # noqa: F401
from fuzz_calls import CALLS
from fuzz_kinds import pick

# ---- objects of calls: 5 pre and 6 post neurons ----
RULE = evops.FixedProbability(0.5)
W = evops.Projection(RULE, 0.5, (5, 6), seed=1, delay=2)
CSR = evops.CSR([0.5, 1.0, 2.0], [0, 5, 2], [0, 1, 1, 2, 3, 3], shape=(5, 6))
DELAYED = evops.CSR.from_edges([1, 4, 1], [0, 5, 2], 0.5, shape=(5, 6), delay=2)
WEIGHTED = W.with_weights(0.5)
GRAPH = networkx.path_graph(3)
POPULATIONS = evops.Populations({"E": 5, "I": 6})
CIRCUIT = evops.Circuit(POPULATIONS, {("E", "I"): W})
MULTI = evops.MultiAreaProjection(0.5, np.ones((2, 2)), 1, pre=5, post=6, seed=1)
BUFFER = evops.DelayBuffer.zeros(11, 2)
ROW = {"source": "E", "target": "I", "p": 0.5, "weight": 1.0, "delay": 1.0}
OP = evops.XLACustomOp(fallback=lambda x, *, outs, **statics: [2 * x])
OUT = jax.ShapeDtypeStruct((3,), np.float32)


class Weird:
    """Has the methods of a number, and no more."""

    def __init__(self, value):
        self.value = value

    def __float__(self):
        return self.value

    def __len__(self):
        return 2


@dataclasses.dataclass(frozen=True)
class OwnRule(evops.Rule):
    """A rule of a user, which returns what it is given."""

    of_scheme: Any
    of_total: Any = None
    expected: Any = 1.0

    def scheme(self, shape):
        return self.of_scheme

    def total(self, shape):
        return self.of_total

    def expected_synapses(self, shape):
        return self.expected


@dataclasses.dataclass(frozen=True)
class OwnConnector(evops.Connector):
    """A connector of a user, which returns what it is given."""

    found: Any

    def edges(self, n_pre, n_post, seed):
        return self.found


@dataclasses.dataclass(frozen=True)
class OwnMatrix(evops.Connector):
    """The same, of a matrix."""

    found: Any

    def matrix(self, n_pre, n_post, seed):
        return self.found


def OwnLaw(found, quantile=abs):
    """A law of a user, with that location and scale."""

    class OwnLaw(evops.Law):
        unit_quantile = staticmethod(quantile)

        def loc_scale(self):
            return found

    return OwnLaw()


def KERNEL(x: int):
    """No kernel of Taichi."""


def axes():
    """Axes of matplotlib that nothing keeps."""
    return Figure().add_subplot()


def drawn(ax):
    """What a picture shows, as arrays."""
    dots = [line.get_xydata() for line in ax.lines]
    lines = [np.array(each.get_segments()) for each in ax.collections]
    steps = [np.array(patch.get_data().values) for patch in ax.patches]
    return [*dots, *lines, *steps, *(np.array(image.get_array()) for image in ax.images)]


def traced(call, value):
    """`call` of a tracer."""
    return jax.eval_shape(lambda t: (call(t), None)[1], value)


@functools.cache
def valued(text):
    """The value of source text, made once."""
    return eval(text, globals())


def draw(rng):
    """A call at random, its odd argument, its text, what an error must name, and what it equals.

    It equals None where it must be refused.
    """
    of = pick(rng, CALLS)
    odd = pick(rng, list(of.kinds))
    kind, good = of.kinds[odd], {name: pick(rng, values) for name, values in of.good.items()}
    named = rf"(?<!\w){odd}(?!\w)" + (f"|{of.names[odd]}" if odd in of.names else "")
    turn = rng.random()
    if kind.fine and turn < 0.2:
        value, plain = pick(rng, kind.fine)
        meaning = fill(of, good, odd, plain)
    elif kind.either and turn < 0.3:
        value, meaning = pick(rng, kind.either), "either"
    else:
        generated = kind.draw is not None and turn < 0.5
        value, meaning = kind.draw(rng) if generated else pick(rng, kind.bad), None
    return of, odd, fill(of, good, odd, value), named, meaning


def fill(of, good, odd, value):
    """The text of a call."""
    text = of.text.format(**{**good, odd: "t" if value.startswith("TRACED(") else value})
    found = re.search(r"TRACED\(([^()]*(?:\([^()]*(?:\([^()]*\))?[^()]*\))?[^()]*)\)", value)
    if not found:
        return text
    text = of.text.format(**{**good, odd: value.replace(found[0], "t")})
    return f"traced(lambda t: {text}, {found[1]})"
