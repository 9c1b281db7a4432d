"""The cortical microcircuit of Potjans & Diesmann (2014): four layers below 1 mm² of cortex.

Source: T. C. Potjans, M. Diesmann (2014), "The cell-type specific cortical microcircuit: relating
structure and activity in a full-scale spiking network model", Cereb. Cortex 24:785-806,
doi:10.1093/cercor/bhs358. 77,169 leaky integrate-and-fire neurons with exponential synaptic
currents in eight populations, 298.9 million synapses.

Scaled models follow S. J. van Albada, M. Helias, M. Diesmann (2015), "Scalability of asynchronous
networks is limited by one-to-one mapping between effective connectivity and correlations", PLoS
Comput. Biol. 11:e1004490, doi:10.1371/journal.pcbi.1004490. They multiply in-degrees by `scale` and
divide weights by its root. A constant current restores the mean input.

One step of 0.1 ms is exact between spikes and in NEST's order. Potentials change by the current at
the start of the step. Neurons at threshold spike, are reset and stay there for 2 ms. Currents decay
and take up the input that arrives at the end of the step. A spike with a delay of d steps arrives
at the end of the d-th step after its own.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from evops.circuit import Circuit
from evops.connectivity.counted_rules import FixedTotalNumber, expected_number
from evops.connectivity.normal_laws import Normal
from evops.delays import DelayBuffer
from evops.errors import Real, check_choice, check_real
from evops.networks.shared.published import read
from evops.networks.shared.simulate import whole_steps
from evops.noise import noise_key, poisson, poisson_thresholds, random_words
from evops.populations import Populations
from evops.projection import Projection

DRIVES = ("poisson", "dc")
VARIANTS = ("potjans2014", "shimoura2018")
# Fewer neurons than this factor leaves are no network: the smallest population would have 10.
LEAST_SCALE = 0.01
# Neurons are laid out in rows of this many places, each row of one population, because XLA's loops
# on CPUs use vectors for whole rows only. The places left in a population's last row are gaps.
ALIGNED = 64
# A potential so low counts the steps of rest after a spike: REST, REST + 1, …, then the reset. One
# array in place of two halves the traffic of memory. FOREVER + 1 rounds to FOREVER, so gaps never
# spike.
REST, FOREVER = np.float32(-(2**20)), np.float32(-(2**30))


@functools.cache
def published() -> dict[str, Any]:
    """Parameters and reference rates (``data/published.json``)."""
    return read("evops.networks.microcircuit2014")


@dataclasses.dataclass(frozen=True)
class Model:
    """Parameters of one run. Currents and weights in pA, potentials in mV, times in ms.

    Args:
        scale: factor of the neurons and of the in-degrees, from 0.01 to 1.
        drive: background input, ``"poisson"`` or ``"dc"``, a constant current of the same mean.
        variant: ``"potjans2014"``, or the parameters of ``"shimoura2018"``.
        thalamus_ms: onset of a pulse from 902 thalamic neurons, or None.
        backend: "native", "jnp" or None for the fastest there is.
    """

    scale: Real = 1.0
    drive: str = "poisson"
    variant: str = "potjans2014"
    thalamus_ms: Real | None = None
    backend: str | None = None

    def __post_init__(self) -> None:
        scale = check_real("scale", self.scale)
        if not LEAST_SCALE <= scale <= 1:
            raise ValueError(f"scale must be from {LEAST_SCALE} to 1, got {scale}")
        for name, allowed in (("drive", DRIVES), ("variant", VARIANTS)):
            check_choice(name, getattr(self, name), allowed)
        if self.thalamus_ms is not None and check_real("thalamus", self.thalamus_ms) < 0:
            raise ValueError(f"thalamus must be at least 0 ms, got {self.thalamus_ms}")

    @functools.cached_property
    def base(self) -> dict[str, Any]:
        """Parameters of the variant."""
        return {**published(), **published()["variants"][self.variant]}

    @property
    def names(self) -> list[str]:
        """The populations, L23E to L6I; every second one is inhibitory."""
        return self.base["populations"]

    @property
    def dt(self) -> float:
        """Time step in ms."""
        return self.base["dt_ms"]

    def steps(self, ms: float) -> int:
        """A time in ms as a whole number of steps, rounded."""
        return int(whole_steps(ms, self.dt))

    @functools.cached_property
    def neurons(self) -> np.ndarray:
        """`(8,)` neurons per population."""
        return np.round(np.array(self.base["neurons"]) * self.scale).astype(int)

    @functools.cached_property
    def populations(self) -> Populations:
        """The populations, and the gaps between them that hold no neurons ("after L23E" …)."""
        sizes = {}
        for name, n in zip(self.names, map(int, self.neurons), strict=True):
            sizes[name] = n
            if n % ALIGNED:
                sizes[f"after {name}"] = ALIGNED - n % ALIGNED
        return Populations(sizes)

    @functools.cached_property
    def places(self) -> list[int]:
        """Places of each population: its neurons and the gap after them."""
        return [-(-int(n) // ALIGNED) * ALIGNED for n in self.neurons]

    def neuron_of(self, place: np.ndarray) -> np.ndarray:
        """Index of a neuron among neurons alone, for its place among neurons and gaps."""
        gaps = np.array(self.places) - self.neurons
        before = np.concatenate([[0], np.cumsum(gaps)])
        population = np.searchsorted(np.cumsum(self.places), place, side="right")
        return (place - before[population]).astype(np.int32)

    def place_of(self, neuron: int) -> int:
        """Where a neuron stands among neurons and gaps."""
        population = int(np.searchsorted(np.cumsum(self.neurons), neuron, side="right"))
        gaps = np.array(self.places) - self.neurons
        return neuron + int(gaps[:population].sum())

    def _full_synapses(self, probability: Any, n_pre: Any, n_post: Any) -> np.ndarray:
        """Synapses of the full model that connect a pair of neurons with `probability`."""
        p = np.array(probability)
        if decimals := self.base.get("connection_probability_decimals"):
            p = p.round(decimals)
        return expected_number(p, n_pre, n_post)

    @functools.cached_property
    def full_synapses(self) -> np.ndarray:
        """`(8, 8)` synapses of the full model, target and source; not rounded."""
        n = np.array(self.base["neurons"], float)
        return self._full_synapses(self.base["connection_probability"], n[None, :], n[:, None])

    @functools.cached_property
    def synapses(self) -> np.ndarray:
        """`(8, 8)` synapses, target and source."""
        return np.round(self.full_synapses * self.scale**2).astype(np.int64)

    @functools.cached_property
    def thalamic_in_degree(self) -> np.ndarray:
        """`(8,)` mean thalamic synapses per neuron of the full model."""
        thalamus, n = self.base["thalamus"], np.array(self.base["neurons"], float)
        count = self._full_synapses(thalamus["connection_probability"], thalamus["neurons"], n)
        return count / n

    @functools.cached_property
    def psc(self) -> float:
        """Current in pA of a synapse whose potential peaks at 0.15 mV."""
        if "psc_pa" in self.base:
            return self.base["psc_pa"]
        n = self.base["neuron"]
        tau_m, tau_s = n["tau_m_ms"], n["tau_syn_ms"]
        ratio, power = tau_m / tau_s, 1 / (tau_s - tau_m)
        peak = tau_m * tau_s / n["c_m_pf"] * power
        peak *= ratio ** (power * tau_m) - ratio ** (power * tau_s)
        return self.base["psp_mv"] / peak

    @functools.cached_property
    def full_weights(self) -> np.ndarray:
        """`(8, 8)` mean weights of the full model in pA, target and source."""
        w = np.tile([self.psc, self.base["g"] * self.psc], (8, 4))
        w[0, 2] *= self.base["l4e_to_l23e_factor"]  # target L23E, source L4E
        return w

    @property
    def weights(self) -> np.ndarray:
        """`(8, 8)` mean weights in pA, target and source."""
        return self.full_weights / math.sqrt(self.scale)

    @functools.cached_property
    def background_in_degree(self) -> np.ndarray:
        """`(8,)` background synapses per neuron."""
        return np.round(np.array(self.base["background"]["indegree"]) * self.scale).astype(int)

    def _mean_current(self, in_degree: Any, weight: Any, rate_hz: Any) -> Any:
        """Mean current in pA of synapses that are active at `rate_hz`."""
        tau = self.base["neuron"]["tau_syn_ms"]
        return np.asarray(in_degree) * weight * rate_hz * tau * 1e-3

    @functools.cached_property
    def constant_current(self) -> np.ndarray:
        """`(8,)` in pA: the constant drive, if any, and the mean input that scaling removes.

        The recurrent mean is that of the full model at its ``mean_rates_hz``.
        """
        background = self.base["background"]
        drive = self._mean_current(background["indegree"], self.psc, background["rate_hz"])
        in_degree = self.full_synapses / np.array(self.base["neurons"])[:, None]
        recurrent = self._mean_current(in_degree, self.full_weights, self.base["mean_rates_hz"])
        missing = 1 - math.sqrt(self.scale)
        if self.drive == "dc":
            return drive + missing * recurrent.sum(axis=1)
        return missing * (drive + recurrent.sum(axis=1))

    def delay_law(self, inhibitory: bool) -> Normal:
        """Delays in steps: normal, redrawn where they would round to no step."""
        mean = self.base["delay_inh_ms" if inhibitory else "delay_exc_ms"] / self.dt
        return Normal(mean, self.base["delay_relative_std"] * mean, low=0.5)

    def projections(self, seed: int) -> dict[tuple[str, str], Projection]:
        """The synapses from each population to each, for a connectivity seed."""
        return {
            (pre, post): self._projection(
                self.synapses[i, j],
                self.weights[i, j],
                (self.neurons[j], self.neurons[i]),
                bool(j % 2),
                [seed, 3, i, j],
            )
            for i, post in enumerate(self.names)
            for j, pre in enumerate(self.names)
            if self.synapses[i, j]
        }

    def thalamic(self, seed: int) -> dict[str, Projection]:
        """The synapses from the thalamus to each population that has them."""
        count = np.round(self.thalamic_in_degree * self.neurons * self.scale).astype(int)
        weight = self.psc / math.sqrt(self.scale)
        n = self.base["thalamus"]["neurons"]
        return {
            post: self._projection(
                count[i], weight, (n, self.neurons[i]), False, [seed, 3, i, len(self.names)]
            )
            for i, post in enumerate(self.names)
            if count[i]
        }

    def _projection(
        self, count: Any, mean: Any, shape: tuple[Any, Any], inhibitory: bool, entropy: list[int]
    ) -> Projection:
        # A variate is at most 6.2 deviations from its mean: with 10 % no weight changes its sign.
        std = self.base["weight_relative_std"] * abs(mean)
        return Projection(
            FixedTotalNumber(int(count)),
            Normal(np.float32(mean), np.float32(std)),
            shape=(int(shape[0]), int(shape[1])),
            seed=int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]),
            delay=self.delay_law(inhibitory),
            backend=self.backend,
        )

    def per_row(self, values: Any, dtype: Any = np.float32) -> np.ndarray:
        """`(rows, 1)`: a value for each population as one for each row of places."""
        rows = np.array(self.places) // ALIGNED
        return np.repeat(np.asarray(values, dtype), rows)[:, None]

    def initial_v(self, seed: int) -> np.ndarray:
        """`(rows, 64)` initial potentials in mV, relative to rest; gaps rest forever."""
        rng = np.random.default_rng([seed, 2])
        rest = self.base["neuron"]["v_rest_mv"]
        mean, std = self.base["v_initial_mean_mv"], self.base["v_initial_std_mv"]
        v = np.full(sum(self.places), FOREVER)
        for i, name in enumerate(self.names):
            drawn = rng.standard_normal(self.neurons[i])
            v[self.populations.slice(name)] = mean[i] - rest + std[i] * drawn
        return v.reshape(-1, ALIGNED)


class State(NamedTuple):
    """Potentials (or steps of rest) and synaptic currents, `(rows, 64)`; input under way."""

    v: jax.Array
    current: jax.Array
    buffer: DelayBuffer


class Parameters(NamedTuple):
    """Values that may differ between trials without compiling again."""

    circuit: Circuit
    thalamic: dict[str, Projection]
    noise: jax.Array
    pulse: jax.Array


def setup(model: Model, seed: int, network_seed: int) -> tuple[Parameters, State]:
    """Synapses from `network_seed`; background, pulse and initial potentials from `seed`."""
    projections = model.projections(network_seed)
    thalamic = {} if model.thalamus_ms is None else model.thalamic(network_seed)
    circuit = Circuit(model.populations, projections)
    longest = max(w.max_delay for w in (*projections.values(), *thalamic.values()))
    keys = np.random.SeedSequence([seed, 1]).generate_state(2, np.uint64)
    noise, pulse = (jnp.asarray(noise_key(int(key))) for key in keys)
    v = jnp.asarray(model.initial_v(seed))
    state = State(v, jnp.zeros_like(v), DelayBuffer.zeros(model.populations.n, longest))
    return Parameters(circuit, thalamic, noise, pulse), state


def step(model: Model, parameters: Parameters, state: State, n: Any) -> tuple[State, jax.Array]:
    """One time step; returns the state and the spikes `(places,)`, bool."""
    f = np.float32
    v = _integrated(model, state, n)
    spikes = (v == REST).reshape(-1)  # the count of rest begins in the step of the spike

    buffer = parameters.circuit.push(spikes, state.buffer)
    for name, w in parameters.thalamic.items():
        thalamic = _thalamic_spikes(model, parameters.pulse, n)
        buffer = w.push(thalamic, buffer, post_offset=model.populations.offset(name))
    arriving, buffer = buffer.pop(model.backend)

    decay = math.exp(-model.dt / model.base["neuron"]["tau_syn_ms"])
    current = f(decay) * state.current + arriving.reshape(v.shape)
    if model.drive == "poisson":
        words = random_words(parameters.noise, n, v.shape)
        counts = poisson(words, thresholds(model))
        current = current + f(model.psc / math.sqrt(model.scale)) * counts.astype(jnp.float32)
    return State(v, current, buffer), spikes


def potential(model: Model, state: State, neuron: int) -> jax.Array:
    """Membrane potential of a neuron in mV; the reset potential while it rests after a spike."""
    p, (row, column) = model.base["neuron"], divmod(model.place_of(neuron), ALIGNED)
    v = state.v[row, column] + np.float32(p["v_rest_mv"])
    return jnp.where(state.v[row, column] < REST / 2, np.float32(p["v_reset_mv"]), v)


def _integrated(model: Model, state: State, n: Any) -> jax.Array:
    """Potentials after one step, REST where a neuron spikes.

    Between spikes membrane and synaptic current are linear, so their exact solution is a sum with
    constant factors.
    """
    f, p = np.float32, model.base["neuron"]
    tau_m, tau_s, c_m = p["tau_m_ms"], p["tau_syn_ms"], p["c_m_pf"]
    leak, decay = math.exp(-model.dt / tau_m), math.exp(-model.dt / tau_s)
    to_v = tau_m * tau_s / (tau_m - tau_s) / c_m * (leak - decay)
    threshold, reset = (f(p[k] - p["v_rest_mv"]) for k in ("v_threshold_mv", "v_reset_mv"))

    constant = model.constant_current * (tau_m / c_m * (1 - leak))
    moved = f(leak) * state.v + f(to_v) * state.current + model.per_row(constant)
    if model.thalamus_ms is not None:
        moved = moved + _pulse_current(model, n) * f(tau_m / c_m * (1 - leak))
    rested = state.v + 1
    rested = jnp.where(rested >= REST + f(model.steps(p["tau_ref_ms"])), reset, rested)
    v = jnp.where(state.v < REST / 2, rested, moved)
    return jnp.where(v >= threshold, REST, v)


def thresholds(model: Model) -> list[np.ndarray]:
    """Thresholds of the background counts of a step, for `poisson`, each `(rows, 1)`."""
    rate = model.base["background"]["rate_hz"]
    mean = model.background_in_degree * (rate * model.dt * 1e-3)
    return [model.per_row(t, np.int32) for t in poisson_thresholds(mean)]


def _thalamic_spikes(model: Model, key: jax.Array, n: Any) -> jax.Array:
    """`(902,)` spikes of the thalamic neurons at step `n`: one with the chance of its rate."""
    thalamus = model.base["thalamus"]
    start, length = model.steps(model.thalamus_ms or 0), model.steps(thalamus["pulse_ms"])
    chance = np.uint32(thalamus["rate_hz"] * model.dt * 1e-3 * 2.0**32)
    drawn = random_words(key, n, (thalamus["neurons"],)) < chance
    return drawn & (n >= start) & (n < start + length)


def _pulse_current(model: Model, n: Any) -> jax.Array:
    """`(rows, 1)` current in pA that scaling takes from the mean of the pulse as it arrives."""
    thalamus = model.base["thalamus"]
    start = model.steps((model.thalamus_ms or 0) + model.base["delay_exc_ms"])
    on = (n >= start) & (n < start + model.steps(thalamus["pulse_ms"]))
    mean = model._mean_current(model.thalamic_in_degree, model.psc, thalamus["rate_hz"])
    missing = model.per_row((1 - math.sqrt(model.scale)) * mean)
    return jnp.where(on, missing, jnp.zeros_like(missing))
