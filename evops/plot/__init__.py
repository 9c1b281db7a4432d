"""Pictures of connections and activity, by matplotlib: ``pip install "jax-evops[plot]"``.

Every function draws into `ax`, or into a new figure, and returns the axes. Of a large matrix a
sample is drawn, and the title says how large a share it is:

- A matrix of up to 250,000 synapses is read whole. Of a larger one at most 200 pre neurons are
  read, one at random of each of so many equal ranges, and about 250,000 synapses. No other
  synapse is listed; native kernels count them to find the numbers of those that are read.
- Of what is read at most `sample` synapses are shown, drawn at random.

`seed` fixes the sample, so a picture repeats. The gallery shows all of them (docs/gallery.md).
"""

from evops.plot.activity import potential, raster, rate_map, rates
from evops.plot.histograms import degrees, delays
from evops.plot.lines import connections, dots, positions
from evops.plot.neuron import weights
from evops.plot.pairs import distance_matrix, probability_by_distance, probability_matrix

__all__ = [
    "connections",
    "degrees",
    "delays",
    "distance_matrix",
    "dots",
    "positions",
    "potential",
    "probability_by_distance",
    "probability_matrix",
    "raster",
    "rate_map",
    "rates",
    "weights",
]
