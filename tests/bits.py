"""Comparisons bit for bit, as far as a device computes the same bits twice."""

import os

import jax
import jax.numpy as jnp
import numpy as np

# whether sums are added up in the order of the CPU's threads
ORDERED = jax.default_backend() == "cpu" and "EVOPS_GPU_ON_CPU" not in os.environ


def assert_same_bits(got, want, message=""):
    """Equal; on a GPU to rounding: threads add in any order, XLA joins products with sums."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype and got.shape == want.shape, message
    if jax.default_backend() == "gpu":
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=message)
    else:
        np.testing.assert_array_equal(got, want, err_msg=message)


def check_synapses(W, want):
    """All that shows the synapses of W, of weight 1, shows those counted in `want`."""
    np.testing.assert_array_equal(W.todense(), want)
    np.testing.assert_array_equal(W.in_degree(), want.sum(0))
    np.testing.assert_array_equal(W.out_degree(), want.sum(1))
    edges = W.edges()
    stored = np.zeros(want.shape, int)
    np.add.at(stored, (np.asarray(edges.pre), np.asarray(edges.post)), 1)
    np.testing.assert_array_equal(stored, want)
    np.testing.assert_array_equal(W.tocsr().todense(), want)
    back = jnp.eye(want.shape[1], dtype=bool)[:, :50]
    np.testing.assert_array_equal(W @ back, want[:, :50])
