"""Programs compiled for what is asked once: none for a number of synapses that a seed happens to give."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import monitoring

import evops
from evops import csr_dense

SEEDS, WARM = 40, 6
COMPILED = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def programs():
    """A list that gets an entry for every program that is compiled."""
    compiled = []

    def listen(event, duration, **_):
        del duration
        if event == COMPILED:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        if hasattr(jax.monitoring, "unregister_event_duration_listener"):
            jax.monitoring.unregister_event_duration_listener(listen)
        else:  # jax 0.8
            monitoring._unregister_event_duration_listener_by_callback(listen)


RULE, LAW, DELAY = evops.FixedProbability(0.2), evops.Normal(1, 0.1), evops.Uniform(1, 5)


def project(seed, backend, rule=RULE, law=LAW, **options):
    return evops.Projection(rule, law, (30, 20), seed=seed, backend=backend, **options)


def delayed(seed, backend, delay=DELAY):
    return project(seed, backend, delay=delay)


def circuit(seed, backend):
    p = evops.Populations({"E": 30, "I": 20})
    fixed = evops.Projection(
        evops.FixedProbability(0.3), 0.5, (30, 30), seed=seed + 1, delay=2, backend=backend
    )
    return evops.Circuit(p, {("E", "I"): delayed(seed, backend), ("E", "E"): fixed})


def csr(seed, backend, dtype=np.float32, one=False):
    """Made by hand, on the host, with a number of synapses of its own for every seed."""
    rng = np.random.default_rng(seed)
    nnz = 50 + 3 * seed
    indptr = np.sort(rng.integers(0, nnz, 31))
    indptr[[0, -1]] = 0, nnz
    data = rng.random(1 if one else nnz).astype(dtype)
    return evops.CSR(data, rng.integers(0, 20, nnz), indptr, shape=(30, 20), backend=backend)


ASKED = {
    "tocsr": lambda s, b: project(s, b).tocsr(),
    "tocsr, one weight": lambda s, b: project(s, b, law=2.0).tocsr(),
    "tocsr, half floats": lambda s, b: project(s, b, law=jnp.bfloat16(2)).tocsr(),
    "tocsr, published": lambda s, b: project(s, b, rule=evops.LfsrGaps(0.2)).tocsr(),
    "tocsr of a transposed CSR": lambda s, b: project(s, b).tocsr().T.todense(),
    "edges": lambda s, b: project(s, b).edges(),
    "edges with drawn delays": lambda s, b: delayed(s, b).edges(),
    "edges with one delay": lambda s, b: delayed(s, b, 3).edges(),
    "degrees": lambda s, b: (project(s, b).in_degree(), project(s, b).out_degree()),
    "todense": lambda s, b: project(s, b).todense(),
    "edges of a circuit": lambda s, b: circuit(s, b).edges(),
    "CSR": csr,
    "edges of CSR": lambda s, b: csr(s, b).edges(),
    "edges of CSR, one weight": lambda s, b: csr(s, b, one=True).edges(),
    "degrees of CSR": lambda s, b: (csr(s, b).in_degree(), csr(s, b).out_degree()),
    "CSR.todense": lambda s, b: csr(s, b).todense(),
    "CSR.todense, one weight": lambda s, b: csr(s, b, one=True).todense(),
    "CSR.T.todense, half floats": lambda s, b: csr(s, b, np.float16).T.todense(),
}


@pytest.mark.thin(21)
@pytest.mark.parametrize("asked", ASKED)
def test_seeds_share_programs(asked, backend):
    ask = ASKED[asked]
    with programs() as compiled:
        jax.block_until_ready([ask(seed, backend) for seed in range(WARM)])
        warm = len(compiled)
        jax.block_until_ready([ask(seed, backend) for seed in range(WARM, SEEDS)])
    assert len(compiled) - warm <= 2


@pytest.mark.thin(3)
def test_realised_numbers_are_programs_where_jax_is_asked(backend):
    """What makes the test above one of anything."""
    jax.clear_caches()
    with programs() as compiled:
        for seed in range(5):
            jnp.flip(project(seed, backend).tocsr().indices)
    assert len(compiled) >= 3
    assert len({project(seed, backend).tocsr().nnz for seed in range(SEEDS)}) > 10


def test_more_synapses_than_room(backend, monkeypatch):
    """A rule that expects too few, as one of a user's own may."""
    expected = project(1, backend).tocsr()
    monkeypatch.setattr(evops.FixedProbability, "expected_synapses", lambda *_: 3.0)
    W = project(1, backend).tocsr()
    for one, other in zip(jax.tree.leaves(W), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.thin(3)
def test_stored_matrices_of_many_pieces(backend, monkeypatch):
    """CSR.todense and in_degree add up pieces of one size, a block of rows at a time."""
    monkeypatch.setattr(csr_dense, "PIECE", 16)
    monkeypatch.setattr(csr_dense, "_ENTRIES", 70)
    jax.clear_caches()
    for dtype, one in ((np.float32, False), (np.float16, False), (np.float32, True)):
        W = csr(7, backend, dtype, one)
        want = np.zeros(W.shape, np.float32)
        np.add.at(want, (W.edges().pre, W.indices), np.asarray(W.edges().weight, np.float32))
        np.testing.assert_array_equal(W.todense(), want.astype(dtype))
        np.testing.assert_array_equal(W.T.todense(), want.astype(dtype).T)
        np.testing.assert_array_equal(W.in_degree(), np.bincount(W.indices, minlength=20))
        for M in (W, W.T):
            np.testing.assert_array_equal(jax.jit(lambda M: M.todense())(M), M.todense())
        counts = np.bincount(W.edges().pre, minlength=30)
        np.testing.assert_array_equal(counts, W.out_degree())
    jax.clear_caches()


def test_known_matrices_inside_jit(backend):
    """A matrix that a program closes over is known, but inside the program nothing is."""
    W = csr(3, backend)
    degree, M, edges = jax.jit(lambda: (W.in_degree(), W.todense(), W.edges()[:3]))()
    np.testing.assert_array_equal(degree, W.in_degree())
    np.testing.assert_array_equal(M, W.todense())
    for one, other in zip(edges, W.edges()[:3], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.thin(3)
def test_traced_weights_of_stored_synapses(backend):
    """The seed is known, the law is not."""
    law = lambda m: evops.Normal(m, 0.5 * m)  # noqa: E731
    sums = {
        "tocsr": lambda m: project(1, backend, law=law(m)).tocsr().data.sum(),
        "edges": lambda m: project(1, backend, law=law(m)).edges().weight.sum(),
        "circuit": lambda m: (
            evops.Circuit(
                evops.Populations({"E": 30, "I": 20}),
                {("E", "I"): project(1, backend, law=law(m), delay=2)},
            )
            .edges()
            .weight.sum()
        ),
        "todense": lambda m: project(1, backend, law=law(m)).todense().sum(),
        "of CSR": lambda m: project(1, backend, law=law(m)).tocsr().todense().sum(),
    }
    value = float(sums["tocsr"](1.0))
    for of in sums.values():
        np.testing.assert_allclose(jax.value_and_grad(of)(2.0), (2 * value, value), rtol=1e-5)
