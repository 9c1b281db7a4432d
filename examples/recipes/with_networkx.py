"""A drawn matrix as a graph of NetworkX, with weights and delays, and the graph as a matrix."""

import networkx as nx
import numpy as np

import evops

W = evops.Projection(
    evops.FixedProbability(0.02),
    evops.Normal(0.5, 0.1),
    shape=(300, 300),
    seed=42,
    delay=evops.Uniform(5, 20),
)

# tolist() gives Python numbers, which JSON and GraphML can write.
pre, post, weight, delay = (column.tolist() for column in W.edges().numpy())
graph = nx.MultiDiGraph()  # a DiGraph would keep one of the synapses that share a pair
graph.add_nodes_from(range(300))
graph.add_edges_from(
    (i, j, {"weight": w, "delay": d}) for i, j, w, d in zip(pre, post, weight, delay, strict=True)
)
steps = nx.single_source_dijkstra_path_length(graph, 0, weight="delay")

dense = np.asarray(W.todense())
print(f"{graph}; neuron 0 reaches {len(steps)} neurons in {max(steps.values())} steps")
np.testing.assert_array_equal(nx.to_numpy_array(graph), dense)
again = evops.CSR.from_networkx(graph, delay="delay")
np.testing.assert_array_equal(again.todense(), dense)
np.testing.assert_array_equal(again.edges().delay, delay)
