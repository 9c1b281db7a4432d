"""One line of an example that BrainPy installs: its inhibitory synapses are drawn by evops.

The example is the one of `HalfProjAlignPostMg`, 4,000 neurons over 1,000 steps, and is run as it is
but for that line. Its spikes are those with the dense matrix in the same line.
"""

import inspect
import re
import textwrap

import brainpy as bp
import brainpy.math as bm
import jax.numpy as jnp
import matplotlib
import numpy as np

import evops

matplotlib.use("Agg")
bm.enable_x64()
bm.set_float(bm.float64)
text = inspect.getdoc(bp.dyn.HalfProjAlignPostMg)
example = textwrap.dedent(re.search(r"code-block:: python\n\n((?:  .*\n|\n)+)", text)[1])
old = re.compile(r"bp\.dnn\.EventJitFPHomoLinear\(800, 4000.*?\)")
changed, lines = old.subn("bp.dnn.Activation(lambda spikes: spikes @ W)", example)
assert lines == 1
W = evops.Projection(evops.FixedProbability(0.02), jnp.float64(6.7), (800, 4000), seed=42)


def spikes_of(W):
    np.random.seed(1)
    bm.random.seed(1)
    scope = {"W": W}
    exec(changed, scope)
    return np.asarray(scope["spks"])


spikes = spikes_of(W)
assert spikes.sum() > 5000
np.testing.assert_array_equal(spikes, spikes_of(W.todense()))
print(f"BrainPy's example: {spikes.sum()} spikes, those of the dense matrix")
