"""Models of random graphs as rules: small worlds, and networks grown by preferential attachment.

Undirected graphs are those of networkx. Directed ones are drawn here, by the sampler's words: they
are the same with every version of every library.
"""

import dataclasses
import itertools
from collections.abc import Callable
from importlib import metadata
from typing import Any, ClassVar

import numpy as np

from evops.connectivity import stored_rules
from evops.connectivity.connectors import Connector
from evops.errors import Flag, Integer, Real, check_flag, check_integer, check_probability

# Draws of one neuron that is none of those taken, before the free ones are listed.
_TRIES = 16


class _Draws:
    """The words of a seed, one after another."""

    def __init__(self, seed: int):
        words = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
        self._words = stored_rules.one_by_one(stored_rules.GRAPHS, words)

    def below(self, n: int) -> int:
        """A number from 0 to n - 1, as `sampler.below`."""
        return next(self._words) * n >> 32

    def chance(self, p: float) -> bool:
        """True with probability p, to 2**-32."""
        return next(self._words) < p * 2**32


class Graph(Connector):
    """A model of a graph, whose neurons are pre and post neurons at once."""

    _least: ClassVar[dict[str, int]] = {}  # numbers of neighbours, which are fewer than neurons
    directed: Any

    def __post_init__(self) -> None:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # pyright: ignore[reportArgumentType]
        for name, value in fields.items():
            if name in self._least:
                value = check_integer(name, value, self._least[name])
            elif name in ("p", "prob"):
                value = check_probability(name, value, zero=True)
            else:
                value = check_flag(name, value)
            object.__setattr__(self, name, value)

    @property
    def _by_networkx(self) -> bool:
        return not self.directed

    def __repr__(self) -> str:
        """Class and parameters, and whose edges they are."""
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        shown = [f"{f.name}={v}" for f in fields if (v := getattr(self, f.name)) is not f.default]
        if self._by_networkx:
            shown.append(f"networkx={_version()}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _neurons(self, shape: tuple[int, int]) -> int:
        """How many neurons there are, if the parameters fit them."""
        n_pre, n_post = shape
        if n_pre != n_post:
            raise ValueError(
                f"shape must have as many pre as post neurons for {self}, got {(n_pre, n_post)}"
            )
        for name, least in self._least.items():
            check_integer(name, getattr(self, name), least, n_pre - 1)
        return n_pre

    def edges(self, n_pre: int, n_post: int, seed: int) -> tuple[Any, Any]:
        """The synapses in the order of pre and post neurons; see `Connector.edges`."""
        n = self._neurons((n_pre, n_post))
        if self._by_networkx:
            graph = self._graph(_networkx(self), n, seed)
            pre, post = np.array(list(graph.edges), np.int64).reshape(-1, 2).T
            pairs = np.concatenate([pre * n + post, post * n + pre])
        else:
            targets = self._targets(n, _Draws(seed))
            pre = np.repeat(np.arange(n), [len(of) for of in targets])
            pairs = pre * n + np.fromiter(itertools.chain.from_iterable(targets), np.int64)
        pairs.sort()
        return pairs // n, pairs % n

    def _graph(self, networkx: Any, n: int, seed: int) -> Any:
        """The undirected graph of networkx."""
        raise NotImplementedError

    def _targets(self, n: int, draws: _Draws) -> list[Any]:
        """Post neurons of every neuron, where they are drawn here."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, repr=False)
class SmallWorld(Graph):
    """A ring of neighbours of which some edges are rewired: the small world of Watts and Strogatz.

    At first each of n neurons is joined to the ``num_neighbor // 2`` nearest on either side, so an
    odd number gives one neighbour less. Then each edge from neuron i to a neighbour is, with
    probability `prob`, replaced by one from i to a neuron drawn uniformly among those that i is not
    joined to; if there is none, it stays. There are ``n * (num_neighbor // 2)`` edges.

    Undirected edges, of ``networkx.watts_strogatz_graph``, are two synapses each, one in either
    direction. Of directed ones every neuron has as many in both directions at first. Outgoing edges
    to the neighbours of one side get another target, incoming ones from there another source, each
    on its own. That is the law of BrainPy's ``SmallWorld``, whose directed form raises an error
    (2.8.2).

    Args:
        num_neighbor: neighbours of a neuron on the ring, from 0 to n - 1.
        prob: probability that an edge is rewired, in [0, 1].
        directed: whether the two directions are rewired apart.
        include_self: whether a rewired edge may lead back to its neuron. Undirected, it is one
            synapse then.

    Raises:
        ValueError: a value outside its range, or unequal numbers of pre and post neurons.
        TypeError: a value of another type, or a traced one.
        ImportError: networkx is not installed, which undirected edges without `include_self` need.

    Source: D. J. Watts and S. H. Strogatz 1998, doi:10.1038/30918.

    Example:
        >>> import evops
        >>> S = evops.Synapses(evops.SmallWorld(4, 0.2), 0.5, (100, 100), seed=1)
        >>> S.nnz, bool((S.conn_mat == S.conn_mat.T).all())
        (400, True)
    """

    _least: ClassVar[dict[str, int]] = {"num_neighbor": 0}
    num_neighbor: Integer
    prob: Real
    directed: Flag = False
    include_self: Flag = False

    @property
    def _by_networkx(self) -> bool:
        return not (self.directed or self.include_self)

    def _graph(self, networkx: Any, n: int, seed: int) -> Any:
        return networkx.watts_strogatz_graph(n, self.num_neighbor, self.prob, seed=seed)

    def _targets(self, n: int, draws: _Draws) -> list[Any]:
        sides = range(1, self.num_neighbor // 2 + 1)
        out: list[set[int]] = [{(i + d * k) % n for k in sides for d in (1, -1)} for i in range(n)]
        into = [set(of) for of in out] if self.directed else out
        # Whose edges are rewired, and what holds the other ends of the same edges.
        ends = [(out, into), (into, out)] if self.directed else [(out, out)]
        for k, i in itertools.product(sides, range(n)):
            old = (i + k) % n
            for own, other in ends:
                if draws.chance(self.prob):
                    new = self._free(own[i], n, i, draws)
                    if new is not None:
                        own[i].remove(old)
                        other[old].remove(i)
                        own[i].add(new)
                        other[new].add(i)
        return out

    def _free(self, taken: set[int], n: int, i: int, draws: _Draws) -> int | None:
        """A neuron, drawn uniformly, that neuron i is not joined to; None where there is none."""
        for _ in range(_TRIES):
            new = draws.below(n)
            if new not in taken and (new != i or self.include_self):
                return new
        free = [j for j in range(n) if j not in taken and (j != i or self.include_self)]
        return free[draws.below(len(free))] if free else None

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """Exactly how many there are; of undirected edges with `include_self` at most."""
        return float(2 * (self.num_neighbor // 2) * self._neurons(shape))


@dataclasses.dataclass(frozen=True, repr=False)
class ScaleFree(Graph):
    """A network that grows by preferential attachment: that of Barabási and Albert.

    It starts with a star of m + 1 neurons. Every further neuron is joined to `m` different ones
    that exist, drawn one after another in proportion to their numbers of edges. So n neurons have
    ``m * (n - m)`` edges, and numbers of edges have a power law with exponent 3.

    Undirected edges, of ``networkx.barabasi_albert_graph``, are two synapses each. Directed ones
    are one synapse each, from the newer to the older neuron, and the newest of the star is its
    centre: the first m neurons have no targets, all others exactly m (``ScaleFreeBA`` of BrainPy).
    Attachment counts edges in both directions.

    Args:
        m: edges of a new neuron, from 1 to n - 1.
        directed: whether synapses lead from newer to older neurons alone.

    Raises:
        ValueError: a value outside its range, or unequal numbers of pre and post neurons.
        TypeError: a value of another type, or a traced one.
        ImportError: networkx is not installed, which undirected edges need.

    Source: A. L. Barabási and R. Albert 1999, doi:10.1126/science.286.5439.509.

    Example:
        >>> import evops
        >>> S = evops.Synapses(evops.ScaleFree(5, directed=True), 0.5, (100, 100), seed=1)
        >>> S.nnz, int(S.out_degree().max())
        (475, 5)
    """

    _least: ClassVar[dict[str, int]] = {"m": 1}
    m: Integer
    directed: Flag = False

    def _graph(self, networkx: Any, n: int, seed: int) -> Any:
        return networkx.barabasi_albert_graph(n, self.m, seed=seed)

    def _targets(self, n: int, draws: _Draws) -> list[Any]:
        return _grown(n, self.m, lambda: self.m, draws)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """Exactly how many there are."""
        return _synapses(self, self.m, self.m, self._neurons(shape))


@dataclasses.dataclass(frozen=True, repr=False)
class DualScaleFree(Graph):
    """A network that grows by two numbers of edges: the dual model of Barabási and Albert.

    It starts with a star of max(m1, m2) + 1 neurons. Every further neuron is joined to `m1` others
    with probability `p` and else to `m2`, drawn as those of `ScaleFree`. Of p = 0 and p = 1 it is
    ``ScaleFree(m2)`` and ``ScaleFree(m1)``.

    Undirected edges, of ``networkx.dual_barabasi_albert_graph``, are two synapses each. Directed
    ones lead from newer to older neurons, as those of `ScaleFree`. BrainPy's ``ScaleFreeBADual``
    differs in the first neuron that joins: it has m1 or m2 edges there, and max(m1, m2) here.

    Args:
        m1: edges of a new neuron with probability `p`, from 1 to n - 1.
        m2: edges of a new neuron else, from 1 to n - 1.
        p: probability of `m1`, in [0, 1].
        directed: whether synapses lead from newer to older neurons alone.

    Raises:
        ValueError: a value outside its range, or unequal numbers of pre and post neurons.
        TypeError: a value of another type, or a traced one.
        ImportError: networkx is not installed, which undirected edges need.

    Source: N. Moshiri 2018, arXiv:1810.10538.

    Example:
        >>> import evops
        >>> rule = evops.DualScaleFree(3, 5, 0.5, directed=True)
        >>> S = evops.Synapses(rule, 0.5, (100, 100), seed=1)
        >>> sorted(set(S.out_degree().tolist()))
        [0, 3, 5]
    """

    _least: ClassVar[dict[str, int]] = {"m1": 1, "m2": 1}
    m1: Integer
    m2: Integer
    p: Real
    directed: Flag = False

    @property
    def _star(self) -> int:
        """Edges of the star at the start: the most of a new neuron."""
        return max(m for m, share in ((self.m1, self.p), (self.m2, 1 - self.p)) if share)

    def _graph(self, networkx: Any, n: int, seed: int) -> Any:
        return networkx.dual_barabasi_albert_graph(n, self.m1, self.m2, self.p, seed=seed)

    def _targets(self, n: int, draws: _Draws) -> list[Any]:
        return _grown(n, self._star, lambda: self.m1 if draws.chance(self.p) else self.m2, draws)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        mean = self.p * self.m1 + (1 - self.p) * self.m2
        return _synapses(self, self._star, mean, self._neurons(shape))


@dataclasses.dataclass(frozen=True, repr=False)
class PowerLawCluster(Graph):
    """A network that grows by preferential attachment and triangles: that of Holme and Kim.

    It starts with m neurons without edges, each of which counts as if it had one. Every further
    neuron draws one that exists in proportion to its number of edges, and is joined to it. Each of
    its further `m` - 1 edges leads, with probability `p`, to a neighbour of the one drawn last, a
    triangle; else, or if it is joined to all neighbours already, to another that is drawn so.

    Undirected edges, of ``networkx.powerlaw_cluster_graph``, are two synapses each. There are at
    most ``m * (n - m)``: networkx may draw a neuron again that a triangle has led to, and an edge
    is lost then. Directed edges lead from newer to older neurons, exactly `m` from each but the
    first m, and triangles follow them: to the targets of the neuron drawn last (``PowerLaw`` of
    BrainPy). Here a neuron is not drawn again.

    Args:
        m: edges of a new neuron, from 1 to n - 1.
        p: probability that an edge after the first closes a triangle, in [0, 1].
        directed: whether synapses lead from newer to older neurons alone.

    Raises:
        ValueError: a value outside its range, or unequal numbers of pre and post neurons.
        TypeError: a value of another type, or a traced one.
        ImportError: networkx is not installed, which undirected edges need.

    Source: P. Holme and B. J. Kim 2002, doi:10.1103/PhysRevE.65.026107.

    Example:
        >>> import evops
        >>> rule = evops.PowerLawCluster(3, 0.5, directed=True)
        >>> evops.Synapses(rule, 0.5, (100, 100), seed=1).nnz
        291
    """

    _least: ClassVar[dict[str, int]] = {"m": 1}
    m: Integer
    p: Real
    directed: Flag = False

    def _graph(self, networkx: Any, n: int, seed: int) -> Any:
        return networkx.powerlaw_cluster_graph(n, self.m, self.p, seed=seed)

    def _targets(self, n: int, draws: _Draws) -> list[Any]:
        ends, targets = list(range(self.m)), [[] for _ in range(n)]
        for new in range(self.m, n):
            joined: dict[int, None] = {}  # in the order of draws, as a set has none
            last, free = 0, []
            while len(joined) < self.m:
                free.clear()
                if joined and draws.chance(self.p):
                    free = [j for j in targets[last] if j not in joined]
                if free:
                    joined[free[draws.below(len(free))]] = None
                else:
                    last = _other(ends, joined, draws)
                    joined[last] = None
            targets[new] = list(joined)
            ends += [*joined, *[new] * self.m]
        return targets

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """Exactly how many directed edges there are; of undirected ones at most."""
        return _synapses(self, self.m, self.m, self._neurons(shape))


def _grown(n: int, star: int, degree: Callable[[], int], draws: _Draws) -> list[Any]:
    """Targets in a network grown by preferential attachment, from a star of so many edges."""
    targets: list[Any] = [range(0)] * star + [range(star)]
    ends = [*range(star), *[star] * star]  # every neuron once for each of its edges
    for new in range(star + 1, n):
        joined: dict[int, None] = {}
        for _ in range(degree()):
            joined[_other(ends, joined, draws)] = None
        targets.append(joined)
        ends += [*joined, *[new] * len(joined)]
    return targets


def _other(ends: list[int], joined: dict[int, None], draws: _Draws) -> int:
    """A neuron in proportion to its edges, but none of those that are joined."""
    while True:
        found = ends[draws.below(len(ends))]
        if found not in joined:
            return found


def _synapses(rule: Any, star: int, mean: int | float, n: int) -> float:
    """Synapses of n neurons, of which all after the star have so many edges on average."""
    return float(star + (n - star - 1) * mean) * (1 if rule.directed else 2)


def _version() -> str:
    """The version of networkx, of which the edges of a seed are."""
    try:
        return metadata.version("networkx")
    except metadata.PackageNotFoundError:
        return "missing"


def _networkx(rule: Graph) -> Any:
    try:
        import networkx
    except ImportError as error:
        raise ImportError(
            f"{rule} needs networkx: pip install 'jax-evops[graphs]'", name="networkx"
        ) from error
    return networkx
