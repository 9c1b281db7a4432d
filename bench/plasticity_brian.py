"""Pair STDP of 1,000 neurons in Brian2: what tests/test_plasticity.py compares with.

    python bench/plasticity_brian.py EDGES.npz tests/golden/stdp_brian2.npz

Neurons are driven by constant currents and excite each other through plastic synapses: all pairs of spikes count, every
synapse has the same delay, and a spike transmits the weight that its synapse has when it arrives. EDGES has `pre` and
`post` (``python tests/test_plasticity.py EDGES.npz`` writes them). Needs Brian2 (2.11) and not evops.
"""

import sys

import brian2 as b
import numpy as np

N, STEPS, DELAY = 1000, 4000, 15


def main(edges, out):
    b.prefs.codegen.target = "numpy"
    b.defaultclock.dt = 0.1 * b.ms
    pre, post = (np.load(edges)[name] for name in ("pre", "post"))
    neurons = b.NeuronGroup(
        N,
        "dv/dt = (current - v) / (20*ms) : 1\ncurrent : 1",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
    )
    neurons.current = 1.05 + 0.5 * np.arange(N) / N
    synapses = b.Synapses(
        neurons,
        neurons,
        """w : 1
        dforth/dt = -forth / (20*ms) : 1 (event-driven)
        dback/dt = -back / (20*ms) : 1 (event-driven)""",
        on_pre="""v_post += 0.05 * w
        forth += 0.1
        w = clip(w + back, 0, 1)""",
        on_post="""back -= 0.105
        w = clip(w + forth, 0, 1)""",
        delay=DELAY * b.defaultclock.dt,
    )
    synapses.connect(i=pre, j=post)
    synapses.w = np.arange(pre.size) * 7919 % 1000 / 1000
    spikes = b.SpikeMonitor(neurons)
    b.run(STEPS * b.defaultclock.dt)
    step = np.round(spikes.t / b.defaultclock.dt).astype(np.int16)
    weights, versions = np.array(synapses.w), f"Brian2 {b.__version__}"
    np.savez_compressed(
        out, step=step, neuron=np.array(spikes.i, np.int16), w=weights, made_by=versions
    )
    print(len(step), "spikes; weights", weights.mean(), weights.std())


if __name__ == "__main__":
    main(*sys.argv[1:])
