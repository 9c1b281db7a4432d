"""The package's kernels of neurons compute what stands beside them in jnp."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evops.networks.coba2005 import model as coba2005

MODEL = coba2005.Model(size=5000)


def state(rng, n=5000):
    v = rng.normal(-57, 5, n).astype(np.float32)
    g_exc, g_inh = (rng.random(n).astype(np.float32) * 0.02 for _ in range(2))
    wait = rng.integers(0, 4, n).astype(np.uint8)
    return coba2005.State(*map(jnp.asarray, (v, g_exc, g_inh, wait)))


@pytest.fixture(scope="module")
def parameters():
    return coba2005.setup(MODEL, 1, 1)[0]


def step(backend, parameters, before):
    model = coba2005.Model(size=MODEL.size, backend=backend)
    return coba2005.step(model, parameters, before, jnp.int32(0))


def test_one_step(rng, parameters):
    before = state(rng)
    (native, spikes), (jnp_one, same) = (step(b, parameters, before) for b in ("native", "jnp"))
    np.testing.assert_array_equal(spikes, same)
    np.testing.assert_array_equal(native.wait, jnp_one.wait)
    assert 0 < np.mean(spikes) < 0.5
    # XLA fuses products and sums, the kernels round each.
    for a, b in zip(native[:3], jnp_one[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6)


def test_refractory_times_beyond_a_byte(rng):
    model = coba2005.Model(size=100, refractory=40.0)
    parameters, before = coba2005.setup(model, 1, 1)
    assert before.wait.dtype == np.uint16
    after, spikes = coba2005.step(model, parameters, before._replace(v=before.v + 20), jnp.int32(0))
    assert spikes.any() and after.wait[spikes].min() == 399


def test_transforms(rng, parameters):
    before = state(rng)
    many = jax.tree.map(lambda a: jnp.stack([a, a[::-1]]), before)
    found, spikes = jax.vmap(lambda s: step("native", parameters, s))(many)
    for k, one in enumerate((before, jax.tree.map(lambda a: a[::-1], before))):
        wanted, fired = step("native", parameters, one)
        np.testing.assert_array_equal(spikes[k], fired)
        np.testing.assert_allclose(found.v[k], wanted.v, rtol=2e-6)

    def total(v, backend):
        return step(backend, parameters, before._replace(v=v))[0].v.sum()

    native, jnp_one = (
        jax.jvp(lambda v, b=b: total(v, b), (before.v,), (jnp.ones_like(before.v),))
        for b in ("native", "jnp")
    )
    np.testing.assert_allclose(native, jnp_one, rtol=1e-5)
    gradient = jax.grad(total)(before.v, "native")
    np.testing.assert_allclose(gradient, jax.grad(total)(before.v, "jnp"), rtol=1e-5)
    assert np.isfinite(gradient).all() and np.any(gradient)


def test_a_step_copies_no_state(rng, parameters):
    before = state(rng)

    def run(parameters, before):
        return jax.lax.scan(
            lambda s, _: (step("native", parameters, s)[0], None), before, length=3
        )[0]

    text = jax.jit(run, donate_argnums=1).lower(parameters, before).compile().as_text()
    assert "coba2005_potentials" in text and "coba2005_spikes" in text
    assert "f32[5000]{0} copy(" not in text and "u8[5000]{0} copy(" not in text
