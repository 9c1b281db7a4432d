"""The potential of one neuron, kept and drawn beside the raster."""

import functools
import json

import numpy as np
import pytest

from evops.__main__ import main
from evops.networks.coba2005 import model as coba2005
from evops.networks.microcircuit2014 import model as microcircuit2014
from evops.networks.shared.simulate import Simulator

COMMANDS = {
    "coba2005": ["coba2005", "--size", "500", "--duration", "60"],
    "microcircuit2014": [
        *("microcircuit2014", "--scale", "0.01", "--duration", "40", "--settle", "10"),
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_keep_and_draw_it(name, tmp_path, capsys):
    assert main([*COMMANDS[name], "--trace", "3", "--out", str(tmp_path)]) == 0
    assert "wrote" in capsys.readouterr().out
    kept = np.load(tmp_path / f"{name}.npz")
    steps = {"coba2005": 600, "microcircuit2014": 500}[name]
    assert kept["v_mv"].shape == (steps,) and kept["neuron"] == 3 and kept["dt_ms"] == 0.1
    assert np.isfinite(kept["v_mv"]).all() and -100 < kept["v_mv"].min() < kept["v_mv"].max() < -40
    assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    with_trace = json.loads((tmp_path / f"{name}.json").read_text())["spikes"]
    plain = tmp_path / "plain"
    assert main([*COMMANDS[name], "--out", str(plain), "--no-plot"]) == 0
    assert json.loads((plain / f"{name}.json").read_text())["spikes"] == with_trace
    assert not (plain / f"{name}.npz").exists()


@pytest.mark.parametrize(("name", "neurons"), [("coba2005", 500), ("microcircuit2014", 771)])
@pytest.mark.parametrize("neuron", ["-1", "771", "10000"])
def test_neurons_that_do_not_exist(name, neurons, neuron, capsys):
    assert main([*COMMANDS[name], "--no-plot", "--trace", neuron]) == 2
    assert f"trace must be a neuron from 0 to {neurons - 1}, got" in capsys.readouterr().err


def test_it_is_the_potential_after_every_step():
    model = coba2005.Model(500)
    step = functools.partial(coba2005.step, model)
    parameters, state = coba2005.setup(model, 1, 1)
    want, at = [], state
    for n in range(30):
        at, _ = step(parameters, at, n)
        want.append(float(at.v[7]))
    simulator = Simulator.compile(
        step, parameters, state, chunk_steps=20, watch=lambda state: state.v[7]
    )
    run = simulator.run(parameters, state, 30)
    assert run.trace.shape == (30,)
    np.testing.assert_allclose(run.trace, want, rtol=1e-5)


def test_places_of_neurons():
    """A neuron rests at the reset potential after its spikes, and gaps are no neurons."""
    model = microcircuit2014.Model(scale=0.01)
    every = np.arange(model.neurons.sum())
    places = np.array([model.place_of(int(k)) for k in every])
    np.testing.assert_array_equal(model.neuron_of(places), every)
    parameters, state = microcircuit2014.setup(model, 1, 1)
    step = functools.partial(microcircuit2014.step, model)
    plain = Simulator.compile(step, parameters, state).run(parameters, state, 3000)
    neuron = int(np.bincount(model.neuron_of(plain.neurons)).argmax())
    parameters, state = microcircuit2014.setup(model, 1, 1)  # the run has used it up
    watch = functools.partial(microcircuit2014.potential, model, neuron=neuron)
    run = Simulator.compile(step, parameters, state, watch=watch).run(parameters, state, 3000)
    spikes = run.steps[model.neuron_of(run.neurons) == neuron]
    assert len(spikes) > 2
    rest = model.steps(model.base["neuron"]["tau_ref_ms"])
    for s in spikes[:-1]:
        np.testing.assert_array_equal(
            run.trace[s : s + rest], np.float32(model.base["neuron"]["v_reset_mv"])
        )
    before = run.trace[spikes[spikes > 0] - 1]
    assert (before > model.base["neuron"]["v_threshold_mv"] - 5).all()
