"""Everything public without jit (`jax.disable_jit`): the same values as with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

pytestmark = pytest.mark.range_ends

N = 20
SHAPE = (N, N)
RULES = {
    "dense": evops.FixedProbability(0.5, autapses=False),
    "total": evops.FixedTotalNumber(50),
    "published": evops.LfsrGaps(0.25),
}
X = jnp.asarray(np.random.default_rng(0).random(N) < 0.4)


def matrices(rule, backend):
    """Values of all that a projection does."""
    law = evops.Normal(0.5, 0.25)
    W = evops.Projection(rule, law, SHAPE, seed=7, delay=evops.Uniform(1, 3), backend=backend)
    S = W.tocsr()
    buffer = W.push(X, evops.DelayBuffer.zeros(N, W.max_delay))
    now, after = buffer.pop(backend)
    x = X.astype(jnp.float32)
    out = [X @ W, W @ x, jnp.stack([x, x]) @ W, W.in_degree(), W.out_degree(), W.todense()]
    out += [*W.edges(), X @ S, S @ x, S.todense(), S.in_degree(), buffer.sums, now, after.sums]
    out += [jax.grad(lambda x: (x @ W).sum())(x), jax.vmap(lambda x: x @ W)(jnp.stack([x, x]))]
    return out


def circuit(backend):
    """A circuit and areas, stepped."""
    populations = evops.Populations({"E": 12, "I": 8})
    rule, law = evops.FixedProbability(0.3), evops.Constant(0.5)
    options = {"seed": 3, "delay": 2, "backend": backend}
    c = evops.Circuit(populations, {("E", "I"): evops.Projection(rule, law, (12, 8), **options)})
    buffer = c.push(X, c.buffer())
    areas = evops.MultiAreaProjection(
        0.3, jnp.ones((2, 2)), 2, pre=10, post=9, seed=4, backend=backend
    )
    now, later = areas(X.reshape(2, 10), areas.buffer())
    return [buffer.sums, *c.edges(), now, later.sums]


def published(backend):
    x, options = X.astype(jnp.float32), {"shape": SHAPE, "backend": backend}
    weights = {"homo": (0.5,), "uniform": (0.1, 0.5), "normal": (0.5, 0.1)}
    out = []
    for kind, parameters in weights.items():
        out.append(getattr(evops, f"event_mv_prob_{kind}")(X, *parameters, 0.25, 5, **options))
        out.append(getattr(evops, f"mv_prob_{kind}")(x, *parameters, 0.25, 5, **options))
        out.append(getattr(evops, f"get_{kind}_weight_matrix")(*parameters, 0.25, 5, **options))
    seeds = jnp.array([5, 6], jnp.int32)
    areas = {"shape": (10, 9), "area_num": 2, "backend": backend}
    out.append(evops.multi_area_event_mv_prob_homo_E(x[:10], jnp.ones(2), seeds, 0.25, **areas))
    out.append(evops.multi_area_event_mv_prob_homo_I(x.reshape(2, 10), 1.0, seeds, 0.25, **areas))
    return out


def users_kernel(backend):
    double = evops.XLACustomOp(
        fallback=lambda x, *, outs: [2 * x], jvp=lambda p, t, *, outs: ([2 * p[0]], [2 * t[0]])
    )
    x, out = X.astype(jnp.float32), [jax.ShapeDtypeStruct((N,), jnp.float32)]
    call = lambda x: double(x, outs=out, backend="jnp")[0]  # noqa: E731
    return [call(x), jax.grad(lambda x: call(x).sum())(x), jax.vmap(call)(jnp.stack([x, x]))]


def both(function, *arguments):
    with jax.disable_jit():
        found = function(*arguments)
    for a, b in zip(found, function(*arguments), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.thin(2)
@pytest.mark.parametrize(
    "rule", ["total", *(pytest.param(r, marks=pytest.mark.slow) for r in RULES if r != "total")]
)
def test_projections_without_jit(rule, backend):
    both(matrices, RULES[rule], backend)


@pytest.mark.thin(5)
@pytest.mark.parametrize("part", [circuit, published, users_kernel])
def test_other_operators_without_jit(part, backend):
    both(part, backend)


def test_a_kernel_without_jit():
    import custom_kernels as kernels

    def call():
        x = X.astype(jnp.float32)
        operator = evops.XLACustomOp(kernels.times)
        return operator(x, jnp.ones(1) * 3, outs=[jax.ShapeDtypeStruct((N,), jnp.float32)])

    both(call)


@pytest.mark.thin(3)
def test_loops_without_jit(backend):
    """Under it JAX's loops run their bodies one by one."""

    def steps():
        W = evops.Projection(RULES["total"], 0.5, SHAPE, seed=1, delay=2, backend=backend)

        def step(carry, _):
            v, buffer = carry
            now, buffer = W.push(v > 0.5, buffer).pop(backend)
            return (0.5 * v + now, buffer), v

        start = jnp.linspace(0, 1, N), evops.DelayBuffer.zeros(N, W.max_delay)
        (v, buffer), path = jax.lax.scan(step, start, None, length=4)
        return [v, buffer.sums, path]

    both(steps)
