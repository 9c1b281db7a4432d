"""Steady rates of a network by optimistix, and weights at which their mean is 0.3.

The fixed point is differentiated implicitly; what is optimised is the weight law.
"""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx

import evops

n, p = 1000, 0.1
law = evops.Normal(-2 / (p * n), 1 / (p * n))
W = evops.Projection(evops.FixedProbability(p), law, (n, n), seed=42)
drive = jax.random.normal(jax.random.key(0), n)


def f(r, W):
    return jax.nn.sigmoid(r @ W + drive)


@jax.jit
def rates(W):
    solver = optx.FixedPointIteration(rtol=1e-6, atol=1e-6)
    # the default adjoint would make the Jacobian, (n, n)
    adjoint = optx.ImplicitAdjoint(lx.GMRES(rtol=1e-5, atol=1e-5))
    return optx.fixed_point(f, solver, jnp.full(n, 0.5), W, adjoint=adjoint).value


def residual(law, args):
    return rates(W.replace(law=law)).mean() - 0.3


solver = optx.LevenbergMarquardt(rtol=1e-5, atol=1e-5)
fitted = W.replace(law=optx.least_squares(residual, solver, W.law).value)
print(f"{fitted.law}: mean rate {rates(fitted).mean():.5f}")

np.testing.assert_allclose(rates(fitted), rates(fitted.todense()), atol=1e-5)
np.testing.assert_allclose(rates(fitted).mean(), 0.3, atol=1e-4)
