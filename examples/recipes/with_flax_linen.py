"""A layer of Flax linen whose parameter is the weight law of a drawn matrix.

A `TrainState` trains it, and msgpack writes the matrix that results.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import serialization
from flax.training.train_state import TrainState

import evops


class Drawn(nn.Module):
    """The input of the post neurons."""

    W: evops.Projection

    @nn.compact
    def __call__(self, spikes):
        law = self.param("law", lambda key: self.W.law)
        return spikes @ self.W.replace(law=law)


@jax.jit
def step(state, spikes, target):
    def loss(params):
        return jnp.mean((state.apply_fn(params, spikes) - target) ** 2)

    return state.apply_gradients(grads=jax.grad(loss)(state.params))


W = evops.Projection(evops.FixedProbability(0.1), evops.Normal(0.1, 0.1), (1000, 800), seed=42)
spikes = jax.random.bernoulli(jax.random.key(0), 0.05, (16, 1000))
target = spikes @ W.replace(law=evops.Normal(0.5, 0.2))
params = Drawn(W).init(jax.random.key(1), spikes)
state = TrainState.create(apply_fn=Drawn(W).apply, params=params, tx=optax.adam(0.02))
for _ in range(200):
    state = step(state, spikes, target)
trained = W.replace(law=state.params["params"]["law"])
written = serialization.msgpack_serialize(trained.to_dict())

read = evops.Projection.from_dict(serialization.msgpack_restore(written))
print(f"Flax linen: {read.law}, {len(written)} bytes")
np.testing.assert_allclose(state.apply_fn(state.params, spikes), spikes @ read.todense(), rtol=1e-4)
np.testing.assert_allclose([read.law.mean, read.law.std], [0.5, 0.2], rtol=0.01)
