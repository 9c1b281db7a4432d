"""Time of a step against the size of the ring, in every way to run it: a copy of the ring shows as time that grows.

    python bench/rings.py [--neurons N] [--rounds N] [--name NAME]

A step pushes the spikes of 0.1% of the neurons and pops. Delays are the same whatever the size of the
ring: only its slots get more. All ways and sizes alternate; rows hold the best round of each, in us a step (of
one network, in a batch too). Writes results/NAME.json.
"""

import argparse
import os
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

import common
import evops

SLOTS, STEPS, BATCH = (26, 251, 2501), 50, 4


def ways(backend, spikes):
    """Functions from a buffer (or several) to that after STEPS steps, by name, and how many rings each drives."""
    n, draw = spikes.shape[1], evops.FixedProbability(0.01)
    W, V = (
        evops.Projection(draw, 0.5, (n, n), seed=k, delay=evops.Uniform(1, 20), backend=backend)
        for k in (1, 2)
    )

    def step(buffer, x):
        now, buffer = W.push(x, buffer).pop()
        return buffer, now[0]

    def several(buffers, x):
        a, b = buffers
        (now, a), (later, b) = V.push(x, W.push(x, a)).pop(), V.push(x, b).pop()
        return (a, b), now[0] + later[0]

    def conditional(buffer, x):
        now, buffer = jax.lax.cond(x[0], lambda b: W.push(x, b), lambda b: b, buffer).pop()
        return buffer, now[0]

    def reads_first(buffer, x):
        soon = buffer.sums[buffer.step]
        now, buffer = W.push(x, buffer).pop()
        return buffer, soon + now

    def branches(buffer, x):
        choices = [lambda b: W.push(x, b), lambda b: V.push(x, b), lambda b: b]
        now, buffer = jax.lax.switch(x[0].astype(jnp.int32), choices, buffer).pop()
        return buffer, now[0]

    def scan(step, spikes=spikes):
        return jax.jit(lambda carry: jax.lax.scan(step, carry, spikes), donate_argnums=0)

    def fori(buffer):
        return jax.lax.fori_loop(0, STEPS, lambda i, b: step(b, spikes[i])[0], buffer), None

    def until(buffer):
        def body(carry):
            return step(carry[0], spikes[carry[1]])[0], carry[1] + 1

        return jax.lax.while_loop(lambda carry: carry[1] < STEPS, body, (buffer, 0))

    def python(step):
        def run(buffer):
            for x in rows:
                buffer, sums = step(buffer, x)
            return buffer, sums

        return run

    rows = list(spikes)
    batched = jnp.repeat(spikes[:, None], BATCH, 1)
    return {
        "scan": (scan(step), 1),
        "fori_loop": (jax.jit(fori, donate_argnums=0), 1),
        "while_loop": (jax.jit(until, donate_argnums=0), 1),
        "two buffers, three pushes": (scan(several), 2),
        "cond around a push": (scan(conditional), 1),
        f"vmap of {BATCH}": (scan(jax.vmap(step), batched), BATCH),
        "jitted step, donated": (python(jax.jit(step, donate_argnums=0)), 1),
        "jitted step": (python(jax.jit(step)), 1),
        "eager": (python(step), 1),
        "read before the push": (scan(reads_first), 1),
        "switch between pushes": (scan(branches), 1),
    }


def start(name, rings, n, slots, backend):
    """What a way begins with: of a batch one tree, of two buffers a pair."""
    buffer = evops.DelayBuffer.zeros(n, slots - 1, backend=backend)
    if name.startswith("vmap"):
        return jax.tree.map(lambda a: jnp.stack([a] * rings), buffer)
    return (
        buffer if rings == 1 else (buffer, evops.DelayBuffer.zeros(n, slots - 1, backend=backend))
    )


def rewound(leaf):
    """A step is the first again: slots that are in the cache, in a ring of any size."""
    return jnp.zeros_like(leaf) if leaf.dtype == jnp.int32 else leaf


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--neurons", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backend", choices=["native", "jnp"], default="native")
    parser.add_argument("--name", default="rings")
    options = parser.parse_args()
    n = options.neurons
    fired = np.random.default_rng(1).random((STEPS, n)) < 0.001
    every = ways(options.backend, jnp.asarray(fired))
    best = {}
    for _ in range(options.rounds + 1):  # the first compiles
        for slots in SLOTS:
            for name, (run, rings) in every.items():
                carry, _ = run(start(name, rings, n, slots, options.backend))
                carry = jax.block_until_ready(jax.tree.map(rewound, carry))
                begin = time.perf_counter()
                kept = jax.block_until_ready(run(carry))  # to free it takes time as well
                us = (time.perf_counter() - begin) / STEPS * 1e6
                best[name, slots] = min(us, best.get((name, slots), np.inf))
                del carry, kept
    rows = []
    for name, (_, rings) in every.items():
        us = {f"us_{slots}_slots": round(best[name, slots] / rings, 1) for slots in SLOTS}
        rows.append({"use": name, "rings": rings, **us})
        print(rows[-1], flush=True)
    ring = {f"mb_{slots}_slots": round(4 * n * slots / 1e6, 1) for slots in SLOTS}
    about = {"neurons": n, "backend": options.backend, **ring}
    print(common.write(options.name, {**common.machine(), **about, "rows": rows}))


if __name__ == "__main__":
    main()
