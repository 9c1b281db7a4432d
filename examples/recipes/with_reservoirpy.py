"""A reservoir of ReservoirPy whose recurrent matrix is never stored: an initializer of evops."""

import numpy as np
from reservoirpy.datasets import mackey_glass, to_forecasting
from reservoirpy.jax.nodes import Reservoir, Ridge
from reservoirpy.observables import nrmse
from scipy.sparse.linalg import eigs

import evops


def drawn(units, _, *, sr, connectivity, seed, **options):
    word = int(seed.integers(2**32))
    rule, law = evops.FixedProbability(connectivity), evops.Normal(0.0, 1.0)
    W = evops.Projection(rule, law, (units, units), seed=word)
    return float(sr / abs(eigs(W, k=1, tol=1e-3, return_eigenvectors=False)[0])) * W


series = mackey_glass(1000, seed=1).astype(np.float32)
x_train, x_test, y_train, y_test = to_forecasting(series, forecast=10, test_size=300)
settings = dict(lr=0.3, sr=0.9, rc_connectivity=0.1, seed=42)
reservoir = Reservoir(2000, W=drawn, **settings)
readout = Ridge(ridge=1e-2).fit(states := reservoir.run(x_train), y_train, warmup=100)
error = nrmse(y_test, readout.run(reservoir.run(x_test)))
print(f"error {error:.4f} of 10 steps ahead; {reservoir.W}")

stored = Reservoir(W=np.asarray(reservoir.W.todense()), **settings)
np.testing.assert_allclose(states, stored.run(x_train), atol=1e-4)
assert error < 0.1
