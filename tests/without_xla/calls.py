"""Calls of every handler of the CPU, with what XLA computes for them: ``python calls.py OUT``.

Written once, by a process with JAX, for those that have neither JAX nor XLA (xla.py).
"""

import functools
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

# Handlers whose first operand gives its memory to the result.
IN_PLACE = ("evops_push", "evops_pop", "evops_stored_push", "evops_spiked_state")
N_PRE, N_POST = 200, 9000  # enough synapses for three threads, and three blocks of targets


def load(path: Path) -> dict[str, dict]:
    """Calls by name: keywords of `xla.Library.call` and, as "want", the results."""
    return pickle.loads(path.read_bytes())


class Recorder:
    """Notes what handlers are called with, while JAX calls them."""

    def __init__(self):
        self.calls: list[dict] = []

    def __enter__(self):
        from evops.engine import (
            drawn,
            drawn_state,
            ops,
            ring,
            spiked_state,
            stored,
            stored_columns,
            stored_ring,
        )
        from evops.engine.list_spikes import list_spikes_p

        natives = {
            ops.product_p: ops._product_native,
            ring.push_p: ring._push_native,
            ring.pop_p: lambda: ("evops_pop", {}),
            stored.stored_p: stored.native,
            stored_columns.columns_p: lambda **_: ("evops_stored_columns", {}),
            stored.outer_p: lambda: ("evops_stored_outer", {}),
            stored_ring.push_p: stored_ring._native,
            spiked_state.spiked_state_p: spiked_state._native,
            drawn.product_p: drawn._product_native,
            drawn.outer_p: lambda synapses, **of: drawn.attributes_of("outer", **of, listed=0),
            drawn.push_p: functools.partial(drawn.attributes_of, "push"),
            drawn_state.update_p: drawn_state._update_native,
            list_spikes_p: lambda capacity: ("evops_list_spikes", {"listed": 1 + capacity}),
        }
        self.before = [(p, "bind", p.bind) for p in natives]
        self.before += [(ops, "edges", ops.edges), (ops, "draw_indptr", ops.draw_indptr)]
        for primitive, native in natives.items():
            primitive.bind = self.primitive(primitive, primitive.bind, native)
        ops.edges = self.edges(ops.edges)
        ops.draw_indptr = self.draw_indptr(ops.draw_indptr)
        return self

    def __exit__(self, *_):
        for owner, name, value in self.before:
            setattr(owner, name, value)

    def note(self, target, args, attrs, out, alias=None):
        import numpy as np

        args, want = [np.asarray(a) for a in args], [np.asarray(o) for o in out]
        outs = [(o.shape, o.dtype.name) for o in want]
        attrs = {
            name: value if isinstance(value, str) else np.asarray(value)
            for name, value in attrs.items()
        }
        call = {"target": target, "args": args, "outs": outs, "attrs": attrs, "alias": alias}
        self.calls.append({**call, "want": want})

    def primitive(self, primitive, bind, native):
        def noted(*operands, backend, **statics):
            import jax

            args = [jax.numpy.array(o) for o in operands]
            out = bind(*operands, backend=backend, **statics)
            if not any(isinstance(o, jax.core.Tracer) for o in operands):
                listed = {k: statics.pop(k) for k in ("listed",) if k in statics}
                target, attrs = native(**statics)
                attrs = attrs | listed
                in_place = target in IN_PLACE or attrs.get("what", 0) >= 3  # push, update
                alias = 0 if in_place else None
                several = out if primitive.multiple_results else [out]
                self.note(target, args, attrs, several, alias)
            return out

        return noted

    def edges(self, edges):
        def noted(key, tables, indptr, *, spec, n_post, **rest):
            out = edges(key, tables, indptr, spec=spec, n_post=n_post, **rest)
            attrs = {"n_post": n_post, "spec": spec.pack()}
            self.note("evops_edges", [key, *tables, indptr], attrs, out)
            return out

        return noted

    def draw_indptr(self, draw_indptr):
        def noted(key, *, total, n_pre, backend):
            out = draw_indptr(key, total=total, n_pre=n_pre, backend=backend)
            self.note("evops_indptr", [key], {"total": total}, [out])
            return out

        return noted


