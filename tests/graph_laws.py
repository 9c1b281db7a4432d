"""Laws of directed random graphs on few neurons: the probability of every graph, enumerated."""

import collections
import itertools


def normed(weights):
    """Outcomes in proportion to weights, those without weight left out."""
    total = sum(weights.values())
    return [(item, w / total) for item, w in weights.items() if w]


def successive(weights, k):
    """Each set of k items that are drawn one after another, none twice."""
    for chosen in itertools.permutations(weights, k):
        p, left = 1.0, dict(weights)
        for item in chosen:
            p *= left[item] / sum(left.values())
            del left[item]
        yield chosen, p


def edges_of(graph, node):
    return sum(node in pair for pair in graph)


def grown(n, degrees):
    """Preferential attachment from a star; `degrees` is the law of the edges of a new neuron."""
    star = max(degrees)
    law = {frozenset((star, j) for j in range(star)): 1.0}
    for new in range(star + 1, n):
        more = collections.Counter()
        for (graph, p), (m, share) in itertools.product(law.items(), degrees.items()):
            weights = {j: edges_of(graph, j) for j in range(new)}
            for chosen, q in successive(weights, m):
                more[graph | {(new, j) for j in chosen}] += p * share * q
        law = dict(more)
    return law


def clustered(n, m, triangle):
    """Preferential attachment with triangles along directed edges, from m neurons without edges."""
    law = {frozenset(): 1.0}
    for new in range(m, n):
        more = collections.Counter()
        for graph, p in law.items():
            weights = {j: edges_of(graph, j) + (j < m) for j in range(new)}
            states = {(frozenset(), None): 1.0}
            for _ in range(m):
                states = _joined(states, graph, weights, triangle)
            for (chosen, _), q in states.items():
                more[graph | {(new, j) for j in chosen}] += p * q
        law = dict(more)
    return law


def _joined(states, graph, weights, triangle):
    """One edge more, of every set of those joined and the neuron drawn last."""
    more = collections.Counter()
    for (chosen, last), p in states.items():
        near = {j: 1 for i, j in graph if i == last and j not in chosen}
        for j, q in normed(near):
            more[chosen | {j}, last] += p * q * triangle
        rest = p * (1 - triangle if near else 1)
        for j, q in normed({j: w for j, w in weights.items() if j not in chosen}):
            more[chosen | {j}, j] += rest * q
    return more


def rewired(n, k, p, *, directed, include_self):
    """A ring whose edges are rewired one after another, by distance and then by neuron."""
    law = {frozenset((i, (i + s * d) % n) for i in range(n) for d in range(1, k // 2 + 1) for s in (1, -1)): 1.0}  # fmt: skip
    for d, i, inwards in itertools.product(range(1, k // 2 + 1), range(n), (False, True)):
        if inwards and not directed:
            continue
        more, old = collections.Counter(), (i + d) % n

        def pairs(j, i=i, inwards=inwards):
            return {(i, j), (j, i)} if not directed else {(j, i) if inwards else (i, j)}

        for graph, q in law.items():
            free = [j for j in range(n) if not pairs(j) <= graph and (include_self or j != i)]
            more[graph] += q * (1 - p if free else 1)
            for j in free:
                more[(graph - pairs(old)) | pairs(j)] += q * p / len(free)
        law = dict(more)
    return law
