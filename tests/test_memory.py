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
LARGE = (4000, 6000)  # more than one block
RULES = {
    "FixedProbability(0.001)": SQUARE,
    "FixedProbability(0.3)": (300, 20_000),
    "AllToAll(False)": TALL,
    "OneToOne()": SQUARE,
    "Neighbours((50, 60), 5)": SQUARE,
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
        f"{shape} of {law}{turned}": (
            f"project(evops.FixedProbability(.01), {law}, {shape})",
            f"W{turned}.todense()",
        )
        for shape, law, turned in (
            (TALL, 1.0, ""),
            (TALL, 1.0, ".T"),
            (WIDE, 1.0, ".T"),
            (LARGE, 1.0, ""),
            (LARGE, 1.0, ".T"),
            (LARGE, "jnp.bfloat16(1)", ""),
            (LARGE, "jnp.bfloat16(1)", ".T"),
        )
    },
    "one weight, multapses": (
        f"project(evops.FixedTotalNumber(9000), 1., {LARGE})",
        "W.todense()",
    ),
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


@pytest.mark.thin(2)
@pytest.mark.parametrize(("cases", "per_synapse"), [(TODENSE, 0), (STORED, 12)])
@pytest.mark.parametrize("backend", ["native", pytest.param("jnp", marks=pytest.mark.slow)])
def test_peaks(cases, per_synapse, backend):
    allowed = (64 << 20) + per_synapse * SYNAPSES
    found = peaks(cases, backend)
    assert {name: peak for name, peak in found.items() if peak > allowed} == {}


def test_peaks_are_measured():
    """A batch with a row for every neuron, which is what the test above is there to find."""
    made = "project(evops.FixedProbability(.01), 1., (10_000, 3))"
    found = peaks({"batch": (made, "jnp.eye(10_000, dtype=bool) @ W")}, "native")
    assert found["batch"] > 64 << 20


@pytest.fixture
def small_blocks(monkeypatch):
    """Six rows each, which do not divide the rows there are."""
    monkeypatch.setattr(dense, "_ENTRIES", 200)
    jax.clear_caches()
    yield
    jax.clear_caches()


half = np.float16
CASES = (
    (evops.FixedProbability(0.3), 1.5),
    (evops.FixedProbability(0.05, False), evops.Normal(0.5, 0.1)),
    (evops.FixedOutDegree(40, multapses=True), evops.Normal(half(0.5), half(0.1))),
    (evops.FixedTotalNumber(2000), -0.3),
    (evops.FixedInDegree(9), np.int32(3)),
    (evops.LfsrGaps(0.1), jnp.bfloat16(0.3)),
    (evops.OneToOne(), half(2)),
)


def check_bits(W, *dense_ones):
    """Dense matrices are products with one neuron at a time; synapses of a pair in their order."""
    want = jnp.eye(W.shape[0], dtype=bool) @ W
    for got in dense_ones:
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.thin(15)
@pytest.mark.parametrize(("rule", "law"), CASES, ids=lambda v: str(v)[:20])
def test_bits_of_dense_matrices_are_those_of_products(rule, law, backend):
    shape = (33, 33) if isinstance(rule, evops.OneToOne) else (23, 33)
    W = evops.Projection(rule, law, shape, seed=5, backend=backend)
    check_bits(W, W.todense())


@pytest.mark.thin(15)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_bits_of_dense_matrices_in_blocks(k, backend, small_blocks):
    rule, law = CASES[k]
    W = evops.Projection(rule, law, (23, 33), seed=5, backend=backend)
    check_bits(W, W.T.todense().T, jax.jit(lambda: W.todense())())


@pytest.mark.thin(7)
@pytest.mark.parametrize("transposed", [False, True])
def test_derivatives_of_dense_matrices(transposed, backend, small_blocks):
    def loss(m, seed, by_product):
        law = evops.Normal(m, 0.2 * m)
        W = evops.Projection(evops.FixedProbability(0.3), law, (23, 33), seed=seed, backend=backend)
        M = jnp.eye(23, dtype=bool) @ W if by_product else (W.T if transposed else W).todense()
        M = M.T if M.shape == (33, 23) else M
        return (M**3 * jnp.arange(M.size, dtype=jnp.float32).reshape(M.shape)).sum()

    def everything(by_product):
        value = lambda m, seed=1: loss(m, seed, by_product)  # noqa: E731
        several = jax.vmap(value)(jnp.arange(1.0, 3), jnp.arange(2))
        return jax.value_and_grad(value)(0.5), jax.jvp(value, (0.5,), (1.0,)), several

    one, other = (jax.tree.leaves(jax.jit(lambda b=b: everything(b))()) for b in (False, True))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


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
