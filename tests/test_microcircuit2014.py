"""The microcircuit: numbers of its table, one step beside NumPy, activity, the command."""

import json
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evops.__main__ import main
from evops.networks.microcircuit2014 import model as microcircuit2014
from evops.networks.microcircuit2014.measure import activity_of_spikes
from evops.networks.microcircuit2014.model import Model, published
from evops.networks.shared.simulate import Simulator
from evops.noise import poisson, random_words

# Measured in NEST 3.10 with the same parameters (bench/results/microcircuit2014.json).
NEST_TENTH_HZ = np.array([0.480, 2.223, 4.108, 5.089, 7.041, 7.736, 0.889, 7.061])


def simulate(model, seed, n_steps):
    parameters, state = microcircuit2014.setup(model, seed, seed)
    simulator = Simulator.compile(partial(microcircuit2014.step, model), parameters, state)
    run = simulator.run(parameters, state, n_steps)
    return run.steps, model.neuron_of(run.neurons)


@pytest.fixture(scope="module")
def small():
    """A fiftieth of the model, its parameters, initial state and stored synapses."""
    model = Model(scale=0.02)
    parameters, state = microcircuit2014.setup(model, 3, 3)
    return model, parameters, state, [np.asarray(a) for a in parameters.circuit.edges()]


def test_numbers_of_the_full_model():
    model = Model()
    assert model.neurons.sum() == 77_169 and model.synapses.sum() == 298_880_970
    in_degree = model.synapses.sum(axis=1) / model.neurons
    expected = [4995.06, 5284.97, 2806.42, 5888.42, 4943.90, 2736.00, 2563.58, 2434.11]
    np.testing.assert_allclose(in_degree, expected, atol=0.01)
    assert model.psc == pytest.approx(87.81, abs=0.005)
    assert model.weights[0, 2] == 2 * model.psc and model.weights[2, 2] == model.psc
    np.testing.assert_array_equal(model.weights[:, 1::2], -4 * model.psc)
    assert not model.constant_current.any()
    direct = Model(drive="dc").constant_current
    np.testing.assert_allclose(
        direct, np.array(model.base["background"]["indegree"]) * 0.35123, rtol=1e-4
    )


def test_scaling_keeps_mean_and_variance_of_the_input():
    """Mean: what in-degrees times weights lose, the current gives; variance: K w² is the same."""
    full, part = Model(), Model(scale=0.3)
    np.testing.assert_allclose(part.neurons, 0.3 * full.neurons, atol=0.5)
    rates, tau = np.array(published()["mean_rates_hz"]), 0.5e-3

    def mean(model):
        in_degree = model.full_synapses * model.scale / np.array(published()["neurons"])[:, None]
        background = np.array(published()["background"]["indegree"]) * model.scale
        inputs = (in_degree * model.weights * rates).sum(axis=1)
        return (
            tau * (inputs + background * model.psc / model.scale**0.5 * 8) + model.constant_current
        )

    np.testing.assert_allclose(mean(part), mean(full), rtol=1e-9)
    np.testing.assert_allclose(
        part.synapses / part.neurons[:, None] * part.weights**2,
        full.synapses / full.neurons[:, None] * full.weights**2, rtol=0.02, atol=200,
    )  # fmt: skip


@pytest.mark.slow
def test_synapses_that_are_drawn(small):
    model, _, _, (pre, post, weight, delay) = small
    assert len(pre) == model.synapses.sum()
    population = np.full(model.populations.n, -1)
    for i, name in enumerate(model.names):
        population[model.populations.slice(name)] = i
    count = np.bincount(population[post] * 8 + population[pre], minlength=64).reshape(8, 8)
    np.testing.assert_array_equal(count, model.synapses)  # no synapse from or onto a gap
    inhibitory = population[pre] % 2 == 1
    assert (weight[inhibitory] < 0).all() and (weight[~inhibitory] > 0).all()
    relative = weight / model.weights[population[post], population[pre]]
    assert relative.mean() == pytest.approx(1, abs=0.002)
    assert relative.std() == pytest.approx(0.1, abs=0.002)
    assert delay.min() == 1
    # means of normal distributions cut below half a step
    assert delay[~inhibitory].mean() == pytest.approx(15.45, abs=0.1)
    assert delay[inhibitory].mean() == pytest.approx(7.76, abs=0.1)


