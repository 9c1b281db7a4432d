"""Every primitive inside `jax.shard_map`: values and derivatives beside dense matrices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import evops
from manual_axes import CUTS, DEVICES, OPERATORS, TRANSFORMS, dense, of_one, sharded

pytestmark = pytest.mark.range_ends

ALL = list(itertools.product(OPERATORS, CUTS, TRANSFORMS, ("native", "jnp"), (True, False)))
# One in seven of them, so that every pair of choices is among them.
SOME = [case for k, case in enumerate(ALL) if k % 7 == 0]


@pytest.fixture(scope="module")
def mesh():
    return Mesh(np.array(jax.devices("cpu")[:DEVICES]), ("device",))


def check(name, cut, transform, backend, check_vma):
    x, w, _ = map(jnp.asarray, of_one(name, cut))
    ask = TRANSFORMS[transform][1]
    function = sharded(name, cut, transform, backend, check_vma)
    found = jax.jit(lambda x, w: ask(function, x, w))(x, w)
    expected = ask(dense(name, cut, transform), x, w)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), found, expected
    )


@pytest.mark.thin(77)
@pytest.mark.parametrize("name, cut, transform, backend, check_vma", SOME)
def test_primitives_in_shard_map_equal_dense(name, cut, transform, backend, check_vma):
    check(name, cut, transform, backend, check_vma)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, cut, transform, backend, check_vma", [case for case in ALL if case not in SOME]
)
def test_all_primitives_in_shard_map_equal_dense(name, cut, transform, backend, check_vma):
    check(name, cut, transform, backend, check_vma)


def test_some_has_every_pair_of_choices():
    for i, j in itertools.combinations(range(5), 2):
        assert {(c[i], c[j]) for c in SOME} == {(c[i], c[j]) for c in ALL}


SPLIT, WHOLE = PartitionSpec("device"), PartitionSpec()


def over(mesh, function, *specs, out=SPLIT, **options):
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, **options))


@pytest.mark.thin(5)
@pytest.mark.parametrize("check_vma", [True, False])
@pytest.mark.parametrize("transform", ["value", "vmap", "scan"])
def test_starts_of_lines_in_shard_map(mesh, transform, backend, check_vma):
    """They are drawn where a projection is made from a seed of each device's own."""

    def starts(seed):
        rule = evops.FixedTotalNumber(50)
        return evops.Projection(rule, 1.0, (12, 9), seed=seed, backend=backend).indptr

    def on_device(seeds):
        if transform == "vmap":
            return jax.vmap(starts)(seeds)
        if transform == "scan":
            return jax.lax.scan(lambda _, seed: (None, starts(seed)), None, seeds)[1]
        return jnp.stack([starts(seed) for seed in seeds])

    seeds = np.arange(2 * DEVICES, dtype=np.uint32)
    found = over(mesh, on_device, SPLIT, check_vma=check_vma)(seeds)
    np.testing.assert_array_equal(found, [starts(seed) for seed in seeds])


def test_a_result_that_varies_is_not_taken_for_one_of_all_devices(mesh, backend):
    W = evops.Projection(evops.FixedProbability(0.3), 1.0, (12, 9), seed=1, backend=backend)
    x = jnp.ones((DEVICES, 12))
    with pytest.raises(ValueError, match="out_specs"):
        over(mesh, lambda x: x[0] @ W, SPLIT, out=WHOLE)(x)


