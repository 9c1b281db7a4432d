"""What docs/sampler.md says is equal to the bit in batches, for backends and for few synapses.

Levels and cores are in test_levels.py, numbers of threads of every handler in test_out_of_memory.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

N_PRE, N_POST = 120, 3000
LAWS = {
    "one": lambda dtype: evops.Constant(jnp.asarray(0.1, dtype)),
    "each": lambda dtype: evops.Normal(jnp.asarray(0.5, dtype), jnp.asarray(0.1, dtype)),
}


def matrices(law, dtype, backend):
    W = evops.Projection(
        evops.FixedProbability(0.1), LAWS[law](dtype), (N_PRE, N_POST), seed=3, delay=2, backend=backend
    )  # fmt: skip
    return {"drawn": W, "stored": W.tocsr()}


@pytest.mark.thin(3)
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
def test_counts_are_equal_on_both_backends(dtype, rng):
    with jax.enable_x64(True):
        x, v = rng.random((3, N_PRE)) < 0.5, rng.random((3, N_POST)) < 0.5
        law = (lambda d: evops.Constant(jnp.asarray(3, d))) if dtype == "int32" else LAWS["one"]
        native, plain = (
            evops.Projection(evops.FixedProbability(0.1), law(dtype), (N_PRE, N_POST), seed=3, backend=b)
            for b in ("native", "jnp")
        )  # fmt: skip
        for a, b in ((x @ native, x @ plain), (v @ native.T, v @ plain.T)):
            assert a.dtype == dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("of", ["drawn", "stored"])
def test_rows_of_a_batch_and_runs_are_equal(of, law, rng):
    W = matrices(law, jnp.float32, "native")[of]
    x = np.where(rng.random((4, N_PRE)) < 0.5, rng.normal(size=(4, N_PRE)), 0).astype(np.float32)
    v = rng.normal(size=(4, N_POST)).astype(np.float32)
    for M, events in ((W, x), (W.T, v)):
        together = np.asarray(events @ M)
        for row, alone in zip(together, events, strict=True):
            assert np.asarray(alone @ M).tobytes() == row.tobytes()
        assert np.asarray(jax.vmap(lambda e, M=M: e @ M)(events)).tobytes() == together.tobytes()
        assert np.asarray(events @ M).tobytes() == together.tobytes()


def test_pushes_are_equal_alone_and_in_a_batch(rng):
    W = matrices("each", jnp.float32, "native")["drawn"]
    x = rng.random((3, N_PRE)) < 0.5
    push = lambda x: W.push(x, evops.DelayBuffer.zeros(N_POST, 2)).sums  # noqa: E731
    for row, alone in zip(jax.vmap(push)(x), x, strict=True):
        assert np.asarray(push(alone)).tobytes() == np.asarray(row).tobytes()
