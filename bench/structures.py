"""The COBA network of BrainPy's tutorial with every form of its synapses, in one process.

    python bench/structures.py [--rounds N] [--steps N] [--out NAME]

4,000 neurons (Vogels & Abbott, 2005), p = 0.02: neurons alone, dense matrices with and without events, and the index
structures of the tutorial, each as one writes it in JAX, stored events and drawn synapses. All have the same synapses
and spikes. BrainPy's own operators on these structures are there where it is installed. An entry is the best time of a
step in microseconds. Writes results/structures.json and .png.
"""

import argparse
import os
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import common
import evops

try:
    import brainpy.math as bm
except ImportError:
    bm = None

N, N_EXC, P, DT = 4000, 3200, 0.02, 0.1
ROOM = 400  # for spikes of a step, where a loop goes over them


def spikes_of(x):
    """The neurons that fire, and how many there are."""
    return jnp.nonzero(x, size=ROOM, fill_value=0)[0].astype(jnp.int32), x.sum(dtype=jnp.int32)


def each_spike(x, add):
    """The sum over the neurons that fire of what ``add(sums, neuron)`` adds."""
    which, count = spikes_of(x)
    return lax.fori_loop(0, count, lambda k, y: add(y, which[k]), jnp.zeros(N))


def padded(lists, fill):
    """Lists as rows of a matrix."""
    most = max(map(len, lists))
    return jnp.asarray([np.pad(row, (0, most - len(row)), constant_values=fill) for row in lists])


def alone(W, S):
    return lambda x: jnp.zeros(N)


def dense(W, S):
    matrix = W.todense()
    return lambda x: x.astype(jnp.float32) @ matrix


def event_dense(W, S):
    matrix = W.todense()
    return lambda x: each_spike(x, lambda y, i: y + matrix[i])


def ids(W, S):
    pre_ids, post_ids = S.requires("pre_ids", "post_ids")
    weight = S.data[0]

    def post(x):
        syn = x[pre_ids].astype(jnp.float32) * weight
        return jnp.zeros(N).at[post_ids].add(syn)

    return post


def ids_operators(W, S):
    pre_ids, post_ids = S.requires("pre_ids", "post_ids")
    weight = S.data[0]
    return lambda x: evops.syn2post(
        evops.pre2syn(x.astype(jnp.float32), pre_ids) * weight, post_ids, N
    )


def pre2syn(W, S):
    synapses, (post_ids, weight) = padded(S.requires("pre2syn"), S.nnz), (S.post_ids, S.data[0])
    post_ids = jnp.append(post_ids, N)
    return lambda x: each_spike(
        x, lambda y, i: y.at[post_ids[synapses[i]]].add(weight, mode="drop")
    )


def pre2post(W, S):
    targets, weight = padded(S.requires("pre2post"), N), S.data[0]
    return lambda x: each_spike(x, lambda y, i: y.at[targets[i]].add(weight, mode="drop"))


def post_slice(W, S):
    pre_ids, spans = S.requires("pre_ids", "post_slice")
    weight = S.data[0]

    def post(x):
        total = jnp.cumsum(jnp.append(0, x[pre_ids].astype(jnp.int32)), dtype=jnp.int32)
        return (total[spans[:, 1]] - total[spans[:, 0]]).astype(jnp.float32) * weight

    return post


def pre_slice(W, S):
    post_ids, spans = S.requires("post_ids", "pre_slice")
    weight = S.data[0]

    def row(y, i):
        begin, end = spans[i]
        return lax.fori_loop(begin, end, lambda k, y: y.at[post_ids[k]].add(weight), y)

    return lambda x: each_spike(x, row)


def stored(W, S):
    return lambda x: x @ S


def drawn(W, S):
    return lambda x: x @ W


FORMS = {
    "neurons alone": alone,
    "dense": dense,
    "event dense": event_dense,
    "pre_ids, post_ids": ids,
    "pre2syn, syn2post (evops)": ids_operators,
    "pre2syn": pre2syn,
    "pre2post": pre2post,
    "post_slice": post_slice,
    "pre_slice": pre_slice,
    "CSR events (evops)": stored,
    "drawn (evops)": drawn,
}


