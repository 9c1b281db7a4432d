"""Projection under jit, scan, checkpoint, vmap, jvp, grad, hessian, export and threads."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import evops
from bits import assert_same_bits

pytestmark = pytest.mark.range_ends

N_PRE, N_POST = 20, 17
CASES = {
    "p=0.4, normal": (evops.FixedProbability(0.4), evops.Normal(0.5, 0.25)),
    "p=0.1, constant": (evops.FixedProbability(0.1), evops.Constant(0.75)),
    "k=4, uniform": (evops.FixedOutDegree(4), evops.Uniform(-1.0, 2.0)),
    "published, constant": (evops.LfsrGaps(0.25), evops.Constant(-0.5)),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(params=["x @ W", "W @ x"])
def direction(request):
    """A product, and the number of entries it takes."""
    if request.param == "x @ W":
        return (lambda x, W: x @ W), N_PRE
    return (lambda x, W: W @ x), N_POST


def project(case, backend, law=None, seed=11):
    rule, own = case
    law = jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), own if law is None else law)
    return evops.Projection(rule, law, (N_PRE, N_POST), seed=seed, backend=backend)


def matrix(W, direction):
    M = np.asarray(W.todense())
    return M.T if direction[1] == N_PRE else M


def close(a, b, tolerance=1e-5):
    jax.tree.map(
        lambda p, q: np.testing.assert_allclose(p, q, rtol=tolerance, atol=tolerance), a, b
    )


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@pytest.mark.thin(27)
def test_jit_scan_and_checkpoint(case, direction, backend, rng):
    product, n = direction
    W = project(case, backend)
    x = jnp.asarray(rng.normal(size=n).astype(np.float32))
    close(jax.jit(product)(x, W), product(x, W))

    def step(total, key):
        y = product(x + 0 * total, project(case, backend, seed=key))
        return total + y.sum(), y

    keys = jax.random.split(jax.random.key(3), 3)
    _, scanned = jax.lax.scan(step, jnp.float32(0), keys)
    for key, y in zip(keys, scanned, strict=True):
        close(y, product(x, project(case, backend, seed=key)))

    def loss(x, law):
        return jnp.sum(jnp.sin(product(x, project(case, backend, law))))

    plain, kept = (jax.grad(f, (0, 1))(x, W.law) for f in (loss, jax.checkpoint(loss)))
    close(plain, kept)


@pytest.mark.thin(27)
def test_vmap(case, direction, backend, rng):
    """Over x, over weights, over seeds, over all, and nested."""
    product, n = direction
    xs = jnp.asarray(rng.normal(size=(3, n)).astype(np.float32))
    scaled = [
        jax.tree.map(lambda v, k=k: v * (1 + k), project(case, backend).law) for k in range(3)
    ]
    Ws = [project(case, backend, law, seed=k) for k, law in enumerate(scaled)]
    same_seed = [project(case, backend, law) for law in scaled]
    close(jax.vmap(product, (0, None))(xs, Ws[0]), [product(x, Ws[0]) for x in xs])
    close(jax.vmap(product, (-1, None), 1)(xs.T, Ws[0]).T, [product(x, Ws[0]) for x in xs])
    close(jax.vmap(product)(xs, stack(Ws)), [product(x, W) for x, W in zip(xs, Ws, strict=True)])
    axes = jax.tree.map(lambda _: 0, Ws[0])
    axes.key = None  # weights alone: leaves may be set
    stacked = stack(same_seed)
    stacked.key = Ws[0].key
    other = [project(case, backend, law, seed=0) for law in scaled]
    close(jax.vmap(product, (None, axes))(xs[0], stacked), [product(xs[0], W) for W in other])
    by_seed = jax.vmap(lambda k: product(xs[0], project(case, backend, seed=k)))(jnp.arange(3))
    close(by_seed, [product(xs[0], project(case, backend, seed=k)) for k in range(3)])
    nested = jax.vmap(jax.vmap(product, (0, None)), (None, 0))(xs, stack(Ws))
    close(nested, [[product(x, W) for x in xs] for W in Ws])


@pytest.mark.thin(15)
def test_derivatives_are_those_of_the_dense_product(case, direction, backend, rng):
    product, n = direction
    W = project(case, backend)
    M = matrix(W, direction)
    x, dx = (jnp.asarray(rng.normal(size=n).astype(np.float32)) for _ in range(2))
    y, dy = jax.jvp(lambda x: product(x, W), (x,), (dx,))
    close((y, dy), (M @ x, M @ dx), 1e-4)
    _, pull = jax.vjp(lambda x: product(x, W), x)
    ct = jnp.asarray(rng.normal(size=y.shape).astype(np.float32))
    close(pull(ct)[0], M.T @ ct, 1e-4)
    units = []  # the product is linear in the parameters: its derivative in each, by a unit law
    leaves, tree = jax.tree.flatten(W.law)
    for k in range(len(leaves)):
        unit = jax.tree.unflatten(tree, [jnp.float32(j == k) for j in range(len(leaves))])
        again = W.replace(law=unit)
        units.append(matrix(again, direction) @ x)

    def of(x, law):
        return product(x, W.replace(law=law))

    def by_law(law):
        return of(x, law)

    _, pull = jax.vjp(by_law, W.law)
    close(jax.tree.leaves(pull(ct)[0]), [jnp.vdot(ct, unit) for unit in units], 1e-4)
    for k, unit in enumerate(units):
        tangent = jax.tree.unflatten(tree, [jnp.float32(j == k) for j in range(len(leaves))])
        close(jax.jvp(by_law, (W.law,), (tangent,))[1], unit, 1e-4)
    tangent = jax.tree.unflatten(tree, [jnp.float32(1)] * len(leaves))
    both = jax.jvp(of, (x, W.law), (dx, tangent))[1]
    close(both, M @ dx + sum(units), 1e-4)


@pytest.mark.thin(27)
def test_second_derivatives_and_batches_of_gradients(case, direction, backend, rng):
    product, n = direction
    W = project(case, backend)
    xs = jnp.asarray(rng.normal(size=(2, n)).astype(np.float32))

    def loss(x, W):
        return jnp.sum(jnp.sin(product(x, W)))

    gradient = jax.grad(loss, argnums=(0, 1), allow_int=True)
    batched_x, batched_W = jax.vmap(gradient, (0, None))(xs, W)
    for k, x in enumerate(xs):
        in_x, in_W = gradient(x, W)
        close(batched_x[k], in_x)
        close([v[k] for v in jax.tree.leaves(batched_W.law)], jax.tree.leaves(in_W.law), 1e-4)
        assert in_W.key.dtype == jax.dtypes.float0
    M = matrix(W, direction)
    curved = M.T @ (-np.sin(M @ np.asarray(xs[0]))[:, None] * M)
    close(jax.hessian(loss)(xs[0], W), curved, 1e-4)

    def of_law(*parameters):
        law = jax.tree.unflatten(jax.tree.structure(W.law), parameters)
        return loss(xs[0], project(case, backend, law))

    order = 2 if backend == "native" else 1
    check_grads(of_law, tuple(jax.tree.leaves(W.law)), order, eps=1e-2, rtol=5e-2, atol=5e-2)


TARGETS = ("evops_scatter", "evops_gather")


@pytest.mark.thin(9)
def test_export(case, direction, backend, rng):
    """Programs are saved and loaded; the native kernels' targets are named as known to be stable.

    The process that loads one must have imported evops and used the native library once, which
    registers its targets; a program of the jnp path needs nothing.
    """
    product, n = direction
    W = project(case, backend)
    tree = jax.tree.structure(W)

    def call(x, *leaves):
        return product(x, jax.tree.unflatten(tree, leaves))

    x = jnp.asarray(rng.normal(size=n).astype(np.float32))
    operands = (x, *jax.tree.leaves(W))
    checks = evops.export_checks() if backend == "native" else []
    exported = jax.export.export(jax.jit(call), disabled_checks=checks)(*operands)
    again = jax.export.deserialize(exported.serialize(vjp_order=0))
    np.testing.assert_array_equal(again.call(*operands), jax.jit(call)(*operands))
    if backend == "native":
        with pytest.raises(ValueError, match="evops_"):
            jax.export.export(jax.jit(call))(*operands)


@pytest.mark.thin(3)
def test_several_python_threads(case, direction, backend, rng):
    product, n = direction
    xs = rng.normal(size=(6, n)).astype(np.float32)
    Ws = [project(case, backend, seed=k) for k in range(6)]
    call = jax.jit(product)
    expected = [np.asarray(call(x, W)) for x, W in zip(xs, Ws, strict=True)]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            results = list(pool.map(lambda pair: np.asarray(call(*pair)), zip(xs, Ws, strict=True)))
            assert_same_bits(results, expected)


def test_large_products_in_several_threads_are_the_same(rng):
    """Each is split over the threads that XLA has."""
    W = evops.Projection(evops.FixedProbability(0.3), 0.5, (2000, 4000), seed=3, backend="native")
    xs = rng.random((4, 2000)) < 0.9
    call = jax.jit(lambda x, W: x @ W)
    expected = [np.asarray(call(x, W)) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            results = list(pool.map(lambda x: np.asarray(call(x, W)), xs))
            np.testing.assert_array_equal(results, expected)


def test_stacked_matrices_go_into_a_program():
    """The tests forbid promotion of ranks, which leaves of bits with a batch axis had needed."""

    def of(seed):
        return evops.Projection(evops.FixedInDegree(5), evops.Normal(0.5, 0.1), (30, 20), seed=seed)

    stack = jax.vmap(of)(jnp.arange(3))
    got = jax.jit(jax.vmap(lambda W: W.todense()))(stack)
    for seed, dense in enumerate(got):
        close(dense, of(seed).todense())
