"""The COBA network: rates within those of other simulators, both backends alike, the command."""

import json
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from evops.__main__ import main
from evops.networks.coba2005 import model as coba2005
from evops.networks.coba2005 import report
from evops.networks.coba2005.measure import Activity, activity
from evops.networks.coba2005.model import Model
from evops.networks.shared.simulate import Run, Simulator


def simulate(model, seed, n_steps):
    parameters, state = coba2005.setup(model, seed, seed)
    simulator = Simulator.compile(partial(coba2005.step, model), parameters, state)
    return simulator.run(parameters, state, n_steps)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rates_are_those_of_other_simulators(seed):
    model = Model()
    rates = activity(model, simulate(model, seed, 9000))
    assert 19 < rates.rate_hz < 24
    assert rates.rate_hz == pytest.approx(0.8 * rates.rate_exc_hz + 0.2 * rates.rate_inh_hz)
    assert rates.rate_exc_hz == pytest.approx(rates.rate_inh_hz, abs=2)


def test_spikes_are_those_of_a_plain_simulation():
    """A rewrite in float64 with the stored matrices: the same spikes for 60 ms, almost all after."""
    model, n_steps = Model(500, 40), 1200
    run = simulate(model, 4, n_steps)
    exc, inh = (np.asarray(W.todense(), np.float64) for W in model.projections(4))
    scale = model.dt / model.tau_m
    exc, inh = exc / scale, inh / scale
    assert set(np.unique(inh.round(4))) == {0.0, 13.4} and abs((exc > 0).mean() - 0.08) < 0.01
    v = model.initial_v(4).astype(np.float64)
    g_e, g_i, last, steps, neurons = 0 * v, 0 * v, np.full(500, -1000), [], []
    for n in range(n_steps):
        spikes = v > -50
        steps += [n] * spikes.sum()
        neurons += list(np.flatnonzero(spikes))
        v[spikes], last[spikes] = -60, n
        g_e = g_e * np.exp(-0.1 / 5) + spikes[:400] @ exc
        g_i = g_i * np.exp(-0.1 / 10) + spikes[400:] @ inh
        total = 1 + g_e + g_i
        end = (-60 + 20 - 80 * g_i) / total
        free = n + 1 - last >= 50
        v = np.where(free, end + (v - end) * np.exp(-0.1 / 20 * total), v)
    early = run.steps < 600
    expected = np.array([steps, neurons])
    assert early.sum() > 100
    np.testing.assert_array_equal(
        [run.steps[early], run.neurons[early]], expected[:, expected[0] < 600]
    )
    assert len(run.steps) == pytest.approx(len(steps), rel=0.05)


def test_backends_give_the_same_spikes():
    runs = [simulate(Model(800, 40, backend=backend), 2, 300) for backend in ("native", "jnp")]
    assert len(runs[0].steps) > 50
    np.testing.assert_array_equal(runs[0].steps, runs[1].steps)
    np.testing.assert_array_equal(runs[0].neurons, runs[1].neurons)


def test_weights_are_scaled_by_the_number_of_synapses():
    for synapses, factor in ((80, 1.0), (800, 0.1)):
        model = Model(4000, synapses, dt=0.2)
        exc, inh = model.projections(1)
        assert exc.shape == (3200, 4000) and inh.shape == (800, 4000)
        assert exc.rule.p == pytest.approx(synapses / 4000)
        unit = 20 / 0.2
        assert float(exc.law.w) * unit == pytest.approx(0.6 * factor)
        assert float(inh.law.w) * unit == pytest.approx(6.7 * factor)


def test_refractory_neurons_stay_at_the_reset_potential():
    """A neuron without input under the drive: 5 ms of reset and 20 ms ln 2 up to the threshold."""
    model = Model(10, 1, weight_exc=0.0, weight_inh=0.0)
    run = simulate(model, 1, 1000)
    first = run.steps[run.neurons == 3]
    assert set(np.diff(first)) <= {50 + 138, 50 + 139}
    assert len(first) >= 4