def examples(few: bool) -> Iterator[tuple[str, object]]:
    """Names, and functions that call handlers."""
    import jax.numpy as jnp
    import numpy as np

    import evops
    from evops.engine import drawn, stored

    rng = np.random.default_rng(5)
    x = jnp.asarray(rng.random(N_PRE) < 0.9)
    values = jnp.asarray(np.where(x, rng.normal(size=N_PRE), 0), jnp.float32)
    back = jnp.asarray(np.where(rng.random(N_POST) < 0.9, rng.normal(size=N_POST), 0), jnp.float32)
    ring = evops.masks.Doughnut(0.05, 0.25) | evops.masks.Box((0, -0.1), 0.2, angle=30)
    jumping = evops.Table((0, 0.1, 0.1, 0.3), (1, 0.5, 0.9, 0.2), mask=ring)
    rules = {
        "dense": evops.FixedProbability(0.5, autapses=False),
        "gaps": evops.FixedProbability(0.05),
        "digits": evops.FixedProbability(1e-3),
        "subset": evops.FixedOutDegree(900),
        "multapses": evops.FixedOutDegree(900, multapses=True),
        "total": evops.FixedTotalNumber(300_000),
        "in-degree": evops.FixedInDegree(30),
        "diagonal": evops.OneToOne(),
        "neighbours": evops.Neighbours((1, N_PRE), 20.0, "chebyshev", True),
        "lfsr": evops.LfsrGaps(0.1),
        "distances": evops.FixedProbability(jumping, autapses=False),
        "blocks": evops.BlockProbability(
            [[0.1, 0.5], [1.0, 0.0]], np.arange(N_PRE) % 2, np.arange(N_POST) % 2, autapses=False
        ),
        "symmetric": evops.SymmetricProbability(0.1),
        "no mutual": evops.NoMutualProbability(0.1),
    }
    places = tuple(evops.Positions(rng.random((n, 2)), (1.0, None)) for n in (N_PRE, N_POST))
    laws = {"one": evops.Constant(0.37), "each": evops.Normal(0.6, 0.1)}
    delay = evops.Normal(5.0, 2.0, low=1.0)
    for name, rule in rules.items():
        if few and name not in FEW:
            continue
        n_post = N_PRE if name in ("diagonal", "neighbours", "symmetric", "no mutual") else N_POST
        for law, weight in laws.items():
            case = f"{name}, {law}"
            shape = places if name == "distances" else (N_PRE, n_post)
            W = evops.Projection(rule, weight, shape, seed=3, delay=delay)
            yield (
                f"{case}: made",
                lambda r=rule, w=weight, s=shape: evops.Projection(r, w, s, seed=3),
            )
            yield f"{case}: x @ W", lambda W=W: x @ W
            yield f"{case}: floats", lambda W=W: values @ W
            yield f"{case}: W @ v", lambda W=W, n=n_post: W @ back[:n]
            if not few:
                yield f"{case}: counts", lambda W=W, n=n_post: W @ (back[:n] > 0)
            yield (
                f"{case}: push",
                lambda W=W, n=n_post: W.push(x, evops.DelayBuffer.zeros(n, W.max_delay)),
            )
            yield f"{case}: edges", W.edges
    W = evops.Projection(rules["gaps"], evops.Constant(jnp.int32(2**30)), (N_PRE, N_POST), seed=4)
    yield "integers", lambda: x.astype(jnp.int32) * 3 @ W
    W = evops.Projection(rules["gaps"], laws["each"], (N_PRE, N_POST), seed=4)
    yield "infinite", lambda: jnp.where(x, jnp.inf, 0) @ W
    batch = jnp.stack([x, ~x, x])
    yield "batch", lambda: batch @ W
    yield "made", lambda: evops.Projection(rules["total"], 0.5, (N_PRE, N_POST), seed=3)
    csr = evops.Projection(rules["total"], laws["each"], (N_PRE, N_POST), seed=4).tocsr()
    yield "stored", lambda: x @ csr
    yield "stored floats", lambda: values @ csr
    yield "stored back", lambda: csr @ back
    tile = jnp.outer(jnp.arange(1.0, 19), values), jnp.outer(jnp.arange(1.0, 19), back)
    yield "stored batch", lambda: tile[0] @ csr
    yield "stored batch back", lambda: tile[1] @ csr.T
    yield "stored columns", lambda: csr @ tile[1].T
    delayed = evops.Projection(rules["total"], laws["each"], (N_PRE, N_POST), seed=4, delay=delay)
    delayed = delayed.tocsr()
    yield "stored push", lambda: delayed.push(x, evops.DelayBuffer.zeros(N_POST, delayed.max_delay))
    pattern = csr.indices, csr.indptr
    gaps = evops.Projection(rules["gaps"], laws["each"], (N_PRE, N_POST), seed=4)
    spikes = evops.SpikeList.from_flags
    yield "list", lambda: spikes(x)
    yield "lists", lambda: spikes(jnp.stack([x, ~x, x]))
    for name, W in (("drawn", gaps), ("stored", csr)):
        yield f"list, {name}", lambda W=W: spikes(x, 190) @ W
        yield f"lists, {name}", lambda W=W: spikes(jnp.stack([x, ~x, x])) @ W
    buffer = evops.DelayBuffer.zeros(N_POST, delayed.max_delay)
    yield "list, stored push", lambda: delayed.push(spikes(x), buffer)
    weighted = {
        name: evops.Projection(rules[name], 0.5, (N_PRE, N_POST), seed=3, delay=delay)
        for name in ("gaps", "total", "subset", "lfsr")
    }
    for name, W in weighted.items():
        V = W.with_weights(W.tocsr().delay.astype(jnp.float32))
        yield f"weighted {name}", lambda V=V: x @ V
        yield f"weighted {name}, back", lambda V=V: V @ back
        ring = evops.DelayBuffer.zeros(N_POST, V.max_delay)
        yield f"weighted {name}, push", lambda V=V, ring=ring: V.push(x, ring)
        yield f"weighted {name}, spiked", lambda V=V: V.add_where_pre_spiked(V.data, x, 1.0)
        yield (
            f"weighted {name}, spiked columns",
            lambda V=V: V.add_where_post_spiked(V.data, back != 0, back, high=4.0),
        )
        yield (
            f"weighted {name}, outer",
            lambda V=V: drawn.outer_p.bind(
                *(a[:2] for a in tile),
                *V._wiring(V.projection._spec(law=False)),
                synapses=V.data.size,
                **V._statics(V.projection._spec(law=False)),
            ),
        )
    outer = lambda *tiles: stored.outer_p.bind(*tiles, *pattern, backend="native")  # noqa: E731
    yield "stored outer", lambda: outer(*(a[:1] for a in tile))
    yield "stored batch outer", lambda: outer(*tile)
    for side, spikes in (("pre", values), ("post", back)):
        add = functools.partial(getattr(csr, f"add_where_{side}_spiked"), csr.data, low=0.4)
        yield f"spiked states, {side}", lambda add=add, x=spikes: add(x, 1.0)
        yield f"spiked states, {side} by post", lambda add=add, x=spikes: add(x, back, per="post")
        yield (
            f"spiked states, {side} by pre",
            lambda add=add, x=spikes: add(x != 0, values, per="pre"),
        )
    blocks = [
        evops.Projection(rules[r], laws["each"], (N_PRE, N_POST), seed=k, delay=delay)
        for k, r in enumerate(("gaps", "total"))
    ]
    populations = evops.Populations({"a": N_PRE, "b": N_POST, "c": N_POST})
    circuit = evops.Circuit(populations, {("a", "b"): blocks[0], ("a", "c"): blocks[1]})
    spikes = jnp.zeros(populations.n, bool).at[:N_PRE].set(x)
    yield "circuit", lambda: circuit.push(spikes, circuit.buffer())
    yield "pop", lambda: circuit.push(spikes, circuit.buffer()).pop()