@pytest.mark.thin(9)
@pytest.mark.parametrize("check_vma", [True, False])
def test_circuits_and_areas_in_shard_map(mesh, backend, check_vma):
    """Each device has spikes of its own; gradients of weights are those of all devices."""
    populations = evops.Populations({"E": 8, "I": 4})

    def circuit(x, w):
        rule = evops.FixedTotalNumber(40)
        W = evops.Projection(rule, w, (8, 4), seed=3, delay=evops.Uniform(1, 3), backend=backend)
        c = evops.Circuit(populations, {("E", "I"): W})
        return c.push(x, c.buffer()).sums

    def areas(x, w):
        weight = jnp.full((2, 2), w)
        W = evops.MultiAreaProjection(0.4, weight, 2, pre=6, post=5, seed=4, backend=backend)
        return W.push(x.reshape(2, 6), W.buffer()).sums

    x = jnp.asarray(np.random.default_rng(0).normal(size=(DEVICES, 12)), jnp.float32)
    for function in (circuit, areas):

        def loss(x, w, function=function):
            return (function(x, w) ** 2).sum()

        on_device = over(
            mesh,
            lambda x, w, loss=loss: loss(x[0], w)[None],
            SPLIT,
            WHOLE,
            check_vma=check_vma,
        )
        found = jax.grad(lambda x, w, f=on_device: f(x, w).sum(), argnums=(0, 1))(x, 0.5)
        alone = [jax.grad(loss, argnums=(0, 1))(one, 0.5) for one in x]
        np.testing.assert_allclose(found[0], jnp.stack([dx for dx, _ in alone]), rtol=1e-5)
        np.testing.assert_allclose(found[1], sum(dw for _, dw in alone), rtol=1e-5)


@pytest.mark.thin(9)
@pytest.mark.parametrize("check_vma", [True, False])
def test_dense_matrices_in_shard_map(mesh, backend, check_vma):
    """Of weights of each device's own, with their gradients; transposes are made in blocks."""

    def total(w):
        W = evops.Projection(evops.FixedProbability(0.4), w, (12, 9), seed=3, backend=backend)
        csr = evops.CSR(w, [0, 2, 1], [0, 1, 3], shape=(2, 4), backend=backend)
        matrices = [W.todense(), W.T.todense(), csr.todense()]
        matrices += [
            evops.get_homo_weight_matrix(
                w, 0.25, 5, shape=(6, 8), transpose=t, outdim_parallel=True, backend=backend
            )
            for t in (False, True)
        ]
        return sum((m**2).sum() for m in matrices)

    w = jnp.arange(1.0, 1 + DEVICES)
    on_devices = over(mesh, lambda w: total(w[0])[None], SPLIT, check_vma=check_vma)
    found = jax.value_and_grad(lambda w: on_devices(w).sum())(w)
    expected = jax.value_and_grad(lambda w: sum(total(one) for one in w))(w)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


@pytest.mark.thin(3)
def test_buffers_of_a_circuit_are_carried_in_shard_map(mesh, backend):
    """A circuit of each device's own, stepped in a scan."""
    populations = evops.Populations({"E": 8, "I": 4})

    def path(seed):
        rule = evops.FixedInDegree(3)
        W = evops.Projection(rule, 1.0, (8, 4), seed=seed, delay=2, backend=backend)
        c = evops.Circuit(populations, {("E", "I"): W})

        def step(buffer, _):
            now, buffer = c.push(jnp.arange(12) % 3 == 0, buffer).pop()
            return buffer, now

        return jax.lax.scan(step, c.buffer(), None, length=4)[1]

    seeds = np.arange(DEVICES, dtype=np.uint32)
    found = over(mesh, lambda seed: path(seed[0])[None], SPLIT)(seeds)
    np.testing.assert_array_equal(found, [path(seed) for seed in seeds])


@pytest.mark.slow
def test_second_derivatives_of_push(backend):
    """In both orders of modes, beside the same with a dense matrix."""
    call, twin = (getattr(OPERATORS["push"], which) for which in ("call", "dense"))
    x, w, s = (jnp.asarray(getattr(OPERATORS["push"], o)[0]) for o in "xws")

    def loss(of, *more):
        return lambda x, w: (of(x, w, s, *more) ** 3).sum()

    for outer in (jax.jacfwd, jax.jacrev):
        found = outer(jax.grad(loss(call, backend), argnums=(0, 1)), argnums=(0, 1))(x, w)
        expected = outer(jax.grad(loss(twin), argnums=(0, 1)), argnums=(0, 1))(x, w)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected
        )
