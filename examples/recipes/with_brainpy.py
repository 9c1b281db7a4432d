"""The COBA network of BrainPy's tutorial; connections of evops are the `comm` of projections."""

import brainpy as bp
import brainpy.math as bm
import numpy as np

import evops


class EINet(bp.DynSysGroup):
    """3,200 excitatory and 800 inhibitory neurons."""

    def __init__(self, exc, inh):
        super().__init__()
        v0 = bp.init.Normal(-55.0, 2.0, seed=1)
        neuron = dict(V_rest=-60.0, V_th=-50.0, V_reset=-60.0, tau=20.0, tau_ref=5.0)
        self.N = bp.dyn.LifRef(4000, V_initializer=v0, **neuron)
        self.delay = bp.VarDelay(self.N.spike, entries={"I": None})
        for name, W, tau, E in (("E", exc, 5.0, 0.0), ("I", inh, 10.0, -80.0)):
            comm = bp.dnn.Activation(lambda spikes, W=W: spikes @ W)
            syn, out = bp.dyn.Expon.desc(4000, tau=tau), bp.dyn.COBA.desc(E=E)
            setattr(self, name, bp.dyn.HalfProjAlignPostMg(comm, syn, out, self.N))

    def update(self, current):
        spikes = self.delay.at("I")
        self.E(spikes[:3200])
        self.I(spikes[3200:])
        self.delay(self.N(current))
        return self.N.spike.value


def run(exc, inh):
    model = EINet(exc, inh)
    return np.asarray(bm.for_loop(lambda i: model.step_run(i, 20.0), bm.arange(500)))


rule = evops.FixedProbability(0.02)
exc = evops.Projection(rule, 0.6, (3200, 4000), seed=42)
inh = evops.Projection(rule, 6.7, (800, 4000), seed=43)
spikes = run(exc, inh)
print(f"{spikes.sum()} spikes in 50 ms")

assert spikes.sum() > 1000
np.testing.assert_array_equal(spikes, run(exc.todense(), inh.todense()))