def near_draws() -> Iterator[tuple[str, dict]]:
    """Calls of the function that draws partners by distance, which XLA does not call."""
    import numpy as np

    import evops
    from evops.engine import near

    rng = np.random.default_rng(6)
    tube = (evops.Positions(rng.random((1200, 3)), (1.0, None, 0.8)),) * 2
    square = tuple(evops.Positions(rng.random((n, 2))) for n in (1200, 900))
    ring = evops.masks.Doughnut(0.1, 0.4) - evops.masks.Box(0, 0.5, angle=20)
    jumping = evops.Table((0, 0.2, 0.2, 0.5, 1.5), (0.1, 0.05, 1.0, 0.9, 0.1))
    kernels = {"jumps": (jumping, square), "ring": (evops.Gaussian(0.2, mask=ring), tube)}
    kernels["narrow"] = evops.Gaussian(0.002), square  # rounds fail, and weights are added up
    kernels["few"] = evops.Gaussian(0.02, cutoff=0.05), square  # partners than k
    words = np.uint32(1), np.uint32(2)
    for name, (kernel, sides) in kernels.items():
        for make in (evops.FixedOutDegree, evops.FixedInDegree):
            for multapses in (False,) if name == "few" else (False, True):
                case = f"near, {name}, {make.__name__}, {multapses}"
                noted = []

                def note(of, k, words, noted=noted, **how):
                    numbers, arrays = near.requested(of, k, words, **how)
                    arrays["found"][:] = 7  # what no call writes
                    arrays["counts"][:] = 7
                    near.drawn(numbers, arrays)
                    noted.append((numbers, arrays))
                    return near.partners(of, k, words, **how)

                shortfall = "error" if multapses else "take all"
                flags = {"multapses": multapses, "autapses": False, "shortfall": shortfall}
                rule = make(20, p=kernel, **flags).placed(*sides)
                rule.stored(tuple(map(len, sides)), words, note)
                [(numbers, arrays)] = noted
                *args, found, counts = arrays.values()
                attrs = {
                    key: np.asarray(v, float if key == "unit" else np.int64)
                    for key, v in numbers.items()
                }
                outs = [(a.shape, a.dtype.name) for a in (found, counts)]
                call = {"target": "evops_draw_near", "args": args, "outs": outs, "attrs": attrs}
                yield case, {**call, "alias": None, "want": [found, counts]}


# Rules of some calls: those that the kernels by hand read, and one that has lists.
FEW = ("dense", "gaps", "subset", "lfsr")


def main(out: Path, few: bool = False) -> None:
    """Record every example, or those of few rules."""
    import numpy as np

    noted = {}
    for name, example in examples(few):
        with Recorder() as recorder:
            example()
        for k, call in enumerate(recorder.calls):
            noted[f"{name} ({call['target']} {k})"] = call
    noted |= near_draws()
    n = np.arange(300_000, dtype=np.int32)  # enough to be split once its pace is known
    noted["custom"] = {
        "target": "evops_custom", "args": [n], "outs": [(n.shape, "int32")],
        "attrs": {"key": "double", "name": "double", "contents": np.array([-1])}, "alias": None, "want": [2 * n],
    }  # fmt: skip
    out.write_bytes(pickle.dumps(noted))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
