"""Values for the shapes of the fuzzer: ends of ranges as often as what lies between them."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import evops

ALMOST = 1 - 2.0**-40


class Exponential(evops.Law):
    """A law of a user."""

    mean: Any
    unit_quantile = staticmethod(lambda u: -np.log1p(-u))

    def loc_scale(self):
        return 0, self.mean


def pick(rng, options):
    return options[int(rng.integers(len(options)))]


def side(rng):
    return int(pick(rng, [1, 2, int(rng.integers(1, 40)), int(rng.integers(1, 40)), 255, 256, 257]))


def sides(rng):
    """n_pre and n_post, few pairs."""
    n_pre, n_post = side(rng), side(rng)
    return (n_pre, n_post) if n_pre * n_post < 3000 else (min(n_pre, 4), n_post)


def draw_seed(rng):
    return int(pick(rng, [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1, *rng.integers(0, 2**63, 9)]))


def draw_number(rng):
    """A weight, float32 exactly."""
    size = pick(rng, [1.0, 1.0, 1.0, 1e-30, 1e20, 1e-3])
    return float(np.float32(pick(rng, [rng.normal(), rng.normal(), 1.0, -0.5, 0.0]) * size))


def draw_vector(rng, n, dtype, nan=False):
    """Events or numbers: none, one, some or all of them not zero."""
    rate = pick(rng, [0.0, 0.1, 0.5, 1.0])
    fired = rng.random(n) < rate
    if rng.random() < 0.1:
        fired = np.arange(n) == n - 1
    if dtype == "bool":
        return fired
    if dtype.startswith(("int", "uint")):
        low = 0 if dtype.startswith("u") else -3
        return (fired * rng.integers(low, 4, n)).astype(dtype)
    x = np.where(fired, np.round(rng.normal(size=n) * 8) / 8, pick(rng, [0.0, -0.0]))
    if nan and rng.random() < 0.1:
        x[rng.integers(n)] = np.nan
    return np.asarray(jnp.asarray(x, dtype))


def draw_rule(rng, n_pre, n_post, kind, autapses=True):
    """A rule and its spelling for the oracle; `kind` counts through them."""
    p = float(
        pick(rng, [0.0, 1.0, ALMOST, 2.0**-40, 0.125, rng.random(), 10 ** -rng.uniform(0, 4)])
    )
    own = bool(rng.integers(2)) if n_pre == n_post and not autapses else True
    kinds = ["bernoulli", "out", "multapses", "total", "in", "lfsr", "hashed", "all"]
    kinds += ["blocks"]
    kinds += ["one", "neighbours", "symmetric", "no_mutual"] if n_pre == n_post else []
    kind = kinds[kind % len(kinds)]
    if kind == "bernoulli":
        return evops.FixedProbability(p, own), (kind, p, own)
    if kind == "all":
        return evops.AllToAll(own), ("bernoulli", 1.0, own)
    if kind == "out":
        k = int(pick(rng, [0, 1, n_post, rng.integers(n_post + 1)]))
        return evops.FixedOutDegree(k), ("out_degree", k, False)
    if kind == "multapses":
        k = int(pick(rng, [0, 1, n_post + 3, rng.integers(9)]))
        return evops.FixedOutDegree(k, multapses=True), ("out_degree", k, True)
    if kind == "total":
        k = int(pick(rng, [0, 1, rng.integers(200)]))
        return evops.FixedTotalNumber(k), ("total", k)
    if kind == "in":
        k = int(pick(rng, [0, 1, rng.integers(9), n_pre + 1 if n_pre < 50 else 2]))
        return evops.FixedInDegree(k), ("in_degree", k)
    if kind == "one":
        return evops.OneToOne(), ("one_to_one",)
    if kind == "blocks":
        types = [int(t) for t in rng.integers(1, 4, 2)]
        chances = rng.choice([0.0, 1.0, 0.3, p], types).tolist()
        rows, columns = (
            rng.integers(t, size=n).tolist() for t, n in zip(types, (n_pre, n_post), strict=True)
        )
        return (
            evops.BlockProbability(chances, rows, columns, autapses=own),
            (kind, chances, rows, columns, own),
        )
    if kind == "symmetric":
        return evops.SymmetricProbability(p, own), (kind, p, own)
    if kind == "no_mutual":
        return evops.NoMutualProbability(p / 2), (kind, p / 2)
    if kind == "neighbours":
        axes = pick(rng, [(n_pre,), (1, n_pre), (n_pre, 1, 1)])
        radius = float(pick(rng, [0, 1, rng.integers(9)]))
        periodic = tuple(bool(rng.integers(2)) for _ in axes)
        parameters = axes, radius, "chebyshev", periodic, bool(rng.integers(2))
        return evops.Neighbours(*parameters), (kind, *parameters)
    p = float(pick(rng, [1.0, 0.5, 0.15, 1e-3, 1 - rng.random()]))
    return evops.LfsrGaps(p, kind == "hashed"), ("lfsr", p, kind == "hashed")


def draw_law_kind(rng):
    """Function of a generator: a law with other parameters each time, and its spelling."""
    kind = pick(rng, ["number", "numpy", "int32", "uniform", "normal", "bounded", "exponential"])
    mean, low = float(rng.normal()), float(rng.normal())

    def law(rng):
        w, spread = draw_number(rng), float(rng.random())
        if kind == "number":
            return w, ("constant", w)
        if kind == "numpy":
            return evops.Constant(np.float32(w)), ("constant", w)
        if kind == "int32":
            whole = int(rng.integers(-9, 9))
            return np.int32(whole), ("constant", whole)
        if kind == "uniform":
            ends = (np.float32(low), np.float32(low + spread))
            return evops.Uniform(*ends), ("uniform", *map(float, ends))
        if kind == "exponential":
            return Exponential(np.float32(spread)), ("exponential", float(np.float32(spread)))
        if kind == "bounded":  # its parameters are static
            return evops.Normal(mean, 1.0, low=mean - 1), ("normal", mean, 1.0, mean - 1, None)
        both = np.float32(w), np.float32(spread)
        return evops.Normal(*both), ("normal", *map(float, both), None, None)

    return law


def draw_delay(rng):
    first = int(rng.integers(1, 5))
    return pick(
        rng,
        [
            (first, ("constant", first)),
            (evops.Uniform(1, first + 0.5), ("uniform", 1, first + 0.5)),
            (evops.Uniform(first, first + 6), ("uniform", first, first + 6)),
            (evops.Normal(4.0, 2.0, low=0.5), ("normal", 4.0, 2.0, 0.5, None)),
            (evops.Normal(2.5, 1e-9), ("normal", 2.5, 1e-9, None, None)),
        ],
    )


def near(values, size, steps=300):  # a thousand equal terms are off by as many as half
    """Wanted values, and the error that sums of terms of that absolute size may have."""
    eps = float(np.finfo(np.float32).eps)
    return values, steps * eps * np.nan_to_num(np.asarray(size)) + 1e-35


def products(x, dense, size):
    """x @ dense, NaN only where a NaN is connected; a batch of x has rows."""
    live = np.where(x != 0, x, 0)
    known = np.nan_to_num(live)
    y = known @ dense
    hit = (np.isnan(live).astype(float) @ (size != 0)) > 0
    return near(np.where(hit, np.nan, y), np.abs(known) @ size)
