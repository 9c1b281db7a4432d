"""What is compared with other simulators: sizes and parameters of each case, and what is measured.

NumPy alone is needed, so that the environments of the peers can import it.
"""

import dataclasses
import hashlib

import numpy as np

SHAPE = (400, 300)  # pre and post neurons of cases without positions
SQUARE = (100, 100)  # of cases that tell autapses
P, K, TOTAL, MEAN = 0.1, 20, 6000, 0.1  # probability, synapses of a neuron, in all, mean of a pair
EXTENT = 1.0  # of the periodic square that positions fill
SIGMA, PEAK = 0.1, 0.8  # of kernels
KAPPA, THETA, SCALE = 2.0, 0.05, 0.1  # of the gamma kernel
GRID = (12, 12)  # of BrainPy's connectors of places
GRID_SIGMA = 1.5  # in steps of the grid
NODES = 200  # of graphs


@dataclasses.dataclass(frozen=True)
class Case:
    """Names of what is measured, and the number of networks that are drawn.

    `of` is where its neurons lie, or how many there are of them on each side.
    """

    measured: tuple[str, ...]
    networks: int = 20
    of: str = "shape"


DEGREES = ("out", "in", "pairs")
PLACES = ("distance", "out", "in")
GRAPH = ("graph",)
ONE = dict(measured=("edges",), networks=1)

CASES = {
    "nest": {
        "one_to_one": Case(**ONE, of="square"),
        "all_to_all": Case(**ONE),
        "all_to_all, no autapses": Case(**ONE, of="square"),
        "pairwise_bernoulli": Case(DEGREES),
        "pairwise_bernoulli, no autapses": Case((*DEGREES, "autapses"), of="square"),
        "fixed_indegree": Case(DEGREES),
        "fixed_indegree, no multapses": Case(DEGREES),
        "fixed_indegree, no autapses": Case((*DEGREES, "autapses"), of="square"),
        "fixed_indegree, neither": Case((*DEGREES, "autapses"), of="square"),
        "fixed_outdegree": Case(DEGREES),
        "fixed_outdegree, no multapses": Case(DEGREES),
        "fixed_outdegree, no autapses": Case((*DEGREES, "autapses"), of="square"),
        "fixed_outdegree, neither": Case((*DEGREES, "autapses"), of="square"),
        "fixed_total_number": Case(DEGREES),
        "fixed_total_number, no autapses": Case((*DEGREES, "autapses"), of="square"),
        "pairwise_poisson": Case(DEGREES),
        "symmetric_pairwise_bernoulli": Case(("pairs", "one-sided", "autapses"), of="square"),
        "gaussian": Case(PLACES, of="torus"),
        "exponential": Case(PLACES, of="torus"),
        "gamma": Case(PLACES, 8, of="torus"),
        "linear, in a disc": Case(PLACES, of="torus"),
        "disc, off centre": Case(**ONE, of="torus"),
        "rectangle, turned": Case(**ONE, of="torus"),
        "doughnut": Case(**ONE, of="torus"),
        "ellipse, turned": Case(**ONE, of="torus"),
        "disc without rectangle": Case(**ONE, of="torus"),
        "ball": Case(**ONE, of="cube"),
        "box": Case(**ONE, of="cube"),
        "ellipsoid, turned": Case(**ONE, of="cube"),
        "fixed_outdegree, gaussian": Case(("pairs", *PLACES), of="torus"),
        "fixed_outdegree, gaussian, no multapses": Case(("pairs", *PLACES), of="torus"),
        "fixed_indegree, gaussian": Case(("pairs", *PLACES), of="torus"),
        "fixed_indegree, gaussian, no multapses": Case(("pairs", *PLACES), of="torus"),
        "fixed_indegree, disc off centre": Case(("pairs", "displacement", "out"), of="torus"),
    },
    "brainpy": {
        "One2One": Case(**ONE, of="square"),
        "All2All": Case(**ONE),
        "All2All, no autapses": Case(**ONE, of="square"),
        "FixedProb, conn_mat": Case(DEGREES),
        "FixedProb, pre_ids": Case(DEGREES),
        "FixedPreNum": Case(DEGREES),
        "FixedPreNum, allow_multi_conn": Case(DEGREES),
        "FixedPostNum": Case(DEGREES),
        "FixedPostNum, allow_multi_conn": Case(DEGREES),
        "FixedTotalNum": Case(DEGREES),
        "FixedTotalNum, allow_multi_conn": Case(DEGREES),
        "GridFour": Case(**ONE, of="grid"),
        "GridFour, periodic": Case(**ONE, of="grid"),
        "GridEight": Case(**ONE, of="grid"),
        "GridEight, periodic": Case(**ONE, of="grid"),
        "GridN": Case(**ONE, of="grid"),
        "GridN, periodic, include_self": Case(**ONE, of="grid"),
        "GaussianProb": Case(PLACES, of="grid"),
        "GaussianProb, periodic": Case(PLACES, of="grid"),
        "ProbDist": Case(PLACES, of="grid"),
        "SmallWorld": Case(GRAPH, 100, of="nodes"),
        "ScaleFreeBA": Case(GRAPH, 100, of="nodes"),
        "ScaleFreeBADual": Case(GRAPH, 100, of="nodes"),
        "PowerLaw": Case(GRAPH, 100, of="nodes"),
    },
}


