"""Every instruction-set level, and one and two cores, draw the same synapses and give the same sums."""

import os
import subprocess
import sys

import pytest

from evops.engine.library import levels

PROGRAM = """
import hashlib, os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])  # before XLA counts them
import jax, jax.numpy as jnp, numpy as np
import evops

level = {level!r}
assert evops.backends()["native"].detail.endswith(level), evops.backends()["native"].detail
digest = hashlib.sha256()
F = evops.FixedProbability
rules = [F(0.9), F(0.2, False), F(0.1), F(0.02, False), F(1e-3), F(1e-4), evops.FixedOutDegree(50),
         evops.FixedOutDegree(20, True), evops.FixedTotalNumber(90_000), evops.FixedTotalNumber(5000),
         evops.FixedInDegree(7), evops.FixedInDegree(1), evops.OneToOne(),
         evops.LfsrGaps(0.1, True), evops.Neighbours((90, 100), 3), evops.Neighbours((20, 15, 30), 2),
         evops.FixedOutDegree(1500),  # more than a block has
         F(evops.Gaussian(0.1, 0.5, mask=evops.masks.Ball(0.2) - evops.masks.Ball(0.03)), False),
         evops.BlockProbability([[0.1, 0.02, 1.0], [0.0, 0.3, 0.2]], np.arange(200) % 2,
                                np.arange(9000) % 3, autapses=False)]
squares = [evops.SymmetricProbability(0.1), evops.NoMutualProbability(0.1)]
places = [evops.Positions(np.random.default_rng(k).random((k, 2)), 1.0) for k in (200, 9000)]
delay = evops.Normal(15, 7.5, low=1)
v = np.random.default_rng(1).normal(size=(9000, 20)).astype(np.float32)
for rule in rules + squares:
    for law in (evops.Constant(0.5), evops.Uniform(-1.0, 1.0), evops.Normal(0.0, 1.0)):
        n = 9000 if isinstance(rule, (evops.OneToOne, evops.Neighbours)) else 200
        near = isinstance(rule, F) and not isinstance(rule.p, float)
        m = 200 if rule in squares else 9000
        shape = places if near else (n, m)
        W = evops.Projection(rule, law, shape, seed=7, delay=delay)
        edges = W.edges()
        order = np.lexsort((edges.post, edges.pre))
        for part in edges:
            digest.update(np.asarray(part)[order].tobytes())
        digest.update(np.asarray(W @ v[:m, 0]).tobytes())
        digest.update(np.asarray(W @ v[:m]).tobytes())
        if isinstance(law, evops.Constant):  # other sums may differ in their last bits
            digest.update(np.asarray((jnp.arange(n) % 3 == 0) @ W).tobytes())
            digest.update(np.asarray(W @ (jnp.arange(m) % 7 == 0)).tobytes())
            ring = W.push(jnp.arange(n) % 3 == 0, evops.DelayBuffer.zeros(m, W.max_delay))
            digest.update(np.asarray(ring.sums).tobytes())
W = evops.Projection(evops.Neighbours((90, 90), 40), 1.0, (8100, 8100), seed=7)  # several blocks
digest.update(np.asarray((jnp.arange(8100) % 2000 == 0) @ W).tobytes())
W = evops.Projection(F(0.1), 0.3, (4000, 20000), seed=8)  # 8 million synapses: split over threads
digest.update(np.asarray(jnp.ones(4000, bool) @ W).tobytes())
digest.update(np.asarray(W.out_degree()).tobytes())
print(digest.hexdigest())
"""


def digest(level, cores):
    environment = {**os.environ, "EVOPS_ISA": level, "PYTHONWARNINGS": "ignore"}
    program = [sys.executable, "-c", PROGRAM.format(level=level, cores=cores)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wanted():
    return digest("x86-64", 1)


@pytest.mark.slow
def test_cores(wanted):
    assert digest("x86-64", 2) == wanted


@pytest.mark.thin(3)
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("level", levels()[1:])
def test_same_bits(level, cores, wanted):
    assert digest(level, cores) == wanted
