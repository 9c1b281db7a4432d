"""Traced connections, delays and steps out of range: errors natively, NaN in plain JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops


def test_connections_out_of_range_are_no_numbers():
    """An error natively; in plain XLA float results are NaN, and integers lack what is wrong."""
    x = jnp.array([True, True])

    def call(dtype, indices, indptr, product, backend="jnp"):
        def run(indices, indptr):
            W = evops.CSR(dtype(2), indices, indptr, shape=(2, 3), backend=backend)
            return product(W)

        return jax.jit(run)(indices, indptr)

    for indices, indptr, want in (
        ([0, 3], [0, 1, 2], [2, 0, 0]),
        ([0, -1], [0, 1, 2], [2, 0, 0]),
        ([0, 1], [0, 2, 1], [0, 0, 0]),
        ([0, 1], [0, 1, 3], [0, 0, 0]),
    ):
        for product in (lambda W: x @ W, lambda W: W @ jnp.ones(3, jnp.int32)):
            y = call(np.float32, jnp.array(indices), jnp.array(indptr), product)
            assert np.isnan(y).any(), indices
            with pytest.raises(Exception, match="indices|indptr"):
                jax.block_until_ready(
                    call(np.float32, jnp.array(indices), jnp.array(indptr), product, "native")
                )
        y = call(np.int32, jnp.array(indices), jnp.array(indptr), lambda W: x @ W)
        np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(
        call(np.float32, jnp.array([0, 9]), jnp.array([0, 1, 2]), lambda W: ~x @ W), [0, 0, 0]
    )


def test_delays_and_steps_out_of_range_are_no_numbers():
    push = jax.jit(lambda W, b: W.push(jnp.ones((1, 3), bool), b).sums)
    for delay in (7, 2, -1):  # the ring has two slots
        for backend in ("jnp", "native"):
            W = evops.MultiAreaProjection(1.0, [[1.0]], 1, pre=3, post=2, seed=1, backend=backend)
            assert len(W.buffer().sums) == 2
            odd = jax.tree.map(lambda leaf: leaf, W)
            odd.delay = jnp.full((1, 1), delay, jnp.int32)
            if backend == "jnp":
                assert np.isnan(push(odd, W.buffer())).any()
                continue
            with pytest.raises(Exception, match=f"delay of {delay} steps"):
                jax.block_until_ready(push(odd, W.buffer()))
    pop = jax.jit(lambda sums, step: evops.DelayBuffer(sums, step).pop("jnp")[0])
    for step in (5, -1):
        assert np.isnan(pop(jnp.ones((2, 2)), step)).all()
        assert not pop(jnp.ones((2, 2), jnp.int32), step).any()
    with pytest.raises(TypeError, match="the buffer holds int32, weights are float32"):
        W.push(jnp.ones((1, 3)), evops.DelayBuffer.zeros(2, 1, np.int32))
