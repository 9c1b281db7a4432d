"""Cells of Jaxley with synapses of evops: at most one from a cell to another, none twice."""

import copy

import jaxley as jx
import numpy as np
from jaxley.channels import HH
from jaxley.connect import connect, connectivity_matrix_connect, sparse_connect
from jaxley.synapses import IonotropicSynapse

import evops

n = 12
rule = evops.FixedProbability(0.3, autapses=False)
W = evops.Projection(rule, evops.Normal(2e-4, 5e-5, low=0), (n, n), seed=42)  # µS
edges = W.edges().numpy()


net = jx.Network([jx.Cell() for _ in range(n)])
net.insert(HH())
dense, loose = copy.deepcopy(net), copy.deepcopy(net)


def voltages(net):
    net.set("IonotropicSynapse_gS", edges.weight)
    current = jx.step_current(1.0, 2.0, 0.01, 0.025, 20.0)  # ms, ms, nA, ms, ms
    for cell in range(4):
        net.cell(cell).branch(0).comp(0).stimulate(current, verbose=False)
    net.cell("all").branch(0).comp(0).record(verbose=False)
    return np.asarray(jx.integrate(net))


soma = net.cell("all").branch(0).comp(0).nodes.index.to_numpy()  # of each cell
pre, post = (net.select(nodes=soma[cells]) for cells in (edges.pre, edges.post))
connect(pre, post, IonotropicSynapse())
v = voltages(net)

matrix = np.asarray(W.todense()) > 0
connectivity_matrix_connect(dense.cell("all"), dense.cell("all"), IonotropicSynapse(), matrix)
np.random.seed(0)
sparse_connect(loose.cell("all"), loose.cell("all"), IonotropicSynapse(), p=0.3)
repeats = [int(x.edges[["pre_index", "post_index"]].duplicated().sum()) for x in (net, loose)]
print(f"{len(net.edges)} synapses, {(v.max(1) > 0).sum()} cells fire; pairs repeated: {repeats}")

np.testing.assert_allclose(v, voltages(dense), atol=1e-3)
assert repeats[0] == 0 < repeats[1]
