"""The cases of `compared.py` in BrainPy."""

import brainpy
import compared
import numpy as np
from brainpy import connect
from compared import GRID, GRID_SIGMA, TOTAL, K, P

VERSION = brainpy.__version__
TWICE = {"allow_multi_conn": True}

CONNECTORS = {
    "One2One": lambda seed: connect.One2One(),
    "All2All": lambda seed: connect.All2All(),
    "All2All, no autapses": lambda seed: connect.All2All(include_self=False),
    "FixedProb, conn_mat": lambda seed: connect.FixedProb(P, seed=seed),
    "FixedProb, pre_ids": lambda seed: connect.FixedProb(P, seed=seed),
    "FixedPreNum": lambda seed: connect.FixedPreNum(K, seed=seed),
    "FixedPreNum, allow_multi_conn": lambda seed: connect.FixedPreNum(K, seed=seed, **TWICE),
    "FixedPostNum": lambda seed: connect.FixedPostNum(K, seed=seed),
    "FixedPostNum, allow_multi_conn": lambda seed: connect.FixedPostNum(K, seed=seed, **TWICE),
    "FixedTotalNum": lambda seed: connect.FixedTotalNum(TOTAL, seed=seed),
    "FixedTotalNum, allow_multi_conn": lambda seed: connect.FixedTotalNum(
        TOTAL, seed=seed, **TWICE
    ),
    "GridFour": lambda seed: connect.GridFour(),
    "GridFour, periodic": lambda seed: connect.GridFour(periodic_boundary=True),
    "GridEight": lambda seed: connect.GridEight(),
    "GridEight, periodic": lambda seed: connect.GridEight(periodic_boundary=True),
    "GridN": lambda seed: connect.GridN(N=2),
    "GridN, periodic, include_self": lambda seed: connect.GridN(
        N=2, periodic_boundary=True, include_self=True
    ),
    "GaussianProb": lambda seed: connect.GaussianProb(GRID_SIGMA, seed=seed),
    "GaussianProb, periodic": lambda seed: connect.GaussianProb(
        GRID_SIGMA, periodic_boundary=True, seed=seed
    ),
    "ProbDist": lambda seed: connect.ProbDist(dist=3, prob=0.4, seed=seed),
    "SmallWorld": lambda seed: connect.SmallWorld(num_neighbor=4, prob=0.2, seed=seed),
    "ScaleFreeBA": lambda seed: connect.ScaleFreeBA(m=3, seed=seed),
    # With m2 above m1 + 1 its loop may never end.
    "ScaleFreeBADual": lambda seed: connect.ScaleFreeBADual(m1=3, m2=4, p=0.5, seed=seed),
    "PowerLaw": lambda seed: connect.PowerLaw(m=3, p=0.5, seed=seed),
}


def draw(name, case, seed):
    """Networks of a case, each `(pre, post)`.

    One connector makes all of a graph's networks: it compiles its loop once.
    """
    sizes = (GRID, GRID) if case.of == "grid" else compared.sides(case.of)
    made = None
    for network in range(case.networks):
        if made is None or case.of != "nodes":
            made = CONNECTORS[name](seed + network)(pre_size=sizes[0], post_size=sizes[1])
        made.seed = seed + network
        if name in ("FixedProb, conn_mat", "GaussianProb", "GaussianProb, periodic"):
            yield np.nonzero(np.asarray(made.require("conn_mat")))
        elif case.of == "nodes":
            yield np.nonzero(np.asarray(made.require("conn_mat")))
        else:
            yield tuple(np.asarray(ids) for ids in made.require("pre_ids", "post_ids"))


def period(case):
    """The comparison takes plain distances, which tell a periodic grid as well."""
    return None
