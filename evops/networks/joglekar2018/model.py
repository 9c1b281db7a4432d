"""The 29-area spiking model of macaque cortex of Joglekar et al. (2018).

Source: M. R. Joglekar, J. F. Mejias, G. R. Yang, X.-J. Wang (2018), "Inter-areal balanced
amplification enhances signal propagation in a large-scale circuit model of the primate cortex",
Neuron 98:222-234, doi:10.1016/j.neuron.2018.02.031. Each area has 1600 excitatory and 400
inhibitory leaky integrate-and-fire neurons; areas are connected by their fractions of labelled
neurons, with delays by distance.

One step of 0.1 ms, as in the authors' Brian code: neurons that are not refractory are integrated
(Euler-Maruyama) and spike above threshold; spikes go to the slots of their arrival; input that
arrives now is added to neurons that are free; neurons that spiked are reset.
"""

import dataclasses
import functools
import json
from importlib import resources
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from evops.areas import MultiAreaProjection
from evops.connectivity.rules import FixedProbability, LfsrGaps
from evops.delays import DelayBuffer
from evops.errors import check_integer, check_real
from evops.networks.joglekar2018.macaque import Cortex, load
from evops.networks.shared.noise import noise_key, normal

REGIMES = ("async_weak", "async_strong", "sync_weak", "sync_strong")
ONSET_MS = 300.0
DEFAULT_DURATION_MS = 950.0


@functools.cache
def published() -> dict[str, Any]:
    """Parameters and published results (``data/published.json``)."""
    path = resources.files(__package__) / "data" / "published.json"
    return json.loads(path.read_text())


# How synapses are drawn: exactly (Bernoulli), or by the uniform gaps of the published operators.
SCHEMES = {"exact": FixedProbability, "published": LfsrGaps}


@dataclasses.dataclass(frozen=True)
class Model:
    """Parameters of one run. Times in ms, potentials in mV, distances in mm."""

    regime: str = "async_weak"
    dt: float = 0.1
    pulse_mv: float | None = None
    pulse_ms: float | None = None
    v_initial: tuple[float, float] | None = None
    n_exc: int = 1600
    n_inh: int = 400
    conn_prob: float = 0.1
    scheme: str = "exact"
    backend: str | None = None
    cortex: Cortex = dataclasses.field(default_factory=load, repr=False, compare=False)

    def __post_init__(self):
        if self.regime not in REGIMES:
            raise ValueError(f"regime must be one of {', '.join(REGIMES)}, got {self.regime!r}")
        if self.scheme not in SCHEMES:
            raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {self.scheme!r}")
        dt = check_real("dt", self.dt)
        if not 0.01 <= dt <= 1.0:
            raise ValueError(f"dt must be from 0.01 to 1 ms, got {dt}")
        check_integer("n_exc", self.n_exc, 1)
        check_integer("n_inh", self.n_inh, 1)
        pulse = (
            self.set["pulse_mv"] if self.pulse_mv is None else check_real("pulse", self.pulse_mv)
        )
        length = (
            self.set["pulse_ms"] if self.pulse_ms is None else check_real("pulse_ms", self.pulse_ms)
        )
        if length < 0:
            raise ValueError(f"pulse_ms must be at least 0 ms, got {length}")
        # The sync regimes ignite at the start when potentials begin near threshold
        # (docs/joglekar2018.md).
        quiet = (-70.0, -60.0) if self.regime.startswith("sync") else (-70.0, -50.0)
        low, high = quiet if self.v_initial is None else self.v_initial
        low, high = check_real("v_initial[0]", low), check_real("v_initial[1]", high)
        if not low <= high <= self.base["v_threshold_mv"]:
            raise ValueError(
                f"v_initial must be low <= high <= {self.base['v_threshold_mv']} mV, got "
                f"{low}, {high}"
            )
        for name, value in (("pulse_mv", pulse), ("pulse_ms", length), ("v_initial", (low, high))):
            object.__setattr__(self, name, value)

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

    def steps(self, ms) -> Any:
        """A time in ms as a whole number of steps, rounded."""
        return np.floor(np.asarray(ms) / self.dt + 0.5).astype(np.int64)

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

        Local delays are exact. Long-range ones have a standard deviation of 10 % of their mean, one
        value per axon and target area, cut at 5 standard deviations, and are rounded.
        """
        mean = self.mean_delay_ms()[:, None, :]
        rng = np.random.default_rng([seed, 1])
        z = rng.standard_normal((self.areas, self.per_area, self.areas), np.float32)
        z[np.arange(self.areas), :, np.arange(self.areas)] = 0
        z[:, self.n_exc :, :] = 0
        return np.maximum(self.steps(mean * (1 + 0.1 * z.clip(-5, 5))), 1).astype(np.int32)

    def projection(self, seed: int) -> MultiAreaProjection:
        """All synapses of the network, for a connectivity seed."""
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

    def drive(self, n) -> Any:
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

    def per_neuron(self, exc: float, inh: float) -> np.ndarray:
        """`(1, neurons)`: one value for the E and one for the I neurons of an area."""
        return np.repeat(np.array([[exc, inh]], np.float32), (self.n_exc, self.n_inh), axis=1)


class State(NamedTuple):
    """Potentials in mV, step of the last spike, input under way."""

    v: jax.Array
    last: jax.Array
    buffer: DelayBuffer


class Parameters(NamedTuple):
    """What differs between trials, without compiling again."""

    projection: MultiAreaProjection
    noise: jax.Array


def setup(model: Model, seed: int, network_seed: int) -> tuple[Parameters, State]:
    """Parameters and initial state of one trial."""
    projection = model.projection(network_seed)
    v = jnp.asarray(model.initial_v(seed))
    never = jnp.full(v.shape, -(2**30), jnp.int32)
    return Parameters(projection, jnp.asarray(noise_key(seed))), State(
        v, never, projection.buffer()
    )


def step(model: Model, parameters: Parameters, state: State, n) -> tuple[State, jax.Array]:
    """One time step; returns the state and the spikes `(areas, neurons)`, bool."""
    p = model.base
    rate = model.per_neuron(model.dt / p["tau_exc_ms"], model.dt / p["tau_inh_ms"])
    noise = normal(parameters.noise, n, state.v.shape) * (p["noise_sigma_mv"] * np.sqrt(rate))
    refractory = int(model.steps(p["tau_ref_ms"]))

    free = n - state.last >= refractory
    v = state.v + jnp.where(free, rate * (p["v_rest_mv"] - state.v + model.drive(n)) + noise, 0)
    last = jnp.where(free & (v > p["v_threshold_mv"]), n, state.last)
    spikes = last == n
    kicks, buffer = parameters.projection(spikes, state.buffer)
    v = jnp.where(spikes, p["v_reset_mv"], v + jnp.where(n - last >= refractory, kicks, 0))
    return State(v, last, buffer), spikes
