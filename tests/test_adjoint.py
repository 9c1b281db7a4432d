"""The adjoint identity <y, A x> = <A^T y, x> on any shape, probability, seed and flags."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evops

EXTENT = st.integers(1, 40)


@pytest.mark.slow
@given(
    rows=EXTENT,
    columns=EXTENT,
    p=st.floats(0.01, 1.0),
    seed=st.integers(-(2**31), 2**32 - 1),
    transpose=st.booleans(),
    parallel=st.booleans(),
    backend=st.sampled_from(["native", "jnp"]),
)
@pytest.mark.filterwarnings("ignore::evops.EvopsConnectivityWarning")
@settings(max_examples=25, deadline=None, derandomize=True)
def test_adjoint_identity(rows, columns, p, seed, transpose, parallel, backend):
    rng = np.random.default_rng(rows * 100 + columns)

    def call(events):
        return evops.event_mv_prob_homo(
            events, 0.7, p, seed, shape=(rows, columns), transpose=transpose,
            outdim_parallel=parallel, backend=backend,
        )  # fmt: skip

    n_in, n_out = (rows, columns) if transpose else (columns, rows)
    x = jnp.asarray(rng.normal(size=n_in).astype(np.float32))
    y = jnp.asarray(rng.normal(size=n_out).astype(np.float32))
    events = jnp.ones(n_in, jnp.float32)
    _, forward = jax.jvp(call, (events,), (x,))
    [backward] = jax.vjp(call, events)[1](y)
    scale = float(jnp.abs(y).sum() * jnp.abs(x).max()) + 1.0
    assert float(jnp.vdot(y, forward)) == pytest.approx(
        float(jnp.vdot(backward, x)), abs=1e-5 * scale
    )


RULES = st.one_of(
    st.builds(evops.FixedProbability, st.floats(0, 1), st.booleans()),
    st.builds(evops.FixedOutDegree, st.integers(0, 60), st.just(True)),
    st.just(evops.OneToOne()),
    st.builds(evops.LfsrGaps, st.floats(0.01, 1.0)),
)
LAWS = st.sampled_from([evops.Constant(0.7), evops.Uniform(-1.0, 2.0), evops.Normal(0.1, 1.0)])


@pytest.mark.slow
@given(
    rows=EXTENT,
    columns=EXTENT,
    rule=RULES,
    law=LAWS,
    seed=st.integers(-(2**63), 2**64 - 1),
    backend=st.sampled_from(["native", "native", "native", "jnp"]),
)
@pytest.mark.filterwarnings("ignore::evops.EvopsConnectivityWarning")
@settings(max_examples=40, deadline=None, derandomize=True)
def test_adjoint_identity_of_projections(rows, columns, rule, law, seed, backend):
    columns = rows if isinstance(rule, evops.OneToOne) else columns
    rng = np.random.default_rng(rows * 100 + columns)
    W = evops.Projection(rule, law, (rows, columns), seed=seed, backend=backend)
    x = rng.normal(size=rows).astype(np.float32)
    v = rng.normal(size=columns).astype(np.float32)
    scale = float(np.abs(x) @ np.abs(np.asarray(W.todense())) @ np.abs(v)) + 1
    assert float((x @ W) @ v) == pytest.approx(float(x @ (W @ v)), abs=1e-5 * scale)
