"""Brian2 simulates a drawn network: its synapses are handed over one by one, with their delays.

Brian2 takes arrays of NumPy, and delays with a unit. Its spikes are those of the dense matrix.
"""

import brian2 as b
import numpy as np

import evops

b.prefs.codegen.target = "numpy"
rule, delay = evops.FixedProbability(0.1), evops.Normal(15, 7.5, low=0.5)
W = evops.Projection(rule, evops.Normal(0.1, 0.8), (400, 400), seed=42, delay=delay)
edges = W.edges().numpy()


def spikes_of(pre, post, weight, delay):
    equation = "dv/dt = (15.2 - v) / (10*ms) : 1 (unless refractory)"
    options = {"threshold": "v > 15", "reset": "v = 0", "refractory": 2 * b.ms, "method": "exact"}
    neurons = b.NeuronGroup(400, equation, **options)
    neurons.v = "14 * i / 400"
    synapses = b.Synapses(neurons, neurons, "w : 1", on_pre="v_post += w")
    synapses.connect(i=pre, j=post)
    synapses.w, synapses.delay = weight, delay * b.defaultclock.dt
    spikes = b.SpikeMonitor(neurons)
    b.Network(neurons, synapses, spikes).run(200 * b.ms)
    return list(zip(spikes.t / b.ms, np.asarray(spikes.i), strict=True))


spikes = spikes_of(*edges)

pre, post = (ids.ravel() for ids in np.indices(W.shape))
delays = np.ones(W.shape)
delays[edges.pre, edges.post] = edges.delay
assert len(spikes) > 1000
assert spikes == spikes_of(pre, post, np.ravel(W.todense()), delays.ravel())
print(f"Brian2: {len(spikes)} spikes, those of the dense matrix")
