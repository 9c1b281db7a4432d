"""Conductances with a unit: the matrix holds numbers, and `W * unit` is a quantity."""

import brainunit as u
import jax

import evops

rule, law = evops.FixedProbability(0.1), evops.Normal(0.6, 0.1)
delay = 1.5 * u.ms / (0.1 * u.ms)  # in time steps
W = evops.Projection(rule, law, (1000, 800), seed=42, delay=delay)
g = W * u.mS

spikes = jax.random.bernoulli(jax.random.key(0), 0.05, 1000)
voltage = jax.random.normal(jax.random.key(1), 1000) * u.mV
conductance = jax.jit(lambda spikes: spikes @ g)(spikes)
current = voltage @ g.to(u.uS)
print(f"mean conductance {conductance.mean():.3f}, total current {current.sum().to(u.uA):.1f}")

D = W.todense() * u.mS
assert u.math.allclose(conductance, spikes @ D, atol=1e-4 * u.mS)
assert u.math.allclose(current, voltage @ D, atol=1e-4 * u.uA)
assert u.math.allclose(voltage @ W, voltage @ W.todense(), atol=1e-4 * u.mV)
try:
    evops.Normal(0.6 * u.mS, 0.1 * u.mS)
except TypeError as error:
    assert "W * unit" in str(error)  # it says what to write
