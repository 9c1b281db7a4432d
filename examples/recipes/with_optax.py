"""Train mean and standard deviation of drawn weights by Optax: clipped gradients and AdamW."""

import jax
import numpy as np
import optax

import evops

W = evops.Projection(evops.FixedProbability(0.1), evops.Normal(0.1, 0.1), (1000, 800), seed=42)
spikes = jax.random.bernoulli(jax.random.key(0), 0.05, (16, 1000))
target = spikes @ W.replace(law=evops.Normal(0.5, 0.2))
schedule = optax.cosine_decay_schedule(0.05, 200)
optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=1e-5))


def fit(matrix, law):
    @jax.jit
    def step(law, state):
        def error(law):
            return optax.squared_error(spikes @ matrix(law), target).mean()

        loss, gradient = jax.value_and_grad(error)(law)
        updates, state = optimiser.update(gradient, state, law)
        return optax.apply_updates(law, updates), state, loss

    state = optimiser.init(law)
    for _ in range(200):
        law, state, loss = step(law, state)
    return law, loss


law, loss = fit(lambda law: W.replace(law=law), W.law)

# The dense twin: which pairs are connected, and the standard normal variate of each synapse.
pairs = W.replace(law=1.0).todense()
variates = W.replace(law=evops.Normal(0.0, 1.0)).todense()
dense, _ = fit(lambda law: law.mean * pairs + law.std * variates, W.law)
print(f"Optax: {law}, loss {loss:.2g}; dense: {dense}")
np.testing.assert_allclose([law.mean, law.std], [dense.mean, dense.std], rtol=1e-3)
np.testing.assert_allclose([law.mean, law.std], [0.5, 0.2], rtol=0.01)