def test_split_updates_do_not_change_the_spikes():
    model, runs = Model(40_000, 80), []
    for split in (False, True):
        parameters, state = coba2005.setup(model, 1, 1)
        simulator = Simulator.compile(
            partial(coba2005.step, model), parameters, state, chunk_steps=30, split_updates=split
        )
        runs.append(simulator.run(parameters, state, 45))
    assert runs[0].n_steps == 45 and runs[0].steps.max() < 45
    np.testing.assert_array_equal(runs[0].steps, runs[1].steps)
    np.testing.assert_array_equal(runs[0].neurons, runs[1].neurons)


def test_rates_of_known_spikes():
    model = Model(100, 10)
    neurons = np.array([0, 99, 5, 6, 90], np.int32)
    run = Run(np.array([5, 999, 1000, 1500, 1999], np.int32), neurons, 2000, 1.0)
    rates = activity(model, run)
    assert rates.begin_ms == 100 and rates.end_ms == 200
    assert rates.rate_hz == pytest.approx(3 / 100 / 0.1)
    assert rates.rate_exc_hz == pytest.approx(2 / 80 / 0.1) and rates.rate_inh_hz == pytest.approx(
        1 / 20 / 0.1
    )
    whole = activity(model, Run(run.steps[:1], neurons[:1], 500, 1.0))
    assert whole.begin_ms == 0 and whole.rate_hz == pytest.approx(1 / 100 / 0.05)


def test_reference_is_for_this_network_only():
    assert report.reference(Model())["low_hz"] == 19
    assert report.reference(Model(backend="jnp")) is not None
    assert report.reference(Model(4001)) is None
    assert report.reference(Model(weight_inh=1.0)) is None
    assert "none for this size" in report.table(Model(50, 5), Activity(1.0, 1.0, 1.0, 0.0, 1.0))


def test_command_prints_rates(tmp_path):
    arguments = ["coba2005", "--size", "2000", "--synapses", "60", "--duration", "250"]
    result = subprocess.run(
        [sys.executable, "-m", "evops", *arguments, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = [line for line in result.stdout.splitlines() if line.startswith("all ")]
    rate = float(line.split()[2])
    assert 5 < rate < 50
    assert re.search(r"\d+ steps per second, [\d.]+ s per second of biology", result.stdout)
    assert "compile time" in result.stdout and "peak memory" in result.stdout
    content = json.loads((tmp_path / "coba2005.json").read_text())
    assert content["rate_hz"] == pytest.approx(rate, abs=0.01)
    assert content["synapses"] == 60 and content["reference"] is None
    assert (tmp_path / "coba2005.png").read_bytes().startswith(b"\x89PNG")


def test_command_is_deterministic(tmp_path, capsys):
    found = []
    for seed, network_seed in ((1, 1), (1, 1), (2, 1), (1, 2)):
        arguments = ["--duration", "20", "--seed", str(seed), "--network-seed", str(network_seed)]
        assert main(["coba2005", *arguments, "--out", str(tmp_path), "--no-plot"]) == 0
        found.append(json.loads((tmp_path / "coba2005.json").read_text())["spikes"])
    assert "19 to 24 Hz, NEST" in capsys.readouterr().out
    assert found[0] == found[1] and len(set(found)) == 3
    assert not (tmp_path / "coba2005.png").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 10.5}, TypeError, "size must be an integer, got 10.5"),
        ({"size": True}, TypeError, "size must be an integer, got True"),
        ({"dt": "fast"}, TypeError, "dt must be a real number, got 'fast'"),
        ({"weight_exc": -0.1}, ValueError, "weight_exc must be at least 0, got -0.1"),
        ({"weight_inh": float("nan")}, ValueError, "weight_inh must be a finite number, got nan"),
    ],
)
def test_bad_model(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Model(**arguments)
