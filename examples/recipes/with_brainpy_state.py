"""A network of `brainpy.state` with units; conductances of evops are the `comm` of projections.

Parameters are those of Vogels and Abbott (2005), with a leak of 10 nS.
"""

import brainpy
import brainstate
import braintools
import brainunit as u
import numpy as np

import evops


class EINet(brainstate.nn.Module):
    """3,200 excitatory and 800 inhibitory neurons."""

    def __init__(self, exc, inh):
        super().__init__()
        v0 = braintools.init.Uniform(-60 * u.mV, -50 * u.mV)
        voltages = dict(V_rest=-60 * u.mV, V_th=-50 * u.mV, V_reset=-60 * u.mV, V_initializer=v0)
        times = dict(tau=20 * u.ms, tau_ref=5 * u.ms)
        self.N = brainpy.state.LIFRef(4000, R=100 * u.Mohm, **voltages, **times)
        self.E, self.I = (
            brainpy.state.AlignPostProj(
                comm=lambda spikes, W=W: spikes @ (W * u.nS),
                syn=brainpy.state.Expon.desc(4000, tau=tau * u.ms),
                out=brainpy.state.COBA.desc(E=E * u.mV),
                post=self.N,
            )
            for W, tau, E in ((exc, 5, 0), (inh, 10, -80))
        )

    def update(self, t):
        with brainstate.environ.context(t=t):
            spikes = self.N.get_spike() != 0
            self.E(spikes[:3200])
            self.I(spikes[3200:])
            return self.N(200 * u.pA)


def run(exc, inh):
    brainstate.random.seed(1)
    net = EINet(exc, inh)
    brainstate.nn.init_all_states(net)
    times = u.math.arange(0 * u.ms, 50 * u.ms, brainstate.environ.get_dt())
    return np.asarray(brainstate.transform.for_loop(net.update, times)) != 0


brainstate.environ.set(dt=0.1 * u.ms)
rule = evops.FixedProbability(0.02)
exc = evops.Projection(rule, 6.0, (3200, 4000), seed=42)
inh = evops.Projection(rule, 67.0, (800, 4000), seed=43)
spikes = run(exc, inh)
print(f"{spikes.sum()} spikes in 50 ms")

assert spikes.sum() > 1000
np.testing.assert_array_equal(spikes, run(exc.todense(), inh.todense()))
