"""Wrong arguments of pictures, a missing matplotlib, and the gallery."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot

import evops
from evops import plot
from plot_cases import CALLS, GRID, LARGE, PLACES, S, W

ROOT = Path(__file__).parent.parent
WRONG = [
    (lambda: plot.dots(np.ones((3, 3))), TypeError, "W must be an evops.Projection, .* got ndarray"),
    (lambda: plot.dots(W.T), TypeError, "W must be .* got Transposed"),
    (lambda: plot.dots(W, "axes"), TypeError, "ax must be axes of matplotlib or None, got 'axes'"),
    (lambda: plot.dots(W, pyplot.figure()), TypeError, "ax must be axes of matplotlib"),
    (lambda: plot.dots(W, pyplot.figure().add_subplot(projection="3d")), TypeError, "ax must have two"),
    (lambda: plot.weights(W, 2, GRID, pyplot.gca(), surface=True), TypeError, "ax must have three"),
    (lambda: plot.dots(W, sample=0), ValueError, "sample must be an integer from 1 to"),
    (lambda: plot.dots(W, seed=-1), ValueError, "seed must be an integer from 0 to"),
    (lambda: plot.connections(W, neurons=[48]), ValueError, r"neurons\[0\] must be in \[0, n.* = 48\)"),
    (lambda: plot.connections(W, neurons=0.5), TypeError, "neurons must be an array of integers"),
    (lambda: plot.positions(W, evops.Grid((6, 7))), ValueError, "pre must have a position for each of 48 pre neurons, got 42"),
    (lambda: plot.positions(W, GRID, evops.Grid((6, 7))), ValueError, "post must have a position for each of 48"),
    (lambda: plot.positions(W, 48), TypeError, "pre must be evops.Positions or an evops.Grid, got 48"),
    (lambda: plot.positions(W, GRID, evops.Grid(48)), ValueError, "positions must have equally many axes"),
    (lambda: plot.distance_matrix(np.ones((3, 2))), TypeError, "pre must be evops.Positions"),
    (lambda: plot.probability_matrix(1.5, GRID), ValueError, r"p must be in \[0, 1\], got 1.5"),
    (lambda: plot.probability_matrix("near", GRID), TypeError, "p must be a real number, got 'near'"),
    (lambda: plot.probability_by_distance(S), ValueError, "pre must be positions, as the rule of W has none"),
    (lambda: plot.probability_by_distance(W, bins=0), ValueError, "bins must be an integer from 1"),
    (lambda: plot.probability_by_distance(W, kernel=3), TypeError, "kernel must be a kernel or a function"),
    (lambda: plot.degrees(W, side="up"), ValueError, "side must be one of both, out, in, got 'up'"),
    (lambda: plot.delays(LARGE.rule), TypeError, "W must be"),
    (lambda: plot.delays(W, dt=0), ValueError, "dt must be above 0, got 0.0"),
    (lambda: plot.delays(evops.CSR([1.0], [0], [0, 1], shape=(1, 1))), ValueError, "W must have delays"),
    (lambda: plot.weights(W, 48, GRID), ValueError, "neuron must be an integer from 0 to 47, got 48"),
    (lambda: plot.weights(W, 2, (6, 7)), ValueError, r"grid must have a place for each of 48 neurons, got \(6, 7\)"),
    (lambda: plot.weights(W, 2, (48,)), ValueError, "grid must have 2 axes, rows and columns, got 1"),
    (lambda: plot.weights(W, 2, evops.Grid((2, 4, 6))), ValueError, "grid must have 2 axes"),
    (lambda: plot.weights(W, 2, PLACES), TypeError, r"grid must be an evops.Grid or \(rows, columns\)"),
    (lambda: plot.weights(W, 2, GRID, side="both"), ValueError, "side must be one of out, in"),
    (lambda: plot.raster([1.0], [1, 2]), ValueError, "times and neurons must have one entry for each spike, got 1 and 2"),
    (lambda: plot.raster([True], [1]), TypeError, "times must be real numbers, got dtype bool"),
    (lambda: plot.raster([1.0], [9], populations=evops.Populations({"E": 9})), ValueError, r"neurons must be in \[0, 9\)"),
    (lambda: plot.raster([1.0], [9], populations={"E": 10}), TypeError, "populations must be evops.Populations"),
    (lambda: plot.rates([1.0], 0), ValueError, "n must be an integer from 1"),
    (lambda: plot.rates([1.0], 2, bin=0), ValueError, "bin must be above 0, got 0.0"),
    (lambda: plot.rates([1.0], 2, begin=5, end=4), ValueError, "end must be at least begin = 5.0, got 4"),
    (lambda: plot.rates([[1.0]], 2), ValueError, r"times must have 1 axis, got shape \(1, 1\)"),
    (lambda: plot.rate_map([1.0]), ValueError, r"rates must have shape \(populations, times\), got \(1,\)"),
    (lambda: plot.rate_map([[-1.0]]), ValueError, "rates must be at least 0, got -1.0"),
    (lambda: plot.rate_map([[1.0]], names=["a", "b"]), ValueError, "names must be 1, one for each population, got 2"),
    (lambda: plot.rate_map([[1.0]], begin=3, end=3), ValueError, "end must be above begin = 3.0, got 3.0"),
    (lambda: plot.potential([1.0], [1.0, 2.0]), ValueError, "times and v must have one entry for each step, got 1 and 2"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_arguments_are_named(call, error, message):
    """And no empty figure is left behind, but for those of the calls themselves."""
    with pytest.raises(error, match=f"^{message}"):
        call()
    assert "pyplot" in call.__code__.co_names or not pyplot.get_fignums()


@pytest.mark.parametrize("name", plot.__all__)
def test_without_matplotlib_the_extra_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(ImportError, match=r'pip install "jax-evops\[plot\]"'):
        CALLS[name](None)


# ---- the gallery ----
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "examples" / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gallery_shows_every_function():
    """Test_docs.py runs its code."""
    script = gallery()
    shown = [(code, name) for code, name in script.pictures() if name]
    for name in plot.__all__:
        assert any(f"plot.{name}(" in code for code, _ in shown), name
    folder = ROOT / "docs" / "gallery"
    assert {name for _, name in shown} == {path.name for path in folder.iterdir()}
    assert len(shown) == len({name for _, name in shown})
    for path in folder.iterdir():
        assert path.stat().st_size <= script.MOST_BYTES <= 60_000, path


def test_a_picture_of_the_gallery_is_written(tmp_path):
    plot.dots(S)
    gallery().save(pyplot.gcf(), tmp_path / "dots.png")
    assert pyplot.imread(tmp_path / "dots.png").shape[:2] == (480, 640)
