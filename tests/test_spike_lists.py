"""Spikes as lists: the same bits as flags, wherever flags can be given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import evops

N, M = 300, 200
BACKENDS = ("native", "jnp")


def flags_at(rate: float, seed: int = 0, shape: tuple[int, ...] = (N,)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < rate


def stored(backend: str, delay: bool = True) -> evops.CSR:
    rng = np.random.default_rng(3)
    pre, post = rng.integers(0, N, 4000), rng.integers(0, M, 4000)
    delays = rng.integers(1, 6, 4000) if delay else None
    weight = rng.normal(size=4000).astype(np.float32)
    return evops.CSR.from_edges(pre, post, weight, shape=(N, M), delay=delays, backend=backend)


def drawn(backend: str, rule=None, law=None) -> evops.Projection:
    rule, law = rule or evops.FixedProbability(0.1), law or evops.Normal(0.5, 0.1)
    return evops.Projection(rule, law, (N, M), seed=4, delay=evops.Uniform(1, 5), backend=backend)


MATRICES = {
    "drawn": drawn,
    "constant": lambda b: drawn(b, law=evops.Constant(0.5)),
    "lfsr": lambda b: drawn(b, rule=evops.LfsrGaps(0.1), law=evops.Constant(0.5)),
    "total": lambda b: drawn(b, rule=evops.FixedTotalNumber(3000)),
    "stored": stored,
    "transposed": lambda b: drawn(b).tocsr().T.tocsr().T,
    "csc": lambda b: stored(b).csc,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 600])
@pytest.mark.parametrize("rate", [0.0, 0.05, 1.0])
def test_list_holds_what_the_flags_say(n, rate, backend):
    flags = flags_at(rate, n, (n,))
    spikes = evops.SpikeList.from_flags(flags, n, backend=backend)
    fired = np.flatnonzero(flags)
    assert int(spikes.count) == len(fired) and spikes.capacity == n and spikes.shape == (n,)
    np.testing.assert_array_equal(spikes.indices[: len(fired)], fired)
    assert (np.asarray(spikes.indices[len(fired) :]) == n).all()
    np.testing.assert_array_equal(spikes.flags, flags)
    np.testing.assert_array_equal(np.asarray(spikes), flags)


def test_backends_write_the_same_bytes():
    flags = flags_at(0.1, 2, (3, 5, N))
    made = [
        jax.jit(lambda f, b=b: evops.SpikeList.from_flags(f, 20, backend=b))(flags)
        for b in BACKENDS
    ]
    np.testing.assert_array_equal(made[0].packed, made[1].packed)
    assert made[0].shape == (3, 5, N)


@pytest.mark.parametrize("capacity", [0, 3, N])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.9])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MATRICES)
def test_products_have_the_bits_of_flags(name, backend, rate, capacity):
    W, flags = MATRICES[name](backend), jnp.asarray(flags_at(rate))
    listed = jax.jit(lambda f: evops.SpikeList.from_flags(f, capacity) @ W)(flags)
    np.testing.assert_array_equal(listed, jax.jit(lambda f: f @ W)(flags))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rate", [0.02, 0.5])
@pytest.mark.parametrize("name", ["drawn", "constant", "lfsr", "stored"])
def test_batches_have_the_bits_of_flags(name, rate, backend):
    W, flags = MATRICES[name](backend), jnp.asarray(flags_at(rate, 1, (2, 9, N)))
    want = flags @ W
    spikes = evops.SpikeList.from_flags(flags)
    np.testing.assert_array_equal(spikes @ W, want)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(lambda s: s @ W))(spikes), want)
    each = jax.vmap(jax.vmap(lambda f: evops.SpikeList.from_flags(f, 10) @ W))(flags)
    np.testing.assert_array_equal(each, want)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("capacity", [2, N])
@pytest.mark.parametrize("name", ["drawn", "constant", "lfsr", "total", "stored"])
def test_pushes_have_the_bits_of_flags(name, capacity, backend):
    W, flags = MATRICES[name](backend), jnp.asarray(flags_at(0.1))
    buffer = evops.DelayBuffer.zeros(M, 8)
    listed = jax.jit(lambda f: W.push(evops.SpikeList.from_flags(f, capacity), buffer))(flags)
    np.testing.assert_array_equal(listed.sums, W.push(flags, buffer).sums)
    rows = jnp.asarray(flags_at(0.1, 5, (4, N)))

    def several(spikes_of):
        return jax.jit(jax.vmap(lambda f: W.push(spikes_of(f), buffer).sums))(rows)

    want = several(lambda f: f)
    np.testing.assert_array_equal(several(lambda f: evops.SpikeList.from_flags(f, capacity)), want)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("capacity", [2, 500])
def test_circuits_have_the_bits_of_flags(capacity, backend):
    p = evops.Populations({"a": 100, "b": 250, "c": 150})
    rule = evops.FixedProbability(0.1)
    pairs = [("a", "b"), ("b", "a"), ("c", "c"), ("b", "b"), ("a", "c")]
    projections = {
        pair: evops.Projection(
            rule, 0.5, (p.size(pair[0]), p.size(pair[1])), seed=k, delay=k + 1, backend=backend
        )
        for k, pair in enumerate(pairs)
    }
    projections["b", "b"] = projections["b", "b"].tocsr()
    projections["a", "c"] = projections["a", "c"].tocsr()
    circuit = evops.Circuit(p, projections)
    flags = jnp.asarray(flags_at(0.1, 7, (500,)))
    listed = jax.jit(
        lambda f: circuit.push(evops.SpikeList.from_flags(f, capacity), circuit.buffer())
    )(flags)
    want = jax.jit(lambda f: circuit.push(f, circuit.buffer()))(flags)
    np.testing.assert_array_equal(listed.sums, want.sums)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("capacity", [2, N])
def test_states_have_the_bits_of_flags(capacity, backend):
    W = stored(backend)
    state = jnp.linspace(0, 1, W.nnz, dtype=jnp.float32)
    for side, n in (("pre", N), ("post", M)):
        flags = jnp.asarray(flags_at(0.1, 8, (n,)))
        columns = W.csc

        def add(spikes, columns=columns, side=side):
            return getattr(columns, f"add_where_{side}_spiked")(state, spikes, 0.5, high=1.0)

        room = min(capacity, n)
        listed = jax.jit(lambda f, add=add, room=room: add(evops.SpikeList.from_flags(f, room)))
        np.testing.assert_array_equal(listed(flags), add(flags))


def test_areas_operators_and_gathers_take_lists():
    flags = jnp.asarray(flags_at(0.1))
    spikes = evops.SpikeList.from_flags(flags)
    W = drawn("native")
    np.testing.assert_array_equal(W.T @ spikes, W.T @ flags)
    np.testing.assert_array_equal(W(spikes), W(flags))
    turned = stored("native").T.tocsr()
    np.testing.assert_array_equal(spikes @ turned.T, flags @ turned.T)
    areas = evops.MultiAreaProjection(0.1, jnp.ones((2, 2)), pre=150, post=100, delay=1, seed=1)
    both = flags.reshape(2, 150)
    want = areas.push(both, areas.buffer())
    got = areas.push(evops.SpikeList.from_flags(both), areas.buffer())
    np.testing.assert_array_equal(got.sums, want.sums)
    S = stored("native")
    np.testing.assert_array_equal(evops.pre2syn(spikes, S.pre_ids), evops.pre2syn(flags, S.pre_ids))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_those_in_the_weights(backend):
    flags, toward = jnp.asarray(flags_at(0.1)), jnp.linspace(-1, 1, M, dtype=jnp.float32)
    S = stored(backend)

    def product(data, spikes: Array | evops.SpikeList):
        return (spikes @ S.with_weights(data)) @ toward

    def push(data, spikes):
        buffer = S.with_weights(data).push(spikes, evops.DelayBuffer.zeros(M, 6))
        return (buffer.sums @ toward).sum()

    def drawn_push(loc, spikes):
        W = drawn(backend, law=evops.Normal(loc, 0.1))
        return (W.push(spikes, evops.DelayBuffer.zeros(M, 6)).sums @ toward).sum()

    def drawn_product(loc, spikes):
        return (spikes @ drawn(backend, law=evops.Normal(loc, 0.1))) @ toward

    def state(data, spikes):
        return (S.add_where_pre_spiked(data, spikes, 2 * data, high=0.5) ** 2).sum()

    spikes = evops.SpikeList.from_flags(flags, 50)
    for f, w in [
        (product, S.data), (push, S.data), (state, S.data),
        (drawn_push, jnp.float32(0.5)), (drawn_product, jnp.float32(0.5)),
    ]:  # fmt: skip
        for transform in (jax.grad, jax.jacfwd):
            np.testing.assert_array_equal(transform(f)(w, spikes), transform(f)(w, flags))
    numbers = flags.astype(jnp.float32)
    of_spikes = jax.grad(lambda x: product(S.data, evops.SpikeList.from_flags(x, N)))(numbers)
    assert not np.asarray(of_spikes).any()


def test_more_spikes_than_room_is_an_error_outside_of_programs():
    flags = flags_at(0.5)
    with pytest.raises(ValueError, match=f"capacity must be at least {flags.sum()}"):
        evops.SpikeList.from_flags(flags, 5)
    inside = jax.jit(lambda f: evops.SpikeList.from_flags(f, 5))(flags)
    assert int(inside.count) == flags.sum() and inside.indices.shape == (5,)


def test_from_indices():
    spikes = evops.SpikeList([7, 3, 9, 0], n=10, count=3)
    assert spikes.indices.tolist() == [3, 7, 9, 10] and int(spikes.count) == 3
    assert spikes.capacity == 4 and np.flatnonzero(spikes.flags).tolist() == [3, 7, 9]
    traced = jax.jit(lambda i, c: evops.SpikeList(i, 10, c).packed)
    given = jnp.array([7, 3, 9, 0]), 3
    np.testing.assert_array_equal(traced(*given), spikes.packed)
    # in a program, what is out of range is ignored
    outside = jax.jit(lambda i: evops.SpikeList(i, 10).flags)(jnp.array([-1, 4, 10, 11]))
    assert np.flatnonzero(outside).tolist() == [4]
    assert int(evops.SpikeList([], n=4).count) == 0
    padded = evops.SpikeList(np.array([0, 1, 5, 5, 5]), 3, 2)
    assert padded.indices.tolist() == [0, 1, 3]
    counts = jax.jit(lambda c: evops.SpikeList(jnp.array([7, 3]), 10, c).count)
    assert [int(counts(c)) for c in (1, 99, -5, np.uint32(2**32 - 1))] == [1, 2, 0, 2]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32])
def test_indices_of_any_width_in_a_program(dtype):
    made = jax.jit(lambda i, c: evops.SpikeList(i, 1000, c).flags)
    given = np.array([7, 3, 100, 99], dtype)
    assert np.flatnonzero(made(given, 3)).tolist() == [3, 7, 100]
    if dtype == np.uint32:
        assert np.flatnonzero(made(np.array([7, 2**32 - 1, 1000], dtype), 3)).tolist() == [7]
    if np.iinfo(dtype).min < 0:
        assert np.flatnonzero(made(np.array([7, -1], dtype), 2)).tolist() == [7]


@pytest.mark.parametrize("count", [1.5, True, np.array([1, 2])])
def test_bad_counts_in_a_program_raise(count):
    with pytest.raises(TypeError, match="count must be one integer"):
        jax.jit(lambda c: evops.SpikeList(jnp.array([1, 2]), 9, c).flags)(count)
    with pytest.raises(ValueError, match="indices must be within"):
        jax.jit(lambda c: evops.SpikeList([1, 2**70], 9, c).flags)(1)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([10], 10), ValueError, "indices must be from 0 to 9, got 10"),
        (([-1], 10), ValueError, "indices must be from 0 to 9, got -1"),
        (([2**70], 10), ValueError, "indices must be from 0 to 9"),
        (([3, 4, 3], 10), ValueError, "each neuron once, got 3 twice"),
        (([1.0], 10), TypeError, "indices must be integers"),
        (([[1]], 10), ValueError, r"indices must have shape \(capacity,\)"),
        (([1], 0), ValueError, "n must be"),
        (([1], 10, 2), ValueError, "count must be"),
    ],
)
def test_bad_lists_raise(arguments, error, match):
    with pytest.raises(error, match=match):
        evops.SpikeList(*arguments)


def test_bad_flags_raise():
    for flags, capacity, match in [
        (True, 1, "flags must have shape"),
        (np.zeros(0, bool), 0, "flags must have shape"),
        (np.zeros(4, bool), 5, "capacity must be"),
        (np.zeros(4, bool), -1, "capacity must be"),
    ]:
        with pytest.raises(ValueError, match=match):
            evops.SpikeList.from_flags(flags, capacity)


def test_lists_of_other_sizes_raise():
    spikes, W = evops.SpikeList([1], n=N + 1), drawn("native")
    with pytest.raises(ValueError, match=f"x has {N + 1} entries; W expects {N}"):
        spikes @ W
    with pytest.raises(ValueError, match=r"spikes must have shape \(n_pre = 300\)"):
        W.push(spikes, evops.DelayBuffer.zeros(M, 8))
    shorter = jax.tree.map(lambda leaf: leaf[:-1], evops.SpikeList([1], n=N))
    with pytest.raises(ValueError, match="packed has"):
        shorter @ W


@pytest.mark.parametrize("edit", ["order", "beyond", "silent", "count"])
def test_lists_that_do_not_fit_their_flags_are_not_used(edit):
    """Leaves may come from anywhere: what a handler reads is what the flags say."""
    flags = flags_at(0.1)
    packed = np.array(evops.SpikeList.from_flags(flags, N).packed)
    words = packed[N:].view(np.uint32)
    if edit == "order":
        words[1:3] = words[2:0:-1].copy()
    elif edit == "beyond":
        words[words[0]] = 2**31 + 5
    elif edit == "silent":
        words[words[0]] = np.flatnonzero(~flags)[-1]
    else:
        words[0] = 2**32 - 1
    leaves, tree = jax.tree.flatten(evops.SpikeList.from_flags(flags, N))
    assert leaves[0].shape == packed.shape
    spikes = jax.tree.unflatten(tree, [jnp.asarray(packed)])
    buffer = evops.DelayBuffer.zeros(M, 8)
    for W in (drawn("native"), stored("native")):
        np.testing.assert_array_equal(spikes @ W, flags @ W)
        np.testing.assert_array_equal(W.push(spikes, buffer).sums, W.push(flags, buffer).sums)


def test_a_scan_carries_lists():
    W, flags = drawn("native"), jnp.asarray(flags_at(0.1, 9, (6, N)))

    def step(spikes, row):
        return evops.SpikeList.from_flags(row, 40), spikes @ W

    first = evops.SpikeList.from_flags(jnp.zeros(N, bool), 40)
    got = jax.lax.scan(step, first, flags)[1]
    np.testing.assert_array_equal(got[1:], (flags @ W)[:-1])
    assert not np.asarray(got[0]).any()
