"""The cases of `compared.py` in NEST."""

import compared
import nest
import numpy as np
from compared import KAPPA, MEAN, PEAK, SCALE, SIGMA, THETA, TOTAL, K, P

VERSION = nest.__version__
PERIOD = {"torus": compared.EXTENT, "cube": None}
APART = {"no multapses": {"allow_multapses": False}, "no autapses": {"allow_autapses": False}}
APART["neither"] = APART["no multapses"] | APART["no autapses"]


def kernels():
    d, law = nest.spatial.distance, nest.spatial_distributions
    return {
        "gaussian": PEAK * law.gaussian(d, std=SIGMA),
        "exponential": PEAK * law.exponential(d, beta=SIGMA),
        "gamma": SCALE * law.gamma(d, kappa=KAPPA, theta=THETA),
        "linear, in a disc": PEAK - 1.5 * d,
    }


RECTANGLE = {"lower_left": [-0.1, -0.25], "upper_right": [0.2, 0.15]}
MASKS = {
    "disc, off centre": {"circular": {"radius": 0.2}, "anchor": [0.1, -0.05]},
    "rectangle, turned": {"rectangular": RECTANGLE | {"azimuth_angle": 30.0}},
    "doughnut": {"doughnut": {"inner_radius": 0.12, "outer_radius": 0.31}},
    "ellipse, turned": {
        "elliptical": {"major_axis": 0.6, "minor_axis": 0.3, "azimuth_angle": 25.0}
    },
    "ball": {"spherical": {"radius": 0.35}},
    "box": {"box": {"lower_left": [-0.3, -0.1, -0.2], "upper_right": [0.12, 0.41, 0.3]}},
    "ellipsoid, turned": {
        "ellipsoidal": {
            "major_axis": 0.9,
            "minor_axis": 0.6,
            "polar_axis": 0.5,
            "azimuth_angle": 40.0,
        }
    },
}


def combined():
    """Pairs within a mask that is made of two.

    Connect of NEST 3.10.0 refuses objects of masks, and these have no dictionary.
    """
    mask = nest.CreateMask("circular", {"radius": 0.3}) - nest.CreateMask("rectangular", RECTANGLE)
    n = compared.sides("torus")[0]
    pre, post = (ids.ravel() for ids in np.indices((n, n)))
    by = compared.displacements("torus", pre, post, compared.EXTENT).tolist()
    inside = np.array([mask.Inside(displacement) for displacement in by])
    return pre[inside], post[inside]


def rule_of(name):
    """The `conn_spec` of a case."""
    first, _, rest = name.partition(", ")
    if first in ("fixed_indegree", "fixed_outdegree"):
        spec = {"rule": first, first.removeprefix("fixed_"): K}
        if rest.startswith("gaussian"):
            spec["p"] = kernels()["gaussian"]
            rest = rest.removeprefix("gaussian").removeprefix(", ")
        if rest == "disc off centre":
            return spec | {"indegree": 8, "mask": MASKS["disc, off centre"]}
        return spec | APART.get(rest, {})
    if name in kernels():
        spec = {"rule": "pairwise_bernoulli", "p": kernels()[name]}
        disc = {"mask": {"circular": {"radius": 0.4}}}
        return spec | (disc if name == "linear, in a disc" else {})
    if name in MASKS:
        return {"rule": "pairwise_bernoulli", "p": 1.0, "mask": MASKS[name]}
    spec = {
        "one_to_one": {},
        "all_to_all": {},
        "pairwise_bernoulli": {"p": P},
        "fixed_total_number": {"N": TOTAL},
        "pairwise_poisson": {"pairwise_avg_num_conns": MEAN},
        "symmetric_pairwise_bernoulli": {"p": P, "allow_autapses": False, "make_symmetric": True},
    }[first]
    return {"rule": first} | spec | APART.get(rest, {})


def create(of):
    """Pre and post neurons: one population, where rules tell autapses or it has positions."""
    if of in PERIOD:
        at, wrap = compared.places(of), PERIOD[of] is not None
        extent = [compared.EXTENT] * at.shape[1]
        layer = nest.spatial.free(at.tolist(), extent=extent, edge_wrap=wrap)
        return (nest.Create("parrot_neuron", positions=layer),) * 2
    sizes = compared.sides(of)
    pre = nest.Create("parrot_neuron", sizes[0])
    return pre, pre if of == "square" else nest.Create("parrot_neuron", sizes[1])


def draw(name, case, seed):
    """Networks of a case, each `(pre, post)`."""
    if name == "disc without rectangle":
        yield combined()
        return
    for network in range(case.networks):
        nest.ResetKernel()
        nest.verbosity = nest.VerbosityLevel.ERROR
        nest.rng_seed = seed + network + 1
        pre, post = create(case.of)
        nest.Connect(pre, post, rule_of(name))
        found = nest.GetConnections(pre, post)
        sources, targets = (np.array(list(ends)) for ends in (found.sources(), found.targets()))
        yield sources - pre[0].global_id, targets - post[0].global_id


def period(case):
    return PERIOD.get(case.of)
