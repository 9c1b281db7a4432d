"""A layer of Flax NNX that draws its synapses.

`nnx.data` keeps the matrix, and an `nnx.Param` trains each number of its weight law.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import evops


class Drawn(nnx.Module):
    """The input of the post neurons."""

    def __init__(self, W: evops.Projection, dense: bool = False):
        self.W, self.dense = nnx.data(W), dense
        self.mean, self.std = nnx.Param(W.law.mean), nnx.Param(W.law.std)

    def __call__(self, spikes: jax.Array) -> jax.Array:
        W = self.W.replace(law=evops.Normal(self.mean[...], self.std[...]))
        return spikes @ (W.todense() if self.dense else W)


@nnx.jit
def step(layer, optimizer, spikes, target):
    def loss(layer):
        return jnp.mean((layer(spikes) - target) ** 2)

    optimizer.update(layer, nnx.grad(loss)(layer))


def train(layer, spikes, target):
    optimizer = nnx.Optimizer(layer, optax.adam(0.02), wrt=nnx.Param)
    for _ in range(200):
        step(layer, optimizer, spikes, target)
    return [float(layer.mean[...]), float(layer.std[...])]


W = evops.Projection(evops.FixedProbability(0.1), evops.Normal(0.1, 0.1), (500, 400), seed=42)
spikes = jax.random.bernoulli(jax.random.key(0), 0.05, (32, 500))
target = spikes @ W.replace(law=evops.Normal(0.5, 0.2))
law, dense = train(Drawn(W), spikes, target), train(Drawn(W, dense=True), spikes, target)
print(f"Flax NNX: mean and standard deviation {law}; dense: {dense}")
np.testing.assert_allclose(law, dense, rtol=1e-3)
np.testing.assert_allclose(law, [0.5, 0.2], rtol=0.01)
