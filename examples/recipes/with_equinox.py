"""An Equinox layer with a drawn matrix in place of its weights, trained together with its bias."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import evops


class Layer(eqx.Module):
    """Rates of the post neurons, with `W` where a dense layer has its weights."""

    W: evops.Projection
    bias: jax.Array

    def __call__(self, spikes):
        return jax.nn.softplus(spikes @ self.W + self.bias)


@eqx.filter_jit
def step(layer, state, spikes, target):
    def loss(layer):
        return jnp.mean((layer(spikes) - target) ** 2)

    value, gradient = eqx.filter_value_and_grad(loss)(layer)
    updates, state = optimiser.update(gradient, state)
    return eqx.apply_updates(layer, updates), state, value


W = evops.Projection(evops.FixedInDegree(50), evops.Normal(0.1, 0.1), (1000, 400), seed=42)
spikes = jax.random.bernoulli(jax.random.key(0), 0.05, (32, 1000))
target = Layer(W.replace(law=evops.Normal(0.5, 0.2)), jnp.linspace(-1, 1, 400))(spikes)
layer = Layer(W, jnp.zeros(400))
optimiser = optax.adam(optax.cosine_decay_schedule(0.1, 300))
state = optimiser.init(eqx.filter(layer, eqx.is_inexact_array))
for _ in range(300):
    layer, state, loss = step(layer, state, spikes, target)

dense = eqx.tree_at(lambda layer: layer.W, layer, layer.W.todense())
print(f"Equinox: {layer.W.law}, loss {loss:.2g}")
np.testing.assert_allclose(layer(spikes), dense(spikes), rtol=1e-5, atol=1e-5)
assert loss < 1e-6
