"""Stored matrices for the tests of CSR."""

import numpy as np

import evops

N_PRE, N_POST = 30, 23


def pattern(rng, n_pre=N_PRE, n_post=N_POST):
    """Unsorted targets that may repeat, rows of 0 to 11 synapses."""
    degree = rng.integers(0, 12, n_pre)
    degree[[0, n_pre // 2, n_pre - 1]] = 0, 11, 0
    indptr = np.concatenate([[0], np.cumsum(degree)])
    return rng.integers(0, n_post, indptr[-1]), indptr


def arrays(rng, kind="each", dtype=np.float32):
    indices, indptr = pattern(rng)
    data = rng.integers(-4, 5, 1 if kind == "one" else indices.size) + 0.5
    return np.asarray(data).astype(dtype), indices, indptr


def make(rng, kind="each", dtype=np.float32, backend=None):
    data, indices, indptr = arrays(rng, kind, dtype)
    return evops.CSR(data, indices, indptr, shape=(N_PRE, N_POST), backend=backend)


def dense(W):
    """The matrix by a loop over the entries, in float64."""
    data = np.broadcast_to(np.asarray(W.data, np.float64), (W.nnz,))
    out = np.zeros(W.shape)
    for i in range(W.shape[0]):
        for k in range(int(W.indptr[i]), int(W.indptr[i + 1])):
            out[i, int(W.indices[k])] += data[k]
    return out


def replaced(W, data):
    """W with other weights."""
    return evops.CSR(data, W.indices, W.indptr, shape=W.shape, backend=W._backend)