def sequence(n, axes):
    """`n` places in a box of length 1 round 0, irregular and the same on every machine.

    Squares of whole numbers, times the powers of one irrational number, less whole numbers: they
    fill the box evenly (Weyl 1916, doi:10.1007/BF01475864).
    """
    root = 2.0
    for _ in range(60):
        root = (1 + root) ** (1 / (axes + 1))
    steps = np.arange(1, n + 1)[:, None] ** 2 / root ** np.arange(1, axes + 1)
    return steps % 1.0 - 0.5


def sides(of):
    """Numbers of pre and post neurons."""
    places = {"torus": 150, "cube": 100, "grid": GRID[0] * GRID[1], "nodes": NODES}
    return {"shape": SHAPE, "square": SQUARE}.get(of) or (places[of],) * 2


def places(of):
    """Coordinates `(n, axes)` of the neurons of a case, which are its pre and its post neurons."""
    if of == "grid":
        return np.stack(np.unravel_index(np.arange(sides(of)[0]), GRID), -1).astype(float)
    return sequence(sides(of)[0], {"torus": 2, "cube": 3}[of])


def displacements(of, pre, post, period):
    """From pre to post neurons, the shorter way where an axis has a period."""
    at = places(of)
    by = at[post] - at[pre]
    return by if period is None else by - period * np.round(by / period)


def measure(case, networks, period=None):
    """The record of some networks, each `(pre, post)`, as numbers that JSON can hold."""
    made = [(np.asarray(pre, np.int64), np.asarray(post, np.int64)) for pre, post in networks]
    assert len(made) == case.networks
    return {name: _MEASURES[name](case, made, period) for name in case.measured}


def _histogram(values):
    return np.bincount(np.concatenate(values)).tolist()


def _out(case, made, period):
    return _histogram([np.bincount(pre, minlength=sides(case.of)[0]) for pre, _ in made])


def _in(case, made, period):
    return _histogram([np.bincount(post, minlength=sides(case.of)[1]) for _, post in made])


def _matrix(case, pre, post):
    n, m = sides(case.of)
    return np.bincount(pre * m + post, minlength=n * m).reshape(n, m)


def _pairs(case, made, period):
    """How many pairs have 0, 1, 2, … synapses."""
    return _histogram([_matrix(case, *edges).ravel() for edges in made])


def _autapses(case, made, period):
    """In each network."""
    return [int((pre == post).sum()) for pre, post in made]


def _one_sided(case, made, period):
    """Pairs that are connected in one direction alone, in each network."""
    matrices = [_matrix(case, *edges) for edges in made]
    return [int(np.abs(matrix - matrix.T).sum()) // 2 for matrix in matrices]


def _distance(case, made, period):
    """How many synapses are so long, in bins of a thirtieth of what is measured."""
    longest = 6.0 if case.of == "grid" else 0.5
    squares = [np.square(displacements(case.of, *edges, period)).sum(-1) for edges in made]
    # Places of a grid have few distances: their bins begin just below them.
    bins = np.linspace(0, longest, 31) - 1e-6 * (case.of == "grid")
    return np.histogram(np.sqrt(np.concatenate(squares)), bins)[0].tolist()


def _displacement(case, made, period):
    """How many synapses lead so far, in squares of 8 by 8."""
    by = np.concatenate([displacements(case.of, *edges, period) for edges in made])
    return np.histogram2d(*by.T, bins=8, range=[[-0.5, 0.5]] * 2)[0].astype(int).ravel().tolist()


def _edges(case, made, period):
    """A digest of the sorted synapses, and how many there are."""
    ((pre, post),) = made
    order = np.lexsort((post, pre))
    words = np.stack([pre, post])[:, order].astype("<i4").tobytes()
    return [len(pre), hashlib.sha256(words).hexdigest()]


GRAPH_STATISTICS = (
    "synapses",
    "neurons without synapses",
    "neurons of degree 1 to 4",
    "neurons of degree 5",
    "neurons of degree 6 to 9",
    "neurons of degree 10 or more",
    "sum of squares of degrees",
    "triangles",
    "largest degree",
    "degree of the first ten neurons",
)


def _graph(case, made, period):
    """`GRAPH_STATISTICS` of each network."""
    rows = []
    for pre, post in made:
        matrix = _matrix(case, pre, post)
        degree = matrix.sum(1)
        classes = np.histogram(degree, [0, 1, 5, 6, 10, 10**9])[0]
        triangles = np.trace(matrix @ matrix @ matrix) // 6
        more = [np.square(degree).sum(), triangles, degree.max(), degree[:10].sum()]
        rows.append([len(pre), *classes.tolist(), *map(int, more)])
    return rows


_MEASURES = {
    "out": _out,
    "in": _in,
    "pairs": _pairs,
    "autapses": _autapses,
    "one-sided": _one_sided,
    "distance": _distance,
    "displacement": _displacement,
    "edges": _edges,
    "graph": _graph,
}
