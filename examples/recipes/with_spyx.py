"""A network of Spyx with drawn synapses, whose common factor learns by surrogate gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import spyx
from flax import nnx

import evops


class Synapses(nnx.Module):
    """The input of the post neurons; `gain * W` has the law `evops.Scaled`."""

    def __init__(self, W: evops.Projection | jax.Array):
        self.W, self.gain = nnx.data(W), nnx.Param(jnp.float32(1))

    def __call__(self, spikes: jax.Array) -> jax.Array:
        return spikes @ (self.gain[...] * self.W)


def network(W):
    return spyx.nn.Sequential(Synapses(W), spyx.nn.LIF((50,), beta=0.9, rngs=nnx.Rngs(0)))


@nnx.jit
def step(network, optimizer, spikes, target):
    def loss(network):
        return jnp.mean((spyx.nn.run(network, spikes)[0].sum(0) - target) ** 2)

    value, gradient = nnx.value_and_grad(loss)(network)
    optimizer.update(network, gradient)
    return value


def train(network, spikes, target):
    optimizer = nnx.Optimizer(network, optax.adam(0.03), wrt=nnx.Param)
    losses = [step(network, optimizer, spikes, target) for _ in range(60)]
    return float(network.layers[0].gain[...]), losses


W = evops.Projection(evops.FixedProbability(0.2), evops.Normal(0.05, 0.03), (100, 50), seed=1)
spikes = jax.random.bernoulli(jax.random.key(0), 0.2, (30, 16, 100))  # (time, batch, neurons)
target = spyx.nn.run(network(2 * W), spikes)[0].sum(0)
gain, losses = train(network(W), spikes, target)

dense, _ = train(network(W.todense()), spikes, target)
print(f"Spyx: gain {gain:.4f}, loss {losses[0]:.3g} -> {losses[-1]:.2g}; dense: {dense:.4f}")
np.testing.assert_allclose(gain, dense, rtol=1e-4)
assert losses[-1] < 0.01 * losses[0]
