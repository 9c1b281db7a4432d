"""Where drawing a batch, storing it and a dense matrix break even.

    taskset -c 0 python bench/batches.py [--n N] [--budget SECONDS] [--out NAME]

``X @ W`` for B vectors of floats, or of spikes of which 2 % are set, ``W @ V``, and the gradient of a sum of squares in
X: drawn synapses, the same ones stored (`CSR`), dense (jnp), and scipy.sparse, all with one thread if the process is
bound to one core. They take turns; an entry is the best of many calls, in milliseconds. Writes results/batches.json.
"""

import argparse
import os
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

import common
import evops

LAWS = {"one weight": 0.5, "normal": evops.Normal(1.0, 0.1)}
RULES = {
    "FixedProbability(0.1)": lambda n: evops.FixedProbability(0.1),
    "FixedProbability(0.01)": lambda n: evops.FixedProbability(0.01),
    "FixedProbability(0.001)": lambda n: evops.FixedProbability(0.001),
    "FixedOutDegree(n / 10)": lambda n: evops.FixedOutDegree(n // 10),
    "FixedInDegree(n / 10)": lambda n: evops.FixedInDegree(n // 10),
}
SIZES, RATE, SEED = (1, 16, 64, 256), 0.02, 1


def squares(x, W):
    return ((x @ W) ** 2).sum()


PRODUCT = jax.jit(lambda x, W: x @ W)
COLUMNS = jax.jit(lambda x, W: W @ x.T)
GRADIENT = jax.jit(jax.grad(squares))


def best(calls, budget):
    """Name -> best milliseconds of a call."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()  # compiles
    begin = time.perf_counter()
    while time.perf_counter() - begin < budget or len(next(iter(times.values()))) < 3:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {f"ms_{name}": round(1e3 * min(t), 4) for name, t in times.items()}


def rows(rule, law, n, budget):
    W = evops.Projection(RULES[rule](n), LAWS[law], (n, n), seed=SEED)
    S = W.tocsr()
    data = np.broadcast_to(np.asarray(S.data, np.float32), S.indices.shape).copy()
    S = evops.CSR(data, S.indices, S.indptr, shape=(n, n))
    M = scipy.sparse.csr_array((data, np.asarray(S.indices), np.asarray(S.indptr)), shape=(n, n))
    D = jnp.asarray(M.toarray())
    rng = np.random.default_rng(SEED)
    for B in SIZES:
        x = jnp.asarray(rng.normal(size=(B, n)), jnp.float32)
        spikes = jnp.asarray(rng.random((B, n)) < RATE)
        as_floats, host = spikes.astype(jnp.float32), np.asarray(x)
        fired = np.asarray(as_floats)
        for what, function, argument, alone in (
            ("floats", PRODUCT, x, lambda host=host: host @ M),
            ("floats, W @ V", COLUMNS, x, lambda host=host: M @ host.T),
            ("floats, gradient", GRADIENT, x, None),
            ("spikes", PRODUCT, spikes, lambda fired=fired: fired @ M),
        ):
            dense = as_floats if what == "spikes" else argument
            calls = {
                "drawn": lambda f=function, a=argument: f(a, W).block_until_ready(),
                "stored": lambda f=function, a=argument: f(a, S).block_until_ready(),
                "dense": lambda f=function, a=dense: f(a, D).block_until_ready(),
            }
            if alone:
                calls["scipy"] = alone
            row = {"rule": rule, "law": law, "n": n, "B": B, "what": what} | best(calls, budget)
            print(row, flush=True)
            yield row


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--budget", type=float, default=0.5, help="seconds per row")
    parser.add_argument("--out", default="batches", help="name of the file")
    options = parser.parse_args()
    found = [
        row
        for rule in RULES
        for law in LAWS
        for row in rows(rule, law, options.n, options.budget)
    ]  # fmt: skip
    level = evops.backends()["native"].detail
    print(common.write(options.out, {**common.machine(), "native": level, "rows": found}))


if __name__ == "__main__":
    main()
