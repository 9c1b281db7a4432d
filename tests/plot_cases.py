"""Small and large matrices that pictures show, a call of every picture, and what it has drawn."""

import numpy as np

import evops
from evops import plot

GRID = evops.Grid((6, 8))
NEAR = evops.FixedProbability(evops.Gaussian(2.0, 0.7))
W = evops.Projection(NEAR, evops.Normal(0.1, 0.2), (GRID, GRID), seed=3, delay=evops.Uniform(2, 9))
S = W.tocsr()
LARGE = evops.Projection(
    evops.FixedProbability(0.1), evops.Normal(0.1, 0.2), (54_772, 54_772), seed=3,
    delay=evops.Uniform(2, 9),
)  # fmt: skip
PLACES = evops.Positions(np.random.default_rng(1).random((54_772, 2)))

CALLS = {
    "connections": lambda ax: plot.connections(W, ax),
    "positions": lambda ax: plot.positions(W, GRID, ax=ax),
    "dots": lambda ax: plot.dots(W, ax),
    "distance_matrix": lambda ax: plot.distance_matrix(GRID, ax=ax, unit="mm"),
    "probability_matrix": lambda ax: plot.probability_matrix(NEAR, GRID, ax=ax),
    "probability_by_distance": lambda ax: plot.probability_by_distance(W, ax=ax),
    "degrees": lambda ax: plot.degrees(W, ax),
    "delays": lambda ax: plot.delays(W, ax),
    "weights": lambda ax: plot.weights(W, 20, GRID, ax),
    "raster": lambda ax: plot.raster([1.0, 2.0], [3, 0], ax),
    "rates": lambda ax: plot.rates([1.0, 2.0], 4, ax),
    "rate_map": lambda ax: plot.rate_map([[1.0, 2.0]], ax),
    "potential": lambda ax: plot.potential([1.0, 2.0], [-60.0, -50.0], ax),
}


def edges():
    return [np.asarray(column) for column in W.edges()]


def segments(ax):
    return np.concatenate([c.get_segments() for c in ax.collections])


def points(lines):
    """Coordinates of markers, a row each."""
    return np.concatenate([line.get_xydata() for line in lines])


def errors(bars):
    """Half the length of each bar."""
    return np.array([end[1, 1] - end[0, 1] for end in bars.lines[2][0].get_segments()]) / 2
