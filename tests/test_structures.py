"""Index structures of stored synapses, in any request and any order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from evops.structures import STRUCTURES


def random_matrix(seed, backend=None):
    """With repeats, self-connections, neurons without synapses and rows that are not sorted."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 30, 2))
    n = int(rng.integers(0, 200))
    pre, post = (rng.integers(0, k, n) for k in shape)
    weight = rng.integers(1, 100, n).astype(np.float32)
    return evops.CSR.from_edges(pre, post, weight, shape=shape, backend=backend)


def dense(S, pre, post, weight):
    out = np.zeros(S.shape, np.float32)
    np.add.at(out, (np.asarray(pre), np.asarray(post)), np.asarray(weight))
    return out


def rebuilt(S, names):
    """The matrix from each structure of one request, with the ids and weights of that order."""
    found = dict(zip(names, S.requires(*names), strict=True))
    source = S.csc if "post_slice" in names else S
    pre, post, weight = map(np.asarray, (source.pre_ids, source.post_ids, source.data))
    for name, value in found.items():
        if name == "conn_mat":
            yield name, None, np.asarray(value)
        elif name in ("pre_ids", "post_ids"):
            ids = (value, post) if name == "pre_ids" else (pre, value)
            yield name, dense(S, *ids, weight), None
        elif name in ("pre2syn", "post2syn"):
            of, ids = (S.shape[0], post) if name == "pre2syn" else (S.shape[1], pre)
            assert len(value) == of
            neuron = np.repeat(np.arange(of), [len(k) for k in value])
            k = np.concatenate([*value, np.zeros(0, np.int32)]).astype(int)
            pair = (neuron, ids[k]) if name == "pre2syn" else (ids[k], neuron)
            yield name, dense(S, *pair, weight[k]), None
        elif name in ("pre2post", "post2pre"):
            neuron = np.repeat(np.arange(len(value)), [len(k) for k in value])
            other = np.concatenate([*value, np.zeros(0, np.int32)]).astype(int)
            pair = (neuron, other) if name == "pre2post" else (other, neuron)
            counts = dense(S, *pair, np.ones(S.nnz))
            yield name, None, counts
        elif name in ("pre_slice", "post_slice"):
            assert value.shape == (S.shape[name == "post_slice"], 2)
            neuron = np.repeat(np.arange(len(value)), np.diff(value).ravel())
            pair = (neuron, post) if name == "pre_slice" else (pre, neuron)
            yield name, dense(S, *pair, weight), None
        else:
            yield name, np.asarray(value.todense()), None


@pytest.mark.parametrize("seed", range(8))
def test_every_structure_describes_the_same_synapses(seed):
    S = random_matrix(seed)
    want = np.asarray(S.todense())
    counts = dense(S, S.pre_ids, S.post_ids, np.ones(S.nnz))
    rng = np.random.default_rng(seed)
    for _ in range(6):
        names = [*rng.permutation(STRUCTURES)[: rng.integers(2, len(STRUCTURES))]]
        if {"pre_slice", "post_slice"} <= set(names):
            with pytest.raises(ValueError, match="post2syn"):
                S.requires(*names)
            names.remove("pre_slice")
        if len(names) < 2:
            names.append("conn_mat")
        for name, matrix, other in rebuilt(S, names):
            if matrix is not None:
                np.testing.assert_array_equal(matrix, want, err_msg=name)
            else:
                known = counts if name != "conn_mat" else counts > 0
                np.testing.assert_array_equal(other, known, err_msg=name)


