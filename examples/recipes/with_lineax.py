"""Steady rates of a linear network, r = r @ W + b, by GMRES on a matrix that is never stored.

The gradient of the solution is with respect to the strength of all connections.
"""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np

import evops

n, p = 2000, 0.1
law = evops.Normal(0.0, 1 / np.sqrt(p * n))
W = evops.Projection(evops.FixedProbability(p), law, (n, n), seed=42)
b = jax.random.normal(jax.random.key(0), n)


@jax.jit
def rates(gain, W):
    A = (gain * W).T.as_linear_operator()  # A.mv(r) is r @ W
    identity = lx.IdentityLinearOperator(A.in_structure())
    return lx.linear_solve(identity - A, b, lx.GMRES(rtol=1e-5, atol=1e-5)).value


r = rates(0.5, W)
slope = jax.grad(lambda gain: (rates(gain, W) ** 2).sum())(0.5)
print(f"residual {jnp.abs(r - (0.5 * (r @ W) + b)).max():.1e}, derivative of the power {slope:.1f}")

D = W.todense()
np.testing.assert_allclose(r, jnp.linalg.solve(jnp.eye(n) - 0.5 * D.T, b), atol=1e-3)
by_hand = 2 * r @ jnp.linalg.solve(jnp.eye(n) - 0.5 * D.T, r @ D)
np.testing.assert_allclose(slope, by_hand, rtol=1e-3)
