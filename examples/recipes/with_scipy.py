"""The solvers of SciPy take a drawn matrix as it is: spectral radius and steady rates."""

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator, eigs, gmres, spsolve

import evops

n = 400
W = evops.Projection(evops.FixedProbability(0.1), evops.Normal(0.5, 0.5), (n, n), seed=42)
radius = abs(eigs(W, k=1, return_eigenvectors=False)[0])
W = W * (0.7 / radius)

# Rates r = b + r W, so (I - W.T) r = b.
b = np.random.default_rng(0).uniform(0, 5, n)
system = aslinearoperator(scipy.sparse.eye_array(n)) - aslinearoperator(W.T)
rates, failed = gmres(system, b, rtol=1e-5)

stored = W.tocsr().to_scipy()
direct = spsolve(scipy.sparse.eye_array(n, format="csc") - stored.T, b)

dense = np.asarray(W.todense(), float)
expected = np.linalg.solve(np.eye(n) - dense.T, b)
print(f"SciPy: radius {radius:.4g}, rates of {rates.mean():.4g} +- {rates.std():.4g} per second")
assert not failed
np.testing.assert_allclose(abs(np.linalg.eigvals(dense)).max(), 0.7, rtol=1e-4)
np.testing.assert_allclose(rates, expected, rtol=1e-3, atol=1e-3)
np.testing.assert_allclose(direct, expected, rtol=1e-7)
