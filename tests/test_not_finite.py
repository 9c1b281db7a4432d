"""Weights and x that are infinite or no numbers: silent x and pairs without a synapse add nothing.

The oracle adds up the terms x * (a + b z) of the synapses whose x is not 0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

N_PRE, N_POST = 9, 300  # some post neurons have no synapse
INF, NAN = np.inf, np.nan
X = {
    "spikes": [1, 0, 1, 0, 0, 1, 0, 0, 1],
    "inf": [INF, 0, 1, 0, 0, 1, 0, 0, 2],
    "both": [INF, 0, -INF, 0, 1, 0, 0, 1, 0],
    "nan": [1, 0, 1, 0, NAN, 0, 0, 0, -1],
    "cancels": [1, -1, 1, -1, 1, -1, 0, 0, 0],
    "large": [1e36, 0, 1, 0, 0, 1, 0, 0, -1e36],
    "silent": [0] * 9,
}
# of all synapses, or mean and standard deviation
WEIGHTS = {
    "one": (0.5,),
    "one negative": (-0.5,),
    "one inf": (INF,),
    "one nan": (NAN,),
    "each": (0.5, 1.0),
    "each of mean inf": (INF, 1.0),
    "each of mean nan": (NAN, 1.0),
    "each of deviation inf": (0.5, INF),
    "each of both large": (1e36, 1e36),
}
RULES = {
    "gaps": evops.FixedProbability(0.05),
    "total": evops.FixedTotalNumber(500),
    "out": evops.FixedOutDegree(30),
    "lfsr": evops.LfsrGaps(0.1),
}


def project(rule, weight, backend):
    law = evops.Constant(*weight) if len(weight) == 1 else evops.Normal(*weight)
    return evops.Projection(rule, law, (N_PRE, N_POST), seed=1, delay=1, backend=backend)


def products(rule, backend, pattern):
    """All that adds up, in both directions, as one program of weights, x and v."""

    @jax.jit
    def call(weight, x, v, data):
        W = project(rule, weight, backend)
        csr = evops.CSR(data, *pattern, shape=W.shape, backend=backend)
        return {
            "x @ W": (x @ W, (x @ csr)),
            "spikes @ W": ((x != 0) @ W, (x != 0) @ csr),
            "push": (W.push(x, evops.DelayBuffer.zeros(N_POST, 1)).sums.sum(0), x @ csr),
            "W @ v": (W @ v, csr @ v),
            "W @ spikes": (W @ (v != 0), csr @ (v != 0).astype(v.dtype)),
        }

    return call


def expected(out, at, x, weights):
    """Sums of the terms, and how far they may be off."""
    with np.errstate(all="ignore"):
        terms = np.where(x == 0, 0, x * weights).astype(np.float32)
        np.add.at(out, at, terms.astype(np.float64))
        return out.astype(np.float32), 1e-5 * np.abs(terms[np.isfinite(terms)]).max(initial=1)


@pytest.mark.thin(7)
@pytest.mark.parametrize("parameters", [1, 2], ids=["one", "each"])
@pytest.mark.parametrize("rule", RULES)
def test_sums_of_terms(rule, parameters, backend):
    edges = project(RULES[rule], (1.0,) if parameters == 1 else (0.0, 1.0), "native").edges()
    pre, post, z = (np.asarray(a) for a in edges[:3])
    indptr = np.searchsorted(pre, np.arange(N_PRE + 1))
    call = products(RULES[rule], backend, (post, indptr))
    assert np.bincount(post, minlength=N_POST).min() == 0
    for name, weight in WEIGHTS.items():
        if len(weight) != parameters:
            continue
        with np.errstate(all="ignore"):
            mean, *deviation = np.float32(weight)
            data = mean + deviation[0] * z if deviation else np.full(1, mean)
        for values, x in X.items():
            x, v = np.float32(x), np.resize(np.float32(x), N_POST)
            results = call([jnp.float32(w) for w in weight], x, v, data)
            for what, got in results.items():
                n, at, events = (
                    (N_PRE, pre, v[post]) if "W @" in what[:4] else (N_POST, post, x[pre])
                )
                events = (events != 0).astype(np.float32) if "spikes" in what else events
                want, near = expected(np.zeros(n), at, events, data)
                for of, sums in zip(("drawn", "stored"), got, strict=True):
                    message = f"{what}, {of}: weights {name}, x {values}"
                    np.testing.assert_allclose(sums, want, 1e-4, near, err_msg=message)
