"""Measures of a run of the COBA network: the mean rates of its populations.

Source of the measure: Brette et al. (2007), J. Comput. Neurosci. 23:349-398,
doi:10.1007/s10827-007-0038-6, whose benchmark simulators compare by it.
"""

import dataclasses

import numpy as np

from evops.networks.coba2005.model import Model
from evops.networks.shared.simulate import Run

# Membranes and conductances settle from their initial values in this time. Rates are those after
# it.
SETTLE_MS = 100.0


@dataclasses.dataclass(frozen=True)
class Activity:
    """Mean rates of a neuron from `begin_ms` to `end_ms`.

    Attributes:
        rate_hz: of all neurons.
        rate_exc_hz: of the excitatory ones.
        rate_inh_hz: of the inhibitory ones.
        begin_ms: begin of the window.
        end_ms: end of the window.
    """

    rate_hz: float
    rate_exc_hz: float
    rate_inh_hz: float
    begin_ms: float
    end_ms: float


def activity(model: Model, run: Run) -> Activity:
    """The activity after the first 100 ms; that of the whole run where it is shorter."""
    begin = model.steps(SETTLE_MS)
    if run.n_steps <= begin:
        begin = 0
    neurons = run.neurons[np.searchsorted(run.steps, begin) :]
    exc = int((neurons < model.n_exc).sum())
    seconds = (run.n_steps - begin) * model.dt / 1e3
    return Activity(
        rate_hz=len(neurons) / model.size / seconds,
        rate_exc_hz=exc / model.n_exc / seconds,
        rate_inh_hz=(len(neurons) - exc) / model.n_inh / seconds,
        begin_ms=begin * model.dt,
        end_ms=run.n_steps * model.dt,
    )
