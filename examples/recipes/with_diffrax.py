"""A chaotic network of rates: connections are drawn again wherever the vector field is evaluated.

The gradient of the solution is with respect to the strength of all connections.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import evops

n, p = 1000, 0.1
law = evops.Normal(0.0, 1 / np.sqrt(p * n))
W = evops.Projection(evops.FixedProbability(p), law, (n, n), seed=42)


def vector_field(t, v, W):
    return (jnp.tanh(v) @ W - v) / 10.0  # ms


@jax.jit
def solve(W):
    term = diffrax.ODETerm(vector_field)
    v0 = jax.random.normal(jax.random.key(0), n)
    saveat = diffrax.SaveAt(ts=jnp.linspace(0, 20, 11))
    controller = diffrax.PIDController(rtol=1e-5, atol=1e-5)
    return diffrax.diffeqsolve(
        term, diffrax.Tsit5(), 0, 20, 0.1, v0, W, saveat=saveat, stepsize_controller=controller
    ).ys


def power(gain, W):
    return (solve(gain * W)[-1] ** 2).mean()


slope = jax.grad(power)(1.5, W)
print(f"power {power(1.5, W):.4f} at gain 1.5, its derivative {slope:.4f}")

np.testing.assert_allclose(solve(1.5 * W), solve(1.5 * W.todense()), atol=1e-3)
np.testing.assert_allclose(slope, jax.grad(power)(1.5, W.todense()), rtol=1e-3)
