"""The 29-area model: data, parameters, results within the published bounds, the command."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import evops
from evops.__main__ import main
from evops.networks.joglekar2018 import macaque, measure, notebook
from evops.networks.joglekar2018 import model as joglekar2018
from evops.networks.joglekar2018.model import Model, published
from evops.networks.shared.simulate import Run, Simulator

DATA = Path(macaque.__file__).parent / "data" / "macaque29"
WITHIN = ("V1", "V2", "V4", "DP", "MT", "TEO")


def simulate(model, seed, network=joglekar2018, n_steps=9500):
    parameters, state = network.setup(model, seed, seed)
    simulator = Simulator.compile(partial(network.step, model), parameters, state)
    return measure.activity(model, simulator.run(parameters, state, n_steps))


def relative_to_published(model, rates, areas):
    reference = dict(
        zip(published()["areas"], published()["published"][model.regime]["peak_hz"], strict=True)
    )
    found = dict(zip(model.cortex.areas, rates.peak_hz, strict=True))
    return {a: found[a] / reference[a] for a in areas}


@pytest.mark.slow
@pytest.mark.parametrize("network", [joglekar2018, notebook])
def test_async_weak_is_within_published_bounds(network):
    """Means over three seeds: 8 responding areas and the published peaks within 15 %."""
    model = Model("async_weak")
    trials = [simulate(model, seed, network) for seed in (1, 2, 3)]
    for rates in trials:
        assert rates.baseline_hz == pytest.approx(1.3, abs=0.2)
        assert not rates.runaway and not rates.ignition
    mean = measure.mean(trials)
    assert mean.responding == 8
    ratios = relative_to_published(model, mean, WITHIN)
    assert all(abs(r - 1) < 0.15 for r in ratios.values()), ratios


@pytest.mark.slow
def test_async_strong_reaches_the_published_rates():
    """Means over three seeds until the end of the pulse; what follows is bistable."""
    model = Model("async_strong")
    trials = [simulate(model, seed, n_steps=4550) for seed in (1, 2, 3)]
    mean = measure.mean(trials)
    assert not mean.runaway and not mean.ignition
    assert 12 <= mean.responding <= 18
    ratios = relative_to_published(model, mean, (*WITHIN, "TEpd"))
    assert all(abs(r - 1) < 0.15 for r in ratios.values()), ratios


def test_weights_of_the_model():
    model = Model("async_strong")
    p, h, fln = model.set, model.cortex.hierarchy, model.cortex.fln
    w = model.weights()
    v1, mt = model.cortex.areas.index("V1"), model.cortex.areas.index("MT")
    assert w[v1, 0, mt, 0] == pytest.approx((1 + 4 * h[mt]) * p["mu_ee"] * fln[mt, v1])
    assert w[mt, 0, v1, 1] == pytest.approx((1 + 4 * h[v1]) * p["mu_ie"] * fln[v1, mt])
    assert w[mt, 0, mt, 0] == pytest.approx((1 + 4 * h[mt]) * p["w_ee"])
    assert w[mt, 1, mt, 0] == -p["w_ei"] and w[mt, 1, mt, 1] == -p["w_ii"]
    assert not w[v1, 1, mt].any()
    assert (w[:, 0, :, 0] == 0).sum() == 276


def test_delays_of_the_model():
    model = Model()
    delays = model.delays(3)
    v1, mt = model.cortex.areas.index("V1"), model.cortex.areas.index("MT")
    assert (delays[np.arange(29), :, np.arange(29)] == 20).all()
    mean = model.cortex.distance_mm[mt, v1] / 3.5 / 0.1
    far = delays[v1, :1600, mt]
    assert far.mean() == pytest.approx(mean, rel=0.02) and far.std() == pytest.approx(
        0.1 * mean, rel=0.1
    )
    assert delays.min() >= 1 and delays.max() <= model.projection(3).max_delay
    assert (delays != model.delays(4)).any()


def test_default_model_runs_alike_on_both_backends():
    results = []
    for backend in ("native", "jnp"):
        model = Model(n_exc=60, n_inh=20, backend=backend)
        parameters, state = joglekar2018.setup(model, 1, 1)
        step = partial(joglekar2018.step, model)
        run = Simulator.compile(step, parameters, state).run(parameters, state, 400)
        results.append(run)
    assert len(results[0].steps) > 20
    np.testing.assert_array_equal(results[0].steps, results[1].steps)
    np.testing.assert_array_equal(results[0].neurons, results[1].neurons)


def test_rates_of_known_spikes():
    model = Model()
    width = model.steps(10.0)
    steps = np.arange(3000, 3000 + width).repeat(2)
    neurons = np.tile([0, model.per_area * 4 + model.n_exc - 1], width)
    inhibitory = np.full(50, model.n_exc)
    run = Run(
        np.concatenate([steps, np.arange(50)]), np.concatenate([neurons, inhibitory]), 9500, 1.0
    )
    rates = measure.activity(model, run)
    assert rates.peak_hz[0] == rates.peak_hz[4] == pytest.approx(100 / 1600 / 0.01)
    assert rates.peak_hz[[1, 2, 3]].max() == 0 and rates.baseline_hz == 0
    assert rates.responding == 2 and not rates.runaway and not rates.ignition


def test_packaged_tables():
    cortex = macaque.load()
    assert len(cortex.areas) == 29 and cortex.areas[0] == "V1" and cortex.areas[-1] == "24c"
    assert (cortex.fln > 0).sum() == 536 and cortex.hierarchy.max() == 1
    assert list(cortex.areas) == published()["areas"]


def test_mat_files_give_the_same_tables(tmp_path):
    cortex = macaque.load()
    savemat(tmp_path / "efelenMatpython.mat", {"flnMatpython": cortex.fln})
    savemat(tmp_path / "hierValspython.mat", {"hierVals": cortex.hierarchy[:, None] * 3.7})
    savemat(tmp_path / "subgraphWiring29.mat", {"wiring": cortex.distance_mm})
    loaded = macaque.load(tmp_path)
    for table in ("fln", "hierarchy", "distance_mm"):
        np.testing.assert_allclose(getattr(loaded, table), getattr(cortex, table))
    (tmp_path / "hierValspython.mat").write_bytes(b"nonsense" * 40)
    with pytest.raises(evops.DataError, match=r"cannot read .*hierValspython.mat"):
        macaque.load(tmp_path)
    savemat(tmp_path / "hierValspython.mat", {"other": cortex.hierarchy})
    with pytest.raises(evops.DataError, match="must have a variable 'hierVals'"):
        macaque.load(tmp_path)


@pytest.fixture
def own_data(tmp_path):
    shutil.copytree(DATA, tmp_path / "data")
    return tmp_path / "data"


BROKEN = [
    (
        "fln.csv",
        lambda t: t.replace("0.732157206", "lots"),
        "line 2, column V2: expected a number, got 'lots'",
    ),
    ("fln.csv", lambda t: t.replace("0.732157206", "nan"), "expected finite numbers >= 0"),
    ("fln.csv", lambda t: t.replace("0.732157206", "-0.1"), "expected finite numbers >= 0"),
    ("fln.csv", lambda t: t.replace("0.732157206", "7"), "expected numbers from 0 to 1"),
    ("fln.csv", lambda t: t.replace(",0.732157206", ""), "line 2: expected 30 cells, got 29"),
    ("fln.csv", lambda t: "", "must have a header and a row per area"),
    ("fln.csv", lambda t: t.replace("area,V1,V2", "area,V2,V1"), "the header names other areas"),
    ("hierarchy.csv", lambda t: t.replace("V2", "V3"), "do not name the same areas"),
]


@pytest.mark.parametrize(("file", "change", "message"), BROKEN)
def test_malformed_tables(own_data, file, change, message):
    path = own_data / file
    path.write_text(change(path.read_text()))
    with pytest.raises(evops.DataError, match=message):
        macaque.load(own_data)


def test_missing_tables(own_data):
    (own_data / "distance_mm.csv").unlink()
    with pytest.raises(evops.DataError, match=r"cannot read .*distance_mm.csv: No such file"):
        macaque.load(own_data)
    with pytest.raises(evops.DataError, match="data must be a directory"):
        macaque.load(own_data / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"regime": "loud"}, "regime must be one of"),
        ({"dt": 0.0}, "dt must be from 0.01 to 1 ms"),
        ({"dt": float("nan")}, "dt must be a finite number"),
        ({"pulse_ms": -1.0}, "pulse_ms must be at least 0 ms"),
        ({"pulse_mv": float("inf")}, "pulse must be a finite number"),
        ({"v_initial": (-50.0, -60.0)}, "v_initial must be low <= high"),
    ],
)
def test_bad_model(arguments, message):
    with pytest.raises(ValueError, match=message):
        Model(**arguments)


def test_command_reports_and_writes(tmp_path, capsys, own_data):
    out = tmp_path / "out"
    arguments = ["joglekar2018", "--duration", "320", "--out", str(out), "--data", str(own_data)]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "responding areas" in text and "compile time" in text and "peak memory" in text
    [line] = [line for line in text.splitlines() if line.endswith("steps per second")]
    assert float(line.split()[0]) > 0
    content = json.loads((out / "joglekar2018.json").read_text())
    assert content["regime"] == "async_weak" and len(content["peak_hz"]) == 29
    assert content["baseline_hz"] == pytest.approx(1.3, abs=0.25)
    assert (out / "joglekar2018.png").read_bytes().startswith(b"\x89PNG")


def test_command_runs_trials_and_the_notebook(tmp_path, capsys):
    arguments = ["joglekar2018", "--duration", "30", "--trials", "3", "--regime", "sync_strong"]
    assert main([*arguments, "--out", str(tmp_path), "--no-plot"]) == 0
    assert "0 of 3 trials run away; 0 ignite before the stimulus" in capsys.readouterr().out
    trials = json.loads((tmp_path / "joglekar2018.json").read_text())["trials"]
    assert [(t["seed"], t["network_seed"]) for t in trials] == [(1, 1), (2, 1), (3, 2)]
    assert not (tmp_path / "joglekar2018.png").exists()
    assert main(["joglekar2018", "--duration", "20", "--as-published", "--backend", "native"]) == 0


def test_python_dash_m():
    result = subprocess.run(
        [sys.executable, "-m", "evops", "backends"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("native: available")
