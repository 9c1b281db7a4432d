"""What the fuzzer executes: jitted programs whose seeds, weights and x are arguments, and an oracle.

A shape is one program; its inputs differ in values only. `draw` gives the arguments of one input
for a backend, and what each result must be: (values, largest error).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import evops
import oracle_networks as on
from fuzz_values import (
    ALMOST,
    draw_delay,
    draw_law_kind,
    draw_number,
    draw_rule,
    draw_seed,
    draw_vector,
    near,
    pick,
    products,
    side,
    sides,
)


@dataclasses.dataclass
class Shape:
    """One program: `run(backend)` compiles to it, `draw(rng)` gives (arguments(backend), wanted)."""

    constructor: str
    text: str
    run: Callable[[str], Callable]
    draw: Callable[[Any], tuple[Callable[[str], tuple], list]]
    eager: Callable[[tuple], list] | None = None  # more of the same arguments, not under jit


# ---- shapes ----
def projection(rng, kind):
    """``x @ W`` for a vector and a batch, ``W @ v``, degrees; edges, todense and CSR now and then."""
    shape = sides(rng) if kind % 9 < 8 else (side(rng),) * 2
    rule, spelled = draw_rule(rng, *shape, kind, autapses=False)
    law, dtype = draw_law_kind(rng), pick(rng, ["bool", "int8", "int32", "float32", "bfloat16"])

    def run(backend):
        del backend
        return jax.jit(lambda W, x, v: (x @ W, W @ v, W.in_degree(), W.out_degree()))

    def draw(rng):
        seed, (weight, of_oracle) = draw_seed(rng), law(rng)
        nan = any(w != 0 for w in of_oracle[1:3])
        x = np.stack([draw_vector(rng, shape[0], dtype, nan) for _ in range(2)])
        v = draw_vector(rng, shape[1], dtype, nan)
        found = on.synapses(spelled, of_oracle, None, seed, *shape)
        size = found.sizes(shape)
        dense, count = found.dense(shape), found.count(shape)
        x64, v64 = np.asarray(x, np.float64), np.asarray(v, np.float64)
        want = [products(x64, dense, size), products(v64, dense.T, size.T)]
        want += [(count.sum(0), 0), (count.sum(1), 0)]
        # for `eager`: todense, todense of the CSR, of its product, and the edges
        want += [near(dense, size)] * 3 + [(found.count(shape), 0)]

        def arguments(backend):
            return evops.Projection(rule, weight, shape, seed=seed, backend=backend), x, v

        return arguments, want

    def eager(arguments):
        W, csr, edges = arguments[0], arguments[0].tocsr(), arguments[0].edges()
        count = np.zeros(shape)
        np.add.at(count, (np.asarray(edges.pre), np.asarray(edges.post)), 1)
        by_csr = np.eye(shape[0], dtype=bool) @ csr
        return [W.todense(), csr.todense(), by_csr, count]

    return Shape("Projection", f"{rule}, {shape}, x {dtype}", run, draw, eager)


def delayed(rng, kind):
    """Three steps of push and pop in a scan, from any step of the ring on."""
    n_pre, n_post = sides(rng) if kind % 9 < 8 else (side(rng),) * 2
    rule, spelled = draw_rule(rng, n_pre, n_post, kind, autapses=False)
    law, (delay, of_delay) = draw_law_kind(rng), draw_delay(rng)
    at, spare, dtype = int(rng.integers(3)), int(rng.integers(3)), pick(rng, ["bool", "float32"])
    most = evops.Projection(rule, 1.0, (n_pre, n_post), seed=0, delay=delay).max_delay

    def run(backend):
        def steps(W, spikes, sums, step):
            def one(buffer, x):
                now, buffer = W.push(x, buffer, post_offset=at).pop(backend)
                return buffer, now

            buffer, now = jax.lax.scan(one, evops.DelayBuffer(sums, step), spikes)
            return *now, buffer.sums, buffer.step

        return jax.jit(steps)

    def draw(rng):
        seed, (weight, of_oracle) = draw_seed(rng), law(rng)
        spikes = np.stack([draw_vector(rng, n_pre, dtype) for _ in range(3)])
        empty = np.zeros((most + spare + 1, n_post + at + spare), np.float32)
        step = np.int32(pick(rng, [0, most + spare, rng.integers(most + spare + 1)]))
        found = on.synapses(spelled, of_oracle, of_delay, seed, n_pre, n_post)
        spiked = spikes.astype(float)
        now, ring, size = on.arrivals(found, spiked, *empty.shape, at=at, step=step)
        want = [near(*each) for each in now] + [near(ring, size)]
        want += [((step + 3) % len(empty), 0)]

        def arguments(backend):
            W = evops.Projection(
                rule, weight, (n_pre, n_post), seed=seed, delay=delay, backend=backend
            )
            return W, spikes, jnp.asarray(empty), step

        return arguments, want

    text = f"{rule}, {(n_pre, n_post)}, delay {delay}, at {at}, spikes {dtype}"
    return Shape("DelayBuffer", text, run, draw)


def circuit(rng, kind):
    """Two populations, two to four projections of different rules in one push."""
    sizes = {"E": int(rng.integers(1, 40)), "I": int(pick(rng, [1, 30, 257]))}
    n = sum(sizes.values())
    pairs = [(s, t) for s in sizes for t in sizes]
    pairs = [pairs[k] for k in sorted(rng.choice(4, int(rng.integers(2, 5)), replace=False))]
    parts = {}
    for k, (s, t) in enumerate(pairs):
        rule = draw_rule(rng, sizes[s], sizes[t], kind + 3 * k, autapses=s != t)
        parts[s, t] = (*rule, draw_law_kind(rng), *draw_delay(rng))
    first = {"E": 0, "I": sizes["E"]}

    def run(backend):
        del backend
        return jax.jit(lambda c, x: (c.push(x, c.buffer()).sums,))

    def draw(rng):
        laws = {pair: part[2](rng) for pair, part in parts.items()}
        # no two projections of one seed
        seeds = {pair: (draw_seed(rng) & ~3) + k for k, pair in enumerate(parts)}
        x = draw_vector(rng, n, "bool")
        found = []
        for (s, t), (_, spelled, _, _, delay) in parts.items():
            own = on.synapses(spelled, laws[s, t][1], delay, seeds[s, t], sizes[s], sizes[t])
            found.append(own._replace(pre=own.pre + first[s], post=own.post + first[t]))
        every = on.joined(found)

        def arguments(backend):
            return evops.Circuit(
                evops.Populations(sizes),
                {
                    (s, t): evops.Projection(
                        part[0], laws[s, t][0], (sizes[s], sizes[t]), seed=seeds[s, t],
                        delay=part[3], backend=backend,
                    )
                    for (s, t), part in parts.items()
                },
            ), x  # fmt: skip

        slots = arguments("native")[0].max_delay + 1
        ring, size = np.zeros((slots, n)), np.zeros((slots, n))
        np.add.at(ring, (every.delay, every.post), every.weight * x[every.pre])
        np.add.at(size, (every.delay, every.post), every.size * x[every.pre])
        return arguments, [near(ring, size)]

    text = f"{sizes}, { ({pair: (part[0], part[3]) for pair, part in parts.items()}) }"
    return Shape("Circuit", text, run, draw)


def csr(rng, kind):
    """A stored matrix: products, dense form, degrees."""
    shape, nnz = sides(rng), int(pick(rng, [0, 1, rng.integers(200)]))
    single, dtype = kind % 2 and nnz, pick(rng, ["bool", "int32", "float32"])
    whole = rng.random() < 0.3

    def run(backend):
        del backend
        return jax.jit(lambda W, x, v: (x @ W, W @ v, W.in_degree(), W.out_degree(), W.todense()))

    def draw(rng):
        data = np.float32([draw_number(rng) for _ in range(1 if single else nnz)])
        data = rng.integers(-9, 9, len(data)).astype(np.int32) if whole else data
        post = rng.integers(0, shape[1], nnz)
        pre = np.sort(rng.integers(0, shape[0], nnz))
        indptr = np.searchsorted(pre, np.arange(shape[0] + 1))
        x, v = (draw_vector(rng, n, dtype) for n in shape)
        weight = np.broadcast_to(data, nnz).astype(float)
        found = on.Synapses(pre, post, weight, np.zeros(nnz, int), np.abs(weight))
        dense, count = found.dense(shape), found.count(shape)
        size = found.sizes(shape)
        want = [products(x.astype(float), dense, size), products(v.astype(float), dense.T, size.T)]
        want += [(count.sum(0), 0), (count.sum(1), 0), near(dense, size)]

        def arguments(backend):
            return evops.CSR(data, post, indptr, shape=shape, backend=backend), x, v

        return arguments, want

    return Shape("CSR", f"{shape}, nnz {nnz}, single {bool(single)}, x {dtype}", run, draw)


def areas(rng, kind):
    """Two steps of a MultiAreaProjection."""
    n_areas = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    pre = tuple(rng.integers(1, 12, int(rng.integers(1, 3))).tolist())
    post = tuple(rng.integers(1, 12, int(rng.integers(1, 3))).tolist())
    p = float(pick(rng, [1.0, ALMOST, 0.0, 0.3, 0.01]))
    published = bool(kind % 2)
    rule = evops.LfsrGaps(p or 0.5, hashed=True) if published else evops.FixedProbability(p)
    spelled = ("lfsr", p or 0.5, True) if published else ("bernoulli", p, True)
    delay = rng.integers(0, 4, n_areas)
    sources, targets = n_areas[0] * len(pre), n_areas[1] * len(post)
    slots, n_post = int(delay.max()) + 1, n_areas[1] * sum(post)

    def run(backend):
        del backend

        def two(W, spikes):
            now, buffer = W(spikes[0], W.buffer())
            then, buffer = W(spikes[1], buffer)
            return now, then, buffer.sums

        return jax.jit(two)

    def draw(rng):
        seed = draw_seed(rng)
        weight = rng.normal(size=(n_areas[0], len(pre), n_areas[1], len(post))).astype(np.float32)
        weight[rng.random(weight.shape) < 0.3] = 0
        spikes = rng.random((2, n_areas[0], sum(pre))) < 0.5
        keys = on.area_keys(spelled, seed, sources, targets, max(pre))
        found = []
        for a, i, b, j in np.ndindex(weight.shape):
            key = keys[a * len(pre) + i][j * n_areas[1] + b]  # targets by population
            law = ("constant", float(weight[a, i, b, j]))
            own = on.synapses(spelled, law, ("constant", int(delay[a, b])), key, pre[i], post[j])
            found.append(
                own._replace(
                    pre=own.pre + a * sum(pre) + sum(pre[:i]),
                    post=own.post + b * sum(post) + sum(post[:j]),
                )
            )
        every = on.joined(found)
        now, ring, size = on.arrivals(every, spikes.reshape(2, -1).astype(float), slots, n_post)
        shape = n_areas[1], sum(post)
        want = [near(*(each.reshape(shape) for each in pair)) for pair in now] + [near(ring, size)]

        def arguments(backend):
            return evops.MultiAreaProjection(
                rule, weight, delay, pre=pre, post=post, seed=seed, backend=backend
            ), spikes

        return arguments, want

    return Shape("MultiAreaProjection", f"{rule}, {n_areas} areas of {pre} to {post}", run, draw)


LAWS = ["homo", "uniform", "normal"]


def published(rng, kind):
    """One of the published products with a vector, or a matrix."""
    name, law = ["event_mv_prob", "mv_prob", "get"][kind % 3], LAWS[kind // 3 % 3]
    name = f"get_{law}_weight_matrix" if name == "get" else f"{name}_{law}"
    shape, p = sides(rng), float(pick(rng, [1.0, 0.5, 0.15, 0.01, 1 - rng.random()]))
    flags = {"transpose": bool(rng.integers(2)), "outdim_parallel": bool(rng.integers(2))}
    of_matrix, dtype = name.startswith("get"), pick(rng, ["bool", "int32", "float32"])
    n_in = shape[0] if flags["transpose"] else shape[1]

    def run(backend):
        operator = getattr(evops, name)

        def call(x, weights, seed):
            first = [] if of_matrix else [x]
            return operator(*first, *weights, p, seed, shape=shape, **flags, backend=backend)

        return jax.jit(lambda *arguments: (call(*arguments),))

    def draw(rng):
        weights = (draw_number(rng),) if law == "homo" else (float(np.float32(rng.normal())), 0.25)
        seed = int(rng.integers(2**32))
        x = draw_vector(rng, n_in, dtype, nan=all(weights))
        spelled = (law, *weights)
        if of_matrix:
            dense = on.published_matrix(
                shape, p, seed, spelled, outdim_parallel=flags["outdim_parallel"]
            )
            dense = dense.T if flags["transpose"] else dense
            want = near(dense, np.abs(dense) + 1, 400)
        else:
            dense = on.published_matrix(shape, p, seed, spelled, **flags).T
            x64 = x.astype(float)
            if name.startswith("event"):
                x64 = ((x64 != 0) & ~np.isnan(x64)).astype(float)
            values, bound = products(x64, dense, np.abs(dense) + (dense != 0))
            want = values, 10 * bound + (0 if law == "homo" else 1e-4)

        def arguments(backend):
            del backend
            return x, tuple(np.float32(w) for w in weights), np.uint32(seed)

        return arguments, [want]

    return Shape(name, f"shape={shape}, conn_prob={p}, {flags}, x {dtype}", run, draw)


def published_areas(rng, kind):
    """The operators of the 29-area model."""
    kind = "EI"[kind % 2]
    areas, (n_pre, n_post) = int(rng.integers(1, 4)), sides(rng)
    p, dtype = float(pick(rng, [1.0, 0.5, 0.15, 0.01])), pick(rng, ["bool", "float32"])
    operator = getattr(evops, f"multi_area_event_mv_prob_homo_{kind}")
    of_weight, of_x = ((areas,), (n_pre,)) if kind == "E" else ((), (areas, n_pre))

    def run(backend):
        flags = {"shape": (n_pre, n_post), "area_num": areas, "backend": backend}
        return jax.jit(lambda x, weight, seed: (operator(x, weight, seed, p, **flags),))

    def draw(rng):
        weight = rng.normal(size=of_weight).astype(np.float32)
        seed = rng.integers(2**32, size=areas).astype(np.uint32)
        x = draw_vector(rng, int(np.prod(of_x)), dtype, nan=True).reshape(of_x)
        fired = np.broadcast_to((x != 0) & (x == x), (areas, n_pre)).astype(float)
        each = np.broadcast_to(weight, (areas,)).astype(float)
        flags = {"transpose": True, "outdim_parallel": False}
        dense = [
            on.published_matrix((n_pre, n_post), p, int(s), ("homo", w), **flags).T
            for s, w in zip(seed, each, strict=True)
        ]
        values = np.stack([fired[a] @ dense[a] for a in range(areas)])
        size = np.stack([fired[a] @ np.abs(dense[a]) for a in range(areas)])
        return lambda backend: (x, weight, seed), [near(values, size, 400)]

    text = f"shape={(n_pre, n_post)}, area_num={areas}, conn_prob={p}, x {dtype}"
    return Shape(f"multi_area_event_mv_prob_homo_{kind}", text, run, draw)


FAMILIES = (
    projection,
    delayed,
    circuit,
    csr,
    areas,
    published,
    projection,
    delayed,
    published_areas,
)


def shape(seed, number):
    """Shape `number` of a run: families take turns, and so do rules inside them."""
    rng = np.random.default_rng([seed, 1, number])
    turn, family = divmod(number, len(FAMILIES))
    # The second projection of each turn is half a round of rules ahead.
    return FAMILIES[family](rng, 2 * turn + family // 5 * 5 + family // 7)