def brainpy_ids(W, S):
    pre_ids, post_ids = S.requires("pre_ids", "post_ids")
    weight = S.data[0]

    def post(x):
        syn = bm.pre2syn(bm.as_jax(x.astype(jnp.float32)), pre_ids)
        return bm.as_jax(bm.syn2post_sum(bm.as_jax(syn) * weight, post_ids, N))

    return post


def brainpy_pre2post(W, S):
    weight, csr = S.data[0], (S.indices, S.indptr)
    return lambda x: bm.as_jax(bm.pre2post_event_sum(x, csr, N, weight))


def brainpy_csr(W, S):
    weight, csr = S.data[0], (S.indices, S.indptr)
    return lambda x: bm.as_jax(bm.event.csrmv(weight, *csr, x, shape=S.shape, transpose=True))


BRAINPY = {
    "pre2syn, syn2post_sum (BrainPy)": brainpy_ids,
    "pre2post_event_sum (BrainPy)": brainpy_pre2post,
    "event.csrmv (BrainPy)": brainpy_csr,
}


def network(form):
    """Spikes of each step of the network with inputs by `form`."""
    rule = evops.FixedProbability(P)
    exc = evops.Projection(rule, 0.6, (N_EXC, N), seed=1)
    inh = evops.Projection(rule, 6.7, (N - N_EXC, N), seed=2)
    to_exc, to_inh = (form(W, W.tocsr()) for W in (exc, inh))
    keep_e, keep_i = np.exp(-DT / 5), np.exp(-DT / 10)

    def step(state, _):
        v, g_e, g_i, wait, fired = state
        g_e = g_e * keep_e + to_exc(fired[:N_EXC])
        g_i = g_i * keep_i + to_inh(fired[N_EXC:])
        flow = -60 - v + g_e * (0 - v) + g_i * (-80 - v) + 20
        v = jnp.where(wait > 0, -60.0, v + flow * (DT / 20))
        fired = v > -50
        wait = jnp.where(fired, 50, jnp.maximum(wait, 1) - 1)
        return (jnp.where(fired, -60.0, v), g_e, g_i, wait, fired), fired.sum(dtype=jnp.int32)

    v = jnp.asarray(np.random.default_rng(3).normal(-60, 5, N), jnp.float32)
    state = v, jnp.zeros(N), jnp.zeros(N), jnp.zeros(N, jnp.int32), jnp.zeros(N, bool)
    return lambda steps: lax.scan(step, state, None, steps)[1]


def draw(rows):
    """A bar for each form."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shown = rows[::-1]
    bars = axes.barh([row["form"] for row in shown], [row["us_per_step"] for row in shown])
    axes.bar_label(bars, fmt="%.0f")
    axes.set(xscale="log", xlabel="µs per step", title=f"COBA network, {N:,} neurons, p = {P}")
    figure.savefig(common.RESULTS / "structures.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", default="structures")
    options = parser.parse_args()
    forms = FORMS | (BRAINPY if bm else {})
    programs = {name: jax.jit(network(form), static_argnums=0) for name, form in forms.items()}
    spikes = {name: np.asarray(run(options.steps)) for name, run in programs.items()}  # compiles
    times = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, run in programs.items():
            start = time.perf_counter()
            run(options.steps).block_until_ready()
            times[name].append(time.perf_counter() - start)
    rows = []
    for name, found in times.items():
        rate = spikes[name][100:].mean() / N / DT * 1e3
        row = {"form": name, "us_per_step": round(1e6 * min(found) / options.steps, 1)}
        rows.append(row | {"rate_hz": round(float(rate), 2), "most": int(spikes[name].max())})
        print(rows[-1], flush=True)
    common.write(options.out, {"machine": common.machine(), "steps": options.steps, "rows": rows})
    draw(rows)


if __name__ == "__main__":
    main()
