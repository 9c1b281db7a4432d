"""Surrogate-gradient training of a spiking network on handwritten digits; its synapses are never stored.

    python examples/train_digits.py [--seeds 0 1 2] [--epochs 8]

Pictures of 8 x 8 pixels drive 16 populations of 4 integrate-and-fire neurons, which drive each other; spike counts are
read out by dense weights. Every pair of a patch of pixels and a population has a projection of its own. So its weight law
tells this population where to look, and the means and deviations of the laws take the place of single weights.

Three variants have the same synapses, first weights, batches and steps of Adam. All train the readout.

- law: synapses are drawn at each use, and their laws are trained through `W.replace(law=law)`.
- free: the same synapses have a stored weight each, `W.with_weights(values)`, and these are trained.
- frozen: synapses and their laws stay as they are.

Settings were chosen by cross-validation on pictures that are not those of the test. Needs scikit-learn.
Surrogate: Zenke & Ganguli (2018), doi:10.1162/neco_a_01086. Digits: Alpaydin & Kaynak (1998), doi:10.24432/C50P49.
"""

import argparse
import functools
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import evops

PIXELS, SIDE = 8, 2  # of a picture, of a patch
PATCHES = (PIXELS // SIDE) ** 2
POPULATIONS, SIZE = 16, 4
NEURONS = POPULATIONS * SIZE
STEPS, LEAK, STEEPNESS = 10, 0.9, 5.0
BATCH, LEARNING_RATE = 32, 0.06
VARIANTS = ("law", "free", "frozen")


class Wiring(NamedTuple):
    """Projections with a batch axis on their leaves: those of one kind are used under `jax.vmap`."""

    inputs: Any  # of all pairs of a patch and a population
    recurrent: Any  # of each population to all neurons


def draw(seed: int) -> Wiring:
    """Other synapses for every seed; half of the pairs of an input projection are connected."""
    keys = jax.random.split(jax.random.key(seed), PATCHES * POPULATIONS + POPULATIONS)

    def projection(degree, std, shape, key):
        law = evops.Normal(0.0, std)
        return evops.Projection(evops.FixedOutDegree(degree), law, shape, seed=key)

    def of(*arguments):
        return jax.vmap(functools.partial(projection, *arguments))

    return Wiring(
        of(SIZE // 2, 0.5, (SIDE**2, SIZE))(keys[:-POPULATIONS]),
        of(8, 0.1, (SIZE, NEURONS))(keys[-POPULATIONS:]),
    )


def first(variant: str, wiring: Wiring, key: jax.Array) -> dict[str, Any]:
    """What is trained. A deviation is trained as the number whose softplus it is: it stays positive."""

    def raw(W):
        return {"mean": W.law.mean, "raw": jnp.log(jnp.expm1(W.law.std))}

    def drawn(W):
        each = [jax.tree.map(lambda leaf, k=k: leaf[k], W) for k in range(W.law.mean.shape[0])]
        return jnp.stack([one.tocsr().data for one in each])

    synapses = {"law": raw, "free": drawn, "frozen": lambda W: ()}[variant]
    readout = jax.random.normal(key, (NEURONS, 10)) / np.sqrt(NEURONS)
    return {"synapses": Wiring(*map(synapses, wiring)), "readout": readout, "bias": jnp.zeros(10)}


def with_trained(variant: str, wiring: Wiring, trained: Wiring) -> Wiring:
    """The projections with what is trained of them."""

    def law(W, of):
        return W.replace(law=evops.Normal(of["mean"], jax.nn.softplus(of["raw"])))

    def free(W, values):
        return W.with_weights(values)

    change = {"law": law, "free": free, "frozen": lambda W, of: W}[variant]
    return Wiring(*(jax.vmap(change)(W, of) for W, of in zip(wiring, trained, strict=True)))


@jax.custom_jvp
def spike(v: jax.Array) -> jax.Array:
    """1 above threshold, with the derivative of a fast sigmoid."""
    return (v > 0).astype(v.dtype)


@spike.defjvp
def _(primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v), dv / (1 + STEEPNESS * jnp.abs(v)) ** 2


def product(x: jax.Array, W: Any) -> jax.Array:
    return x @ W


def logits(wiring: Wiring, parameters: dict[str, Any], pictures: jax.Array) -> jax.Array:
    """Scores of the ten digits, `(batch, 10)`, for pictures `(batch, 64)`."""
    batch, grid = pictures.shape[0], PIXELS // SIDE
    patches = pictures.reshape(batch, grid, SIDE, grid, SIDE).transpose(1, 3, 0, 2, 4)
    patches = patches.reshape(PATCHES, batch, SIDE**2)
    # A picture does not change, so neither does its current: it is computed once.
    current = jax.vmap(product)(jnp.repeat(patches, POPULATIONS, 0), wiring.inputs)
    current = current.reshape(PATCHES, POPULATIONS, batch, SIZE).sum(0)
    current = current.swapaxes(0, 1).reshape(batch, NEURONS)

    def step(state, _):
        v, spikes, counts = state
        by_population = spikes.reshape(batch, POPULATIONS, SIZE).swapaxes(0, 1)
        recurrent = jax.vmap(product)(by_population, wiring.recurrent).sum(0)
        v = LEAK * v * (1 - spikes) + current + recurrent
        spikes = spike(v - 1)
        return (v, spikes, counts + spikes), None

    silent = jnp.zeros((batch, NEURONS))
    (_, _, counts), _ = jax.lax.scan(step, (silent, silent, silent), None, STEPS)
    return counts / STEPS @ parameters["readout"] + parameters["bias"][None]


def loss(variant, parameters, wiring, pictures, labels):
    of = with_trained(variant, wiring, parameters["synapses"])
    scores = jax.nn.log_softmax(logits(of, parameters, pictures))
    return -jnp.take_along_axis(scores, labels[:, None], 1).mean()


@functools.partial(jax.jit, static_argnames="variant")
def train(variant, parameters, wiring, pictures, labels, batches):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), whose rate falls to 0 as a cosine."""
    zeros = jax.tree.map(jnp.zeros_like, parameters)

    def step(state, now):
        parameters, m, s = state
        k, batch = now
        value, gradient = jax.value_and_grad(functools.partial(loss, variant))(
            parameters, wiring, pictures[batch], labels[batch]
        )
        rate = LEARNING_RATE * 0.5 * (1 + jnp.cos(jnp.pi * k / len(batches)))
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
        s = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, s, gradient)
        rate = rate * jnp.sqrt(1 - 0.999 ** (k + 1)) / (1 - 0.9 ** (k + 1))
        moved = jax.tree.map(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + 1e-8), parameters, m, s)
        return (moved, m, s), value

    steps = jnp.arange(len(batches), dtype=jnp.float32), batches
    (parameters, _, _), losses = jax.lax.scan(step, (parameters, zeros, zeros), steps)
    return parameters, losses


@functools.partial(jax.jit, static_argnames="variant")
def accuracy(variant, parameters, wiring, pictures, labels):
    of = with_trained(variant, wiring, parameters["synapses"])
    return (logits(of, parameters, pictures).argmax(1) == labels).mean()


def outcome(seed, variant, epochs, splits) -> tuple[Any, ...]:
    """How many numbers of the synapses are trained, and the accuracies on all splits."""
    (pictures, labels), wiring, rng = splits[0], draw(seed), np.random.default_rng(seed)
    many = len(labels) // BATCH
    order = [rng.permutation(len(labels))[: many * BATCH] for _ in range(epochs)]
    parameters = first(variant, wiring, jax.random.key(seed))
    numbers = sum(leaf.size for leaf in jax.tree.leaves(parameters["synapses"]))
    batches = np.concatenate(order).reshape(-1, BATCH)
    parameters, _ = train(variant, parameters, wiring, pictures, labels, batches)
    return numbers, *(float(accuracy(variant, parameters, wiring, *split)) for split in splits)


def digits() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures and labels to train, to validate and to test: the same 1077, 360 and 360 for every seed."""
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(123).permutation(len(labels))
    pictures, labels = np.float32(pictures[order] / 16), np.int32(labels[order])
    return list(zip(np.split(pictures, [1077, 1437]), np.split(labels, [1077, 1437]), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    splits, begin = digits(), time.perf_counter()
    found: dict[str, list] = {variant: [] for variant in VARIANTS}
    print("seed   variant  numbers  training  valid     test")
    tasks = list(itertools.product(options.seeds, VARIANTS))
    with ThreadPoolExecutor(2) as pool:  # two at a time: steps this small use one core
        done = pool.map(lambda task: outcome(*task, options.epochs, splits), tasks)
        for (seed, variant), (numbers, *shares) in zip(tasks, done, strict=True):
            found[variant].append(shares)
            text = "  ".join(f"{of:<8.2%}" for of in shares)
            print(f"{seed:<6} {variant:8} {numbers:<8} {text}", flush=True)
    means = {variant: np.mean(of, 0) for variant, of in found.items()}
    for variant, shares in means.items():
        text = "  ".join(f"{of:<8.2%}" for of in shares)
        print(f"mean   {variant:17} {text}")
    gap = 100 * (means["free"] - means["law"])
    print(f"Free weights are above trained laws by {gap[1]:.2f} points on the validation pictures")
    print(f"and {gap[2]:.2f} on the test pictures. {time.perf_counter() - begin:.0f} s.")


if __name__ == "__main__":
    main()