def test_variant_of_shimoura():
    model = Model(variant="shimoura2018")
    assert model.psc == 87.8 and model.delay_law(True).mean == pytest.approx(8)
    assert model.delay_law(False).mean == pytest.approx(15)
    n = np.array(published()["neurons"])
    expected = np.log1p(-0.101) / np.log1p(-1 / (n[0] * n[0]))
    assert model.full_synapses[0, 0] == pytest.approx(expected)
    v = model.initial_v(1)[: 20683 // 64] - 65
    assert v.mean() == pytest.approx(-58, abs=0.5) and v.std() == pytest.approx(10, abs=0.5)


def test_steps_are_those_of_an_independent_simulation(small):
    """Stored synapses, float64, the neuron written out again, equal background: equal spikes."""
    model, parameters, state, (pre, post, weight, delay) = small
    n_steps, shape = 1500, state.v.shape
    counts = jax.jit(
        lambda t: poisson(
            random_words(parameters.noise, t, shape), microcircuit2014.thresholds(model)
        )
    )
    first = np.searchsorted(np.sort(pre), np.arange(model.populations.n + 1))
    order = np.argsort(pre, kind="stable")
    v, n = np.asarray(state.v, np.float64).reshape(-1), model.populations.n
    gap = v < -1e6
    current, left = np.zeros(n), np.where(gap, n_steps + 1, 0)
    constant = np.repeat(model.constant_current, model.places)
    ring = np.zeros((parameters.circuit.max_delay + 1, n))
    leak, decay = np.exp(-0.01), np.exp(-0.2)
    to_v = 10 * 0.5 / 9.5 / 250 * (leak - decay)
    expected = []
    for t in range(n_steps):
        moved = leak * v + to_v * current + constant * 10 / 250 * (1 - leak)
        v = np.where(left > 0, v, moved)
        fired = (v >= 15) & ~gap
        v, left = np.where(fired, 0, v), np.where(fired, 20, np.maximum(left - 1, 0))
        for i in np.flatnonzero(fired):
            mine = order[first[i] : first[i + 1]]
            np.add.at(ring, ((t + delay[mine]) % len(ring), post[mine]), weight[mine])
        current = decay * current + ring[t % len(ring)]
        current += model.psc / 0.02**0.5 * np.asarray(counts(jnp.int32(t))).reshape(-1)
        ring[t % len(ring)] = 0
        expected += [(t, i) for i in np.flatnonzero(fired)]
    steps, neurons = simulate(model, 3, n_steps)
    times, places = np.array(expected).T
    assert len(times) > 100
    np.testing.assert_array_equal(steps, times)
    np.testing.assert_array_equal(neurons, model.neuron_of(places))


def test_measures_of_known_spikes():
    regular = np.arange(0, 10_000, 100)
    rng = np.random.default_rng(1)
    random = [np.flatnonzero(rng.random(10_000) < 0.005) for _ in range(200)]
    steps = np.concatenate([regular, *random, [9_999]])
    neurons = np.concatenate(
        [0 * regular, np.repeat(np.arange(1, 201), [len(r) for r in random]), [201]]
    )
    order = np.argsort(steps, kind="stable")
    a = activity_of_spikes(steps[order], neurons[order], (1, 200, 1, 5), 0.1, 0, 10_000)
    assert a.rate_hz[0] == 100 and a.rate_hz[2] == 1 and a.rate_hz[3] == 0
    assert a.rate_hz[1] == pytest.approx(50, rel=0.05)
    assert a.cv[0] == 0 and a.cv[1] == pytest.approx(1, abs=0.05)
    assert np.isnan(a.cv[2:]).all() and np.isnan(a.synchrony[3])
    assert a.synchrony[1] == pytest.approx(1, abs=0.4)
    nothing = activity_of_spikes(steps[:0], neurons[:0], (1, 2), 0.1, 0, 100)
    assert not nothing.rate_hz.any() and np.isnan(nothing.cv).all()


def test_activity_at_a_tenth_is_that_of_nest():
    """The mean of three networks: the rate of L23E has a deviation of 10 % from one to another."""
    found = []
    for seed in (1, 2, 3):
        steps, neurons = simulate(Model(scale=0.1), seed, 6000)
        numbers = Model(scale=0.1).neurons
        found.append(activity_of_spikes(steps, neurons, numbers, 0.1, 2000, 6000))
    rates = np.mean([a.rate_hz for a in found], axis=0)
    np.testing.assert_allclose(rates, NEST_TENTH_HZ, rtol=0.2)
    busy = np.array([a.cv[[2, 3, 4, 5, 7]] for a in found])
    assert ((busy > 0.4) & (busy < 1)).all()


def test_thalamus_excites_layer_four():
    model = Model(scale=0.1, thalamus_ms=100.0)
    steps, neurons = simulate(model, 1, 1300)
    ends = np.cumsum(model.neurons)
    l4e = (neurons >= ends[1]) & (neurons < ends[2])
    before = (l4e & (steps >= 500) & (steps < 1000)).sum() / 50
    during = (l4e & (steps >= 1020) & (steps < 1150)).sum() / 13
    assert during > 3 * before > 0
    expected = np.round(model.thalamic_in_degree * model.neurons * 0.1)
    for name, w in microcircuit2014.setup(model, 1, 1)[0].thalamic.items():
        assert int(w.in_degree().sum()) == expected[model.names.index(name)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "scale must be from 0.01 to 1, got 0.0"),
        ({"scale": 2}, "scale must be from 0.01 to 1, got 2.0"),
        ({"scale": float("nan")}, "scale must be a finite number"),
        ({"drive": "loud"}, "drive must be one of poisson, dc, got 'loud'"),
        ({"variant": "x"}, "variant must be one of potjans2014, shimoura2018, got 'x'"),
        ({"thalamus_ms": -1.0}, "thalamus must be at least 0 ms, got -1.0"),
    ],
)
def test_bad_model(arguments, message):
    with pytest.raises(ValueError, match=message):
        Model(**arguments)


