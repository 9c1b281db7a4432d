"""The 29-area spiking model of macaque cortex of Joglekar et al. (2018).

Source: M. R. Joglekar, J. F. Mejias, G. R. Yang, X.-J. Wang (2018), "Inter-areal balanced
amplification enhances signal propagation in a large-scale circuit model of the primate cortex",
Neuron 98:222-234, doi:10.1016/j.neuron.2018.02.031. Each area has 1600 excitatory and 400
inhibitory leaky integrate-and-fire neurons. Fractions of labelled neurons set the connections
between areas, distances their delays.

One step of 0.1 ms follows the authors' Brian code. Neurons that are not refractory are integrated
(Euler-Maruyama) and spike above threshold. Their spikes go to the buffer slots of their arrival.
Then neurons that are not refractory receive the input that arrives now, and those that spiked are
reset.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from evops.areas import MultiAreaProjection
from evops.connectivity.rules import FixedProbability, LfsrGaps
from evops.delays import DelayBuffer
from evops.errors import Integer, Real, check_choice, check_integer, check_real
from evops.networks.joglekar2018.macaque import Cortex, load
from evops.networks.shared.published import read
from evops.networks.shared.simulate import whole_steps
from evops.noise import noise_key, normal

REGIMES = ("async_weak", "async_strong", "sync_weak", "sync_strong")
ONSET_MS = 300.0
DEFAULT_DURATION_MS = 950.0


@functools.cache
def published() -> dict[str, Any]:
    """Parameters and published results (``data/published.json``)."""
    return read("evops.networks.joglekar2018")


# How synapses are drawn: exactly (Bernoulli), or by the uniform gaps of the published operators.
SCHEMES = {"exact": FixedProbability, "published": LfsrGaps}


@dataclasses.dataclass(frozen=True)
class Model:
    """Parameters of one run. Times in ms, potentials in mV, distances in mm.

    Args:
        regime: one of `REGIMES`, coupling and background input of the paper.
        dt: time step, from 0.01 to 1.
        pulse_mv: stimulus to V1 from 300 ms on; the regime's if None.
        pulse_ms: its length; the regime's if None.
        v_initial: bounds of the uniform initial potentials; those of the regime if None.
        n_exc: excitatory neurons of an area.
        n_inh: inhibitory neurons of an area.
        conn_prob: probability that two neurons of connected populations have a synapse.
        scheme: one of `SCHEMES`.
        backend: "native", "jnp" or None for the fastest there is.
        cortex: the areas and the tables between them.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an argument that is no number.
    """

    regime: str = "async_weak"
    dt: Real = 0.1
    pulse_mv: Real | None = None
    pulse_ms: Real | None = None
    v_initial: tuple[Real, Real] | None = None
    n_exc: Integer = 1600
    n_inh: Integer = 400
    conn_prob: Real = 0.1
    scheme: str = "exact"
    backend: str | None = None
    cortex: Cortex = dataclasses.field(default_factory=load, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, allowed in (("regime", REGIMES), ("scheme", tuple(SCHEMES))):
            check_choice(name, getattr(self, name), allowed)
        dt = check_real("dt", self.dt)
        if not 0.01 <= dt <= 1.0:
            raise ValueError(f"dt must be from 0.01 to 1 ms, got {dt}")
        check_integer("n_exc", self.n_exc, 1)
        check_integer("n_inh", self.n_inh, 1)
        pulse_mv, pulse_ms = self.set["pulse_mv"], self.set["pulse_ms"]
        if self.pulse_mv is not None:
            pulse_mv = check_real("pulse", self.pulse_mv)
        if self.pulse_ms is not None:
            pulse_ms = check_real("pulse_ms", self.pulse_ms)
        if pulse_ms < 0:
            raise ValueError(f"pulse_ms must be at least 0 ms, got {pulse_ms}")
        # The class is frozen; only here are defaults replaced by the values of the regime.
        object.__setattr__(self, "pulse_mv", pulse_mv)
        object.__setattr__(self, "pulse_ms", pulse_ms)
        object.__setattr__(self, "v_initial", self._initial_range())

    def _initial_range(self) -> tuple[float, float]:
        """Lowest and highest initial potential.

        The sync regimes ignite at the start when potentials begin near threshold, so theirs end
        10 mV below it (docs/joglekar2018.md).
        """
        usual = (-70.0, -60.0) if self.regime.startswith("sync") else (-70.0, -50.0)
        low, high = usual if self.v_initial is None else self.v_initial
        low, high = check_real("v_initial[0]", low), check_real("v_initial[1]", high)
        threshold = self.base["v_threshold_mv"]
        if not low <= high <= threshold:
            raise ValueError(f"v_initial must be low <= high <= {threshold} mV, got {low}, {high}")
        return low, high

    @property
    def base(self) -> dict[str, Any]:
        """Parameters that all regimes share."""
        return published()["model"]

    @property
    def set(self) -> dict[str, float]:
        """Parameters of the regime."""
        return published()["parameter_sets"][self.regime]

    @property
    def areas(self) -> int:
        """Number of areas."""
        return len(self.cortex.areas)

    @property
    def per_area(self) -> int:
        """Neurons of an area."""
        return self.n_exc + self.n_inh

    def steps(self, ms: Any) -> Any:
        """Times in ms as whole numbers of steps, rounded."""
        return whole_steps(ms, self.dt)

    def weights(self) -> np.ndarray:
        """`(areas, 2, areas, 2)` in mV: source area, E or I, target area, E or I."""
        p, n, own = self.set, self.areas, np.eye(self.areas, dtype=bool)
        gain = 1 + self.base["alpha"] * self.cortex.hierarchy
        w = np.zeros((n, 2, n, 2))
        for target, local, far in ((0, p["w_ee"], p["mu_ee"]), (1, p["w_ie"], p["mu_ie"])):
            w[:, 0, :, target] = gain * np.where(own, local, far * self.cortex.fln.T)
        w[:, 1, :, 0] = np.where(own, -p["w_ei"], 0)
        w[:, 1, :, 1] = np.where(own, -p["w_ii"], 0)
        return w

    def mean_delay_ms(self) -> np.ndarray:
        """`(areas, areas)`, source and target; the local delay on the diagonal."""
        far = self.cortex.distance_mm.T / self.base["axonal_speed_mm_per_ms"]
        return np.where(np.eye(self.areas, dtype=bool), self.base["local_delay_ms"], far)

    def delays(self, seed: int) -> np.ndarray:
        """`(areas, neurons, areas)` steps from every neuron to every area.

        Local delays are exact. Long-range ones are drawn for each axon and target area, then
        rounded. Their standard deviation is 10 % of their mean, and 5 of them are the limit.
        """
        mean = self.mean_delay_ms()[:, None, :]
        # A second word beside the seed keeps delays and potentials of one seed independent.
        rng = np.random.default_rng([seed, 1])
        z = rng.standard_normal((self.areas, self.per_area, self.areas), np.float32)
        z[np.arange(self.areas), :, np.arange(self.areas)] = 0
        z[:, self.n_exc :, :] = 0  # inhibition is local
        return np.maximum(self.steps(mean * (1 + 0.1 * z.clip(-5, 5))), 1).astype(np.int32)

    def projection(self, seed: int) -> MultiAreaProjection:
        """All synapses of the network, for a connectivity seed."""
        # 5 standard deviations of 10 % above the mean, as `delays` cuts them. A bound that does not
        # depend on the seed lets trials share a compiled program.
        longest = self.steps(1.5 * self.mean_delay_ms().max())
        sizes = (self.n_exc, self.n_inh)
        return MultiAreaProjection(
            SCHEMES[self.scheme](self.conn_prob),
            self.weights().astype(np.float32),
            self.delays(seed),
            pre=sizes,
            post=sizes,
            seed=seed,
            max_delay=int(longest) + 1,
            backend=self.backend,
        )

    def initial_v(self, seed: int) -> np.ndarray:
        """`(areas, neurons)` initial potentials in mV."""
        low, high = self.v_initial or (0.0, 0.0)
        rng = np.random.default_rng([seed, 2])
        return rng.uniform(low, high, (self.areas, self.per_area)).astype(np.float32)

    def drive(self, n: Any) -> Any:
        """`(areas, neurons)` external input in mV at step `n`: background, pulse to V1 E."""
        background = self.per_neuron(self.set["ext_e_mv"], self.set["ext_i_mv"])
        on = self.steps(ONSET_MS)
        off = on + self.steps(self.pulse_ms)
        area, neuron = (
            jax.lax.broadcasted_iota(jnp.int32, (self.areas, self.per_area), axis)
            for axis in (0, 1)
        )
        pulse = jnp.where((n >= on) & (n < off), jnp.float32(self.pulse_mv), 0)
        return background + jnp.where((area == 0) & (neuron < self.n_exc), pulse, 0)

    def per_neuron(self, exc: float | int, inh: float | int) -> np.ndarray:
        """`(1, neurons)`: one value for the E and one for the I neurons of an area."""
        return np.repeat(np.array([[exc, inh]], np.float32), (self.n_exc, self.n_inh), axis=1)


class State(NamedTuple):
    """Potentials in mV, step of the last spike, input under way."""

    v: jax.Array
    last: jax.Array
    buffer: DelayBuffer


class Parameters(NamedTuple):
    """Values that may differ between trials without compiling again."""

    projection: MultiAreaProjection
    noise: jax.Array


def setup(model: Model, seed: int, network_seed: int) -> tuple[Parameters, State]:
    """Parameters and initial state of one trial."""
    projection = model.projection(network_seed)
    v = jnp.asarray(model.initial_v(seed))
    # So long ago that no neuron starts refractory, and differences stay within int32.
    never = jnp.full(v.shape, -(2**30), jnp.int32)
    return Parameters(projection, jnp.asarray(noise_key(seed))), State(
        v, never, projection.buffer()
    )


def step(model: Model, parameters: Parameters, state: State, n: Any) -> tuple[State, jax.Array]:
    """One time step; returns the state and the spikes `(areas, neurons)`, bool."""
    p = model.base
    rate = model.per_neuron(model.dt / p["tau_exc_ms"], model.dt / p["tau_inh_ms"])
    noise = normal(parameters.noise, n, state.v.shape) * (p["noise_sigma_mv"] * np.sqrt(rate))
    refractory = int(model.steps(p["tau_ref_ms"]))

    # The step of the last spike serves as refractory timer and as record of this step's spikes.
    free = n - state.last >= refractory
    v = state.v + jnp.where(free, rate * (p["v_rest_mv"] - state.v + model.drive(n)) + noise, 0)
    last = jnp.where(free & (v > p["v_threshold_mv"]), n, state.last)
    spikes = last == n
    kicks, buffer = parameters.projection(spikes, state.buffer)
    v = jnp.where(spikes, p["v_reset_mv"], v + jnp.where(n - last >= refractory, kicks, 0))
    return State(v, last, buffer), spikes