def test_attributes_are_what_requires_returns():
    S = random_matrix(3)
    for name in STRUCTURES:
        if name in ("csr", "csc"):
            continue
        for one, other in zip(
            jax.tree.leaves(getattr(S, name)),
            jax.tree.leaves(S.csc.post_slice if name == "post_slice" else S.requires(name)),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    assert S.csr is S and S.csc.csr is S and S.requires("csr") is S
    pre, spans = S.requires("pre_ids", "post_slice")  # both in column order
    np.testing.assert_array_equal(pre, S.csc.indices)
    np.testing.assert_array_equal(spans, S.post_slice)
    np.testing.assert_array_equal(S.requires("pre_slice_syn"), S.pre_slice)
    assert S.requires("pre_slice_syn").shape == (S.shape[0], 2)


def test_columns_carry_their_permutation():
    S = random_matrix(5)
    C = S.tocsc()
    order = np.argsort(np.asarray(S.indices), kind="stable")
    np.testing.assert_array_equal(C.synapses, order)
    np.testing.assert_array_equal(C.data, np.asarray(S.data)[order])
    np.testing.assert_array_equal(C.indices, np.asarray(S.pre_ids)[order])
    want = S.to_scipy().tocsc()
    np.testing.assert_array_equal(C.indptr, np.cumsum([0, *S.in_degree()]))
    np.testing.assert_array_equal(C.todense(), want.toarray())
    x, v = np.arange(S.shape[0]) % 3, np.arange(S.shape[1], dtype=np.float32)
    np.testing.assert_array_equal(x @ C, x @ S)
    np.testing.assert_array_equal(C @ v, S @ v)
    np.testing.assert_array_equal(C.edges().weight, C.data)
    assert C.tocsr() is S and C.shape == S.shape and C.dtype == S.dtype
    assert C.nbytes - S.nbytes <= 4 * S.nnz + 4 * (S.shape[1] + 1) + 4 * (2 * S.shape[0] + 3)
    delayed = evops.CSR.from_edges([1, 0, 1], [0, 2, 2], 0.5, shape=(2, 3), delay=[3, 1, 2])
    np.testing.assert_array_equal(delayed.csc.delay, [3, 1, 2])
    assert S.csc.delay is None and delayed.csc.data.shape == (1,)


def test_the_index_is_that_of_the_pattern():
    S = random_matrix(5)
    assert S.csc.synapses is S.csc.synapses  # made once
    S.indices = jnp.flip(S.indices)
    order = np.argsort(np.asarray(S.indices), kind="stable")
    np.testing.assert_array_equal(S.csc.synapses, order)


def test_columns_of_a_projection():
    W = evops.Projection(evops.FixedProbability(0.2), 0.5, (20, 30), seed=1)
    np.testing.assert_array_equal(W.tocsc().todense(), W.todense())
    np.testing.assert_array_equal(W.T.tocsc().todense(), W.todense().T)


def test_no_synapses():
    S = evops.CSR.from_edges([], [], 0.5, shape=(2, 3))
    found = dict(zip(STRUCTURES, map(S.requires, STRUCTURES), strict=True))
    assert [len(k) for k in found["pre2syn"]] == [0, 0] and not found["conn_mat"].any()
    assert [len(k) for k in found["post2pre"]] == [0, 0, 0]
    assert S.add_where_pre_spiked(jnp.zeros(0), np.ones(2, bool), 1.0).shape == (0,)
    assert S.add_where_post_spiked(jnp.zeros(0), np.ones(3, bool), 1.0).shape == (0,)


def test_requests_that_are_refused():
    S = random_matrix(1)
    for wrong in ("weights", "", None, 3):
        with pytest.raises(ValueError, match="name must be one of conn_mat, pre_ids"):
            S.requires(wrong)
    with pytest.raises(ValueError, match="needs names"):
        S.requires()
    with pytest.raises(TypeError, match="csc outside"):
        jax.jit(lambda S: S.csc.synapses)(S)
    with pytest.raises(TypeError, match="matrix must be a CSR"):
        evops.CSC(S.todense())
    got = jax.jit(lambda S: S.requires("pre_ids", "post_ids", "pre_slice", "conn_mat"))(S)
    for one, other in zip(
        got, S.requires("pre_ids", "post_ids", "pre_slice", "conn_mat"), strict=True
    ):
        np.testing.assert_array_equal(one, other)