def test_command_in_a_process(tmp_path):
    arguments = ["--scale", "0.03", "--duration", "60", "--settle", "20", "--thalamus", "30"]
    command = [
        sys.executable,
        "-m",
        "evops",
        "microcircuit2014",
        *arguments,
        "--out",
        str(tmp_path),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "L23E" in result.stdout and "steps per second" in result.stdout
    content = json.loads((tmp_path / "microcircuit2014.json").read_text())
    assert content["neurons"][0] == 620 and content["thalamus_ms"] == 30
    assert content["spikes"] > 0 and len(content["rate_hz"]) == 8
    assert (tmp_path / "microcircuit2014.png").read_bytes().startswith(b"\x89PNG")


def test_command_with_constant_drive(tmp_path, capsys):
    arguments = [
        "--scale",
        "0.05",
        "--drive",
        "dc",
        "--variant",
        "shimoura2018",
        "--duration",
        "20",
    ]
    assert (
        main(["microcircuit2014", *arguments, "--thalamus", "--no-plot", "--out", str(tmp_path)])
        == 0
    )
    assert "below threshold with a constant drive at this scale" in capsys.readouterr().out
    content = json.loads((tmp_path / "microcircuit2014.json").read_text())
    assert content["variant"] == "shimoura2018" and content["thalamus_ms"] == 5
    assert not (tmp_path / "microcircuit2014.png").exists()
