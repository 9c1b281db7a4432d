"""Events of brainevent times connections of evops, and the same synapses as a CSR of brainevent."""

import brainevent
import jax
import numpy as np

import evops

rule = evops.FixedProbability(0.1)
W = evops.Projection(rule, evops.Normal(0.6, 0.1), (2000, 1000), seed=42)
spikes = jax.random.bernoulli(jax.random.key(0), 0.02, 2000)
events = brainevent.BinaryArray(spikes)

S = W.tocsr()
stored = brainevent.CSR((S.data, S.indices, S.indptr), shape=S.shape)


@jax.jit
def currents(spikes):
    events = brainevent.BinaryArray(spikes)
    return events @ W, events @ stored


drawn_current, stored_current = currents(spikes)
print(f"{stored.nse} synapses, mean current {drawn_current.mean():.3f}")

dense = spikes @ W.todense()
np.testing.assert_allclose(drawn_current, dense, rtol=1e-4)
np.testing.assert_allclose(stored_current, dense, rtol=1e-4)
np.testing.assert_allclose(events @ W, dense, rtol=1e-4)
