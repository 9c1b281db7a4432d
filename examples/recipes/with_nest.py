"""NEST simulates a drawn network: its synapses are handed over one by one, with their delays.

NEST counts neurons from 1 and takes delays in ms. Its spikes are those of the dense matrix.
"""

import nest
import numpy as np

import evops

rule, delay = evops.FixedProbability(0.1), evops.Normal(15, 7.5, low=0.5)
W = evops.Projection(rule, evops.Normal(0.1, 0.8), (400, 400), seed=42, delay=delay)
edges = W.edges().numpy()


def spikes_of(pre, post, weight, delay):
    nest.ResetKernel()
    nest.resolution = 0.1
    neurons = nest.Create("iaf_psc_delta", 400, {"I_e": 380.0})
    neurons.V_m = np.linspace(-70, -56, 400)
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Connect(pre + 1, post + 1, "one_to_one", {"weight": weight, "delay": delay * 0.1})
    nest.Simulate(200.0)
    return sorted(zip(recorder.events["times"], recorder.events["senders"], strict=True))


spikes = spikes_of(*edges)

pre, post = (ids.ravel() for ids in np.indices(W.shape))
delays = np.ones(W.shape)
delays[edges.pre, edges.post] = edges.delay
assert len(spikes) > 1000
assert spikes == spikes_of(pre, post, np.ravel(W.todense()), delays.ravel())
print(f"NEST: {len(spikes)} spikes, those of the dense matrix")
