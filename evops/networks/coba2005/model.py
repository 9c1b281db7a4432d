"""The COBA network of Vogels and Abbott (2005): leaky neurons with conductance-based synapses.

Source: T. P. Vogels, L. F. Abbott (2005), "Signal propagation and logic gating in networks of
integrate-and-fire neurons", J. Neurosci. 25:10786-10795, doi:10.1523/JNEUROSCI.3508-05.2005;
benchmark 1 of R. Brette et al. (2007), J. Comput. Neurosci. 23:349-398,
doi:10.1007/s10827-007-0038-6. The constant drive I of 20 mV is that of the scripts published for
NEST, GeNN and Brian2::

    tau_m dV/dt = E_L - V + g_e (E_e - V) + g_i (E_i - V) + I
    tau_e dg_e/dt = -g_e        tau_i dg_i/dt = -g_i

Four fifths of the neurons are excitatory. Every pair is connected with probability K / N. A spike
adds 0.6 * 80 / K to g_e or 6.7 * 80 / K to g_i, without delay. So the mean conductance does not
depend on K.

In one step, neurons above threshold spike, are reset and start their refractory time. Their spikes
reach the conductances. Then neurons that are not refractory are integrated to the next step, with
their conductances held constant (exponential Euler, as in Brian2).
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evops.connectivity.rules import FixedProbability
from evops.engine import library
from evops.engine.neurons import Neurons, run
from evops.errors import Integer, Real, check_integer, check_real
from evops.networks.shared.published import read
from evops.networks.shared.simulate import whole_steps
from evops.projection import Projection

DEFAULT_DURATION_MS = 1100.0
MAX_SIZE = 100_000_000


@functools.cache
def published() -> dict[str, Any]:
    """Rates that other simulators give (``data/published.json``)."""
    return read("evops.networks.coba2005")


@dataclasses.dataclass(frozen=True)
class Model:
    """Parameters of one network. Times in ms, potentials in mV, conductances in leak conductances.

    Args:
        size: neurons, four fifths of them excitatory.
        synapses: mean number of synapses of a neuron; weights are scaled by 80 / synapses.
        dt: time step.
        weight_exc: rise of the excitatory conductance by a spike, at 80 synapses a neuron.
        weight_inh: the same for the inhibitory one.
        backend: "native", "jnp" or None for the fastest there is.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an argument that is no number.
    """

    size: Integer = 4000
    synapses: Integer = 80
    dt: Real = 0.1
    weight_exc: Real = 0.6
    weight_inh: Real = 6.7
    tau_m: Real = 20.0
    tau_exc: Real = 5.0
    tau_inh: Real = 10.0
    v_rest: Real = -60.0
    v_threshold: Real = -50.0
    v_reset: Real = -60.0
    v_initial_std: Real = 5.0
    reversal_exc: Real = 0.0
    reversal_inh: Real = -80.0
    drive: Real = 20.0
    refractory: Real = 5.0
    backend: str | None = None

    def __post_init__(self) -> None:
        check_integer("size", self.size, 2, MAX_SIZE)
        check_integer("synapses", self.synapses, 1, self.size)
        dt = check_real("dt", self.dt)
        if not 0.01 <= dt <= 1.0:
            raise ValueError(f"dt must be from 0.01 to 1 ms, got {dt}")
        for name in ("weight_exc", "weight_inh"):
            value = check_real(name, getattr(self, name))
            if value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        library.choose(self.backend)

    @property
    def n_exc(self) -> int:
        """Excitatory neurons; they come first."""
        return self.size * 4 // 5

    @property
    def n_inh(self) -> int:
        """Inhibitory neurons."""
        return self.size - self.n_exc

    @property
    def conn_prob(self) -> float:
        """Probability that a pair of neurons is connected."""
        return self.synapses / self.size

    def steps(self, ms: float) -> int:
        """A time in ms as a whole number of steps, rounded."""
        return int(whole_steps(ms, self.dt))

    def projections(self, seed: int) -> tuple[Projection, Projection]:
        """The excitatory and the inhibitory synapses.

        Their weights are in units of `State`: increments of ``g dt / tau_m``.
        """
        return self._projection(self.n_exc, self.weight_exc, 2 * seed), self._projection(
            self.n_inh, self.weight_inh, 2 * seed + 1
        )

    def _projection(self, n_pre: int, weight: float, seed: int) -> Projection:
        # 80 / K keeps the mean conductance the same for every K.
        increment = np.float32(weight * 80 / self.synapses * self.dt / self.tau_m)
        return Projection(
            FixedProbability(self.conn_prob),
            increment,
            (n_pre, self.size),
            seed=seed,
            backend=self.backend,
        )

    def constants(self) -> np.ndarray:
        """What `coba2005_potentials` takes of the parameters, in its order."""
        leak = self.dt / self.tau_m
        decays = [np.exp(-self.dt / tau) for tau in (self.tau_exc, self.tau_inh)]
        inward = leak * (self.v_rest + self.drive)
        reversals = [self.reversal_exc, self.reversal_inh]
        return np.array([*decays, leak, inward, *reversals, 1 / 12, self.v_reset], np.float32)

    def initial_v(self, seed: int) -> np.ndarray:
        """`(size,)` initial potentials in mV, normal around the resting potential."""
        # A second word beside the seed: the potentials share no stream with other uses of it.
        rng = np.random.default_rng([seed, 2005])
        z = rng.standard_normal(self.size, np.float32)
        return (self.v_rest + self.v_initial_std * z).astype(np.float32)


class State(NamedTuple):
    """The state of a network, one number per neuron.

    Attributes:
        v: membrane potential in mV.
        g_exc: excitatory conductance times ``dt / tau_m``.
        g_inh: inhibitory conductance times ``dt / tau_m``.
        wait: steps until the end of the refractory time, 0 where it is over.
    """

    v: jax.Array
    g_exc: jax.Array
    g_inh: jax.Array
    wait: jax.Array


class Parameters(NamedTuple):
    """Values that may differ between trials without compiling again."""

    exc: Projection
    inh: Projection


def setup(model: Model, seed: int, network_seed: int) -> tuple[Parameters, State]:
    """Synapses from `network_seed`, and initial state from `seed`."""
    # The smallest type that can count the refractory time: every step reads and writes it.
    wait = np.min_scalar_type(model.steps(model.refractory))
    return Parameters(*model.projections(network_seed)), State(
        jnp.asarray(model.initial_v(seed)),
        jnp.zeros(model.size, jnp.float32),
        jnp.zeros(model.size, jnp.float32),
        jnp.zeros(model.size, wait),
    )


def step(model: Model, parameters: Parameters, state: State, n: Any) -> tuple[State, jax.Array]:
    """One time step; returns the state and the spikes `(size,)`, bool."""
    del n  # nothing depends on the time: the drive is constant
    # The kernels know one type of `wait`, which holds 25.5 ms at 0.1 ms a step.
    backend = library.choose(model.backend) if state.wait.dtype == np.uint8 else "jnp"
    out = jax.ShapeDtypeStruct
    waits, spiking = (out(state.v.shape, dtype) for dtype in (state.wait.dtype, bool))
    fire = Neurons("coba2005_spikes", (waits, spiking), ((1, 0),), _fired, model)
    constants = np.array([model.v_threshold, model.steps(model.refractory)], np.float32)
    wait, spikes = run(fire, state.v, state.wait, constants, backend=backend)

    arriving = spikes[: model.n_exc] @ parameters.exc, spikes[model.n_exc :] @ parameters.inh
    floats = (out(state.v.shape, state.v.dtype),) * 3
    move = Neurons("coba2005_potentials", floats, ((0, 0), (1, 1), (2, 2)), _moved, model)
    arrays = (*state[:3], wait, *arriving, model.constants())
    v, g_exc, g_inh = run(move, *arrays, backend=backend)
    return State(v, g_exc, g_inh, wait), spikes


# The barriers keep XLA from computing spikes and conductances again wherever they are used. That
# would also cost a copy of every array that is updated in place.


def _fired(
    model: Model, v: jax.Array, wait: jax.Array, constants: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Steps until the end of the refractory time, and spikes; the kernel is `coba2005_spikes`."""
    del constants
    spikes = lax.optimization_barrier(v > model.v_threshold)
    one = wait.dtype.type(1)
    refractory = wait.dtype.type(model.steps(model.refractory))
    left = jnp.where(spikes, refractory, jnp.maximum(wait, one)) - one
    return lax.optimization_barrier(left), spikes


