"""A layer of brainstate whose weight law is trained: two numbers for all 100,000 synapses."""

import brainstate
import braintools
import jax
import numpy as np

import evops


class Layer(brainstate.nn.Module):
    """Connections of which the weight law is a parameter."""

    def __init__(self, W):
        super().__init__()
        self.W = W
        self.law = brainstate.ParamState(W.law)

    def update(self, x):
        return x @ self.W.replace(law=self.law.value)


rule = evops.FixedProbability(0.1)
W = evops.Projection(rule, evops.Normal(0.0, 0.5), (1000, 1000), seed=42)
x = jax.random.bernoulli(jax.random.key(0), 0.1, (20, 1000))
target = x @ W.replace(law=evops.Normal(0.3, 1.0))

layer = Layer(W)
optimizer = braintools.optim.Adam(lr=0.02)
optimizer.register_trainable_weights(layer.states(brainstate.ParamState))


def loss():
    return ((layer(x) - target) ** 2).mean()


@brainstate.transform.jit
def train():
    gradients, value = brainstate.transform.grad(loss, layer.states(), return_value=True)()
    optimizer.update(gradients)
    return value


losses = [train() for _ in range(200)]
law = layer.law.value
print(f"loss {losses[0]:.2f} to {losses[-1]:.1e}, {law}")

np.testing.assert_allclose(layer(x), x @ W.replace(law=law).todense(), rtol=1e-4, atol=1e-4)
np.testing.assert_allclose([law.mean, law.std], [0.3, 1.0], rtol=0.01)
