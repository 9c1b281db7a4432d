"""Memory of what is asked for: the result and little more, whatever the shape."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from evops.engine import dense

# Peaks are those of a second call: VmHWM of Linux, set back before it.
PROGRAM = """
import ctypes, gc, json, sys
import jax, jax.numpy as jnp
import evops

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024

def peak(call):
    jax.block_until_ready(call())
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the first call freed is not for the second
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS:")
    result = jax.block_until_ready(call())
    arrays = [a for a in jax.tree.leaves(result) if isinstance(a, jax.Array)]
    return status("VmHWM:") - before - sum(a.nbytes for a in arrays)

def project(rule, law, shape, seed=1, **options):
    return evops.Projection(rule, law, shape, seed=seed, **options)

found = {}
for name, made, asked in CASES:
    W = eval(made)
    found[name] = peak(lambda: eval(asked, {**globals(), "W": W}))
print(json.dumps(found))
"""
TALL, WIDE, SQUARE = (20_000, 10), (10, 20_000), (3000, 3000)
RULES = {
    "FixedProbability(0.001)": SQUARE,
    "FixedProbability(0.3)": (300, 20_000),
    "AllToAll(False)": TALL,
    "OneToOne()": SQUARE,
    "FixedOutDegree(3)": SQUARE,
    "FixedOutDegree(5, multapses=True)": TALL,
    "FixedTotalNumber(9000)": TALL,
    "FixedInDegree(20)": WIDE,
    "LfsrGaps(0.01)": SQUARE,
}
TODENSE = {
    **{
        f"{rule} {shape}": (f"project(evops.{rule}, evops.Normal(1, .1), {shape})", "W.todense()")
        for rule, shape in RULES.items()
    },
    **{
        f"{name} {shape}": (f"project(evops.FixedProbability(.01), {law}, {shape})", asked)
        for shape in (TALL, WIDE, (4000, 6000))
        for name, law, asked in (
            ("one weight", "1.", "W.todense()"),
            (".T", "1.", "W.T.todense()"),
            ("half floats", "jnp.bfloat16(1)", "W.todense()"),
            ("half floats, .T", "jnp.bfloat16(1)", "W.T.todense()"),
        )
    },
    "traced": (
        f"project(evops.FixedProbability(.01), 1., {TALL})",
        "jax.jit(lambda W: W.todense())(W)",
    ),
    "published": ("None", "evops.get_normal_weight_matrix(0., 1., .01, 1, shape=(20000, 1000))"),
    "published, .T": (
        "None",
        "evops.get_homo_weight_matrix(1., .01, 1, shape=(1000, 20000), outdim_parallel=False)",
    ),
    "published, half": (
        "None",
        "evops.get_homo_weight_matrix(jnp.bfloat16(1), .01, 1, shape=(20000, 1000))",
    ),
}
SPARSE = "project(evops.FixedProbability(.1), evops.Normal(1, .1), (5000, 6000), delay=2)"
STORED = {
    "tocsr": (SPARSE, "W.tocsr()"),
    "edges": (SPARSE, "W.edges()"),
    "edges of CSR": (f"{SPARSE}.tocsr()", "W.edges()"),
    "degrees of CSR": (f"{SPARSE}.tocsr()", "(W.in_degree(), W.out_degree())"),
    "CSR": (f"{SPARSE}.tocsr()", "W.todense()"),
    "CSR.T": (f"{SPARSE}.tocsr()", "W.T.todense()"),
    "CSR, traced": (f"{SPARSE}.tocsr()", "jax.jit(lambda W: W.todense())(W)"),
}
SYNAPSES = 3_000_000


def peaks(cases, backend):
    """What second calls need beyond their results, in bytes."""
    every = [(name, made, asked) for name, (made, asked) in cases.items()]
    program = PROGRAM.replace("CASES", repr(every))
    env = {**os.environ, "EVOPS_BACKEND": backend}
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize(("cases", "per_synapse"), [(TODENSE, 0), (STORED, 12)])
def test_peaks(cases, per_synapse, backend):
    allowed = (64 << 20) + per_synapse * SYNAPSES
    found = peaks(cases, backend)
    assert {name: peak for name, peak in found.items() if peak > allowed} == {}


def test_peaks_are_measured():
    """A batch with a row for every neuron, which is what the test above is there to find."""
    made = f"project(evops.FixedProbability(.01), 1., {TALL})"
    found = peaks({"batch": (made, "jnp.eye(20000, dtype=bool) @ W")}, "native")
    assert found["batch"] > 64 << 20


LAWS = (
    1.5,
    evops.Normal(0.5, 0.1),
    np.int32(3),
    jnp.bfloat16(0.3),
    evops.Normal(jnp.float16(1), 0.1),
)
DENSE_RULES = (
    evops.FixedProbability(0.3),
    evops.FixedProbability(0.05, False),
    evops.FixedOutDegree(40, multapses=True),
    evops.FixedInDegree(9),
    evops.LfsrGaps(0.1),
    evops.OneToOne(),
)


@pytest.mark.parametrize("entries", [1 << 22, 200])
def test_bits_of_dense_matrices_are_those_of_products(entries, backend, monkeypatch):
    """In one piece, and in blocks of rows that do not divide them; synapses of a pair in order."""
    monkeypatch.setattr(dense, "_ENTRIES", entries)
    jax.clear_caches()
    eye = jnp.eye(23, dtype=bool)
    for k, rule in enumerate(DENSE_RULES):
        for law in LAWS if k == 2 else LAWS[k % 5 :][:1]:
            W = evops.Projection(rule, law, (23, 33), seed=5, backend=backend)
            want = eye @ W
            for got in (W.todense(), W.T.todense().T, jax.jit(lambda W: W.todense())(W)):
                assert got.dtype == want.dtype
                np.testing.assert_array_equal(got, want)
    jax.clear_caches()


@pytest.mark.parametrize("transposed", [False, True])
def test_derivatives_of_dense_matrices(transposed, backend, monkeypatch):
    monkeypatch.setattr(dense, "_ENTRIES", 200)
    jax.clear_caches()

    def matrix(m, seed, by_product):
        law = evops.Normal(m, 0.2 * m)
        W = evops.Projection(evops.FixedProbability(0.3), law, (23, 33), seed=seed, backend=backend)
        if by_product:
            M = jnp.eye(23, dtype=bool) @ W
            return M.T if transposed else M
        return (W.T if transposed else W).todense()

    one, other = (
        [
            jax.value_and_grad(lambda m, b=b: (matrix(m, 1, b) ** 3).sum())(0.5),
            jax.hessian(lambda m, b=b: (matrix(m, 1, b) ** 3).sum())(0.5),
            jax.jvp(lambda m, b=b: matrix(m, 1, b), (0.5,), (1.0,)),
            jax.vmap(lambda m, s, b=b: matrix(m, s, b))(jnp.arange(1.0, 3), jnp.arange(2)),
        ]
        for b in (False, True)
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.clear_caches()


def test_batches_beyond_32_bits_are_refused_when_traced(backend):
    n, batch = 1 << 20, 1 << 11
    W = evops.Projection(evops.FixedOutDegree(2), 1.0, (4, n), seed=1, backend=backend)

    def of(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def many(seed):
        wide = evops.Projection(evops.FixedOutDegree(2), 1.0, (4, n), seed=seed, backend=backend)
        return jnp.ones(4) @ wide

    refused = {
        "product": (lambda x: x @ W, of(batch, 4)),
        "axes": (lambda x: x @ W, of(2, batch // 2, 4)),
        "vmap": (jax.vmap(lambda x: x @ W), of(batch, 4)),
        "seeds": (jax.vmap(many), jax.ShapeDtypeStruct((batch,), jnp.uint32)),
        "gradient": (jax.grad(lambda v: (v @ W.T).sum()), of(batch, n)),
    }
    if backend == "jnp":
        refused["inputs"] = (lambda v: W @ v, of(n, batch))
    for call, x in refused.values():
        with pytest.raises(ValueError, match="the batch has 2048 x 1048576 .* at most 2147483647"):
            jax.eval_shape(call, x)
    assert jax.eval_shape(lambda x: x @ W, of(batch - 1, 4)).shape == (batch - 1, n)
    assert jax.eval_shape(lambda v: W @ v, of(n, batch - 1)).shape == (4, batch - 1)