def _moved(
    model: Model,
    v: jax.Array,
    g_exc: jax.Array,
    g_inh: jax.Array,
    wait: jax.Array,
    exc: jax.Array,
    inh: jax.Array,
    constants: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Potential and conductances after a step; the kernel is `coba2005_potentials`.

    With the conductances held, the potential is ``V + (V_inf - V) (1 - exp(-x))``.
    ``x = dt / tau_m (1 + g_e + g_i)``. The factor 1 - exp(-x) is replaced by
    ``x / (1 + x / 2 + x^2 / 12)``, whose relative error is x^4 / 720. That is exact to a float32
    for x up to 0.08, and the network has 0.005 to 0.08. It needs neither an exponential nor V_inf,
    so the update has fewer operations than bytes. XLA splits updates with more operations among
    threads, which costs more than the update itself.
    """
    decay_exc, decay_inh, leak, inward, to_exc, to_inh, twelfth, reset = model.constants()
    g_exc, g_inh = lax.optimization_barrier((g_exc * decay_exc + exc, g_inh * decay_inh + inh))
    x = g_exc + g_inh + leak
    flow = inward - v * x
    for g, reversal in ((g_exc, to_exc), (g_inh, to_inh)):
        if reversal:
            flow = flow + g * reversal
    moved = v + flow / (x * (x * twelfth + np.float32(0.5)) + np.float32(1))
    return jnp.where(wait > 0, reset, moved), g_exc, g_inh
