"""evops: products of spikes with random synaptic matrices that are never stored, for JAX."""

from importlib import metadata as _metadata

from evops import installed as _installed  # noqa: F401  before anything that loads jax
from evops import masks  # noqa: F401
from evops.areas import MultiAreaProjection
from evops.braintaichi.operators import (
    event_mv_prob_homo,
    event_mv_prob_normal,
    event_mv_prob_uniform,
    get_homo_weight_matrix,
    get_normal_weight_matrix,
    get_uniform_weight_matrix,
    multi_area_event_mv_prob_homo_E,
    multi_area_event_mv_prob_homo_I,
    mv_prob_homo,
    mv_prob_normal,
    mv_prob_uniform,
)
from evops.circuit import Circuit
from evops.connectivity.block_laws import BlockWeight, Clusters
from evops.connectivity.connectors import Connector
from evops.connectivity.counted_rules import FixedInDegree, FixedOutDegree, FixedTotalNumber
from evops.connectivity.distance_laws import DistanceDelay, DistanceWeight
from evops.connectivity.gaussian_weights import DifferenceOfGaussians, GaussianWeight
from evops.connectivity.graphs import DualScaleFree, PowerLawCluster, ScaleFree, SmallWorld
from evops.connectivity.grids import Neighbours
from evops.connectivity.laws import Constant, Law, Uniform
from evops.connectivity.normal_laws import Clipped, Normal
from evops.connectivity.pair_rules import (
    BlockProbability,
    NoMutualProbability,
    SymmetricProbability,
)
from evops.connectivity.poisson_rules import PoissonMultiplicity
from evops.connectivity.rule import Rule
from evops.connectivity.rules import (
    AllToAll,
    FixedProbability,
    LfsrGaps,
    OneToOne,
    realised_probability,
)
from evops.connectivity.sampler import SAMPLER_VERSION
from evops.connectivity.scaled_law import Scaled
from evops.conv2d import Conv2D
from evops.csc import CSC
from evops.csr import CSR
from evops.custom_op import XLACustomOp
from evops.delays import DelayBuffer
from evops.edges import Edges
from evops.engine.library import Backend, backends, export_checks
from evops.errors import (
    BackendError,
    DataError,
    EvopsBackendWarning,
    EvopsCacheWarning,
    EvopsConnectivityWarning,
    EvopsError,
    KernelError,
)
from evops.operators import (
    post2syn,
    pre2post_max,
    pre2post_mean,
    pre2post_min,
    pre2post_prod,
    pre2post_sum,
    pre2syn,
    syn2post,
    syn2post_max,
    syn2post_mean,
    syn2post_min,
    syn2post_prod,
    syn2post_softmax,
    syn2post_sum,
)
from evops.poisson_input import PoissonInput
from evops.populations import Populations
from evops.projection import Projection
from evops.space.kernels import (
    Box,
    Exponential,
    FunctionKernel,
    Gamma,
    Gaussian,
    Kernel,
    Table,
)
from evops.space.positions import Grid, Positions
from evops.spike_list import SpikeList
from evops.synapses import Synapses
from evops.weighted import WeightedProjection

backends()  # programs that jax.export wrote find their handlers; no backend of jax starts

__version__ = _metadata.version("jax-evops")

__all__ = [
    "CSC",
    "CSR",
    "SAMPLER_VERSION",
    "AllToAll",
    "Backend",
    "BackendError",
    "BlockProbability",
    "BlockWeight",
    "Box",
    "Circuit",
    "Clipped",
    "Clusters",
    "Connector",
    "Constant",
    "Conv2D",
    "DataError",
    "DelayBuffer",
    "DifferenceOfGaussians",
    "DistanceDelay",
    "DistanceWeight",
    "DualScaleFree",
    "Edges",
    "EvopsBackendWarning",
    "EvopsCacheWarning",
    "EvopsConnectivityWarning",
    "EvopsError",
    "Exponential",
    "FixedInDegree",
    "FixedOutDegree",
    "FixedProbability",
    "FixedTotalNumber",
    "FunctionKernel",
    "Gamma",
    "Gaussian",
    "GaussianWeight",
    "Grid",
    "Kernel",
    "KernelError",
    "Law",
    "LfsrGaps",
    "MultiAreaProjection",
    "Neighbours",
    "NoMutualProbability",
    "Normal",
    "OneToOne",
    "PoissonInput",
    "PoissonMultiplicity",
    "Populations",
    "Positions",
    "PowerLawCluster",
    "Projection",
    "Rule",
    "ScaleFree",
    "Scaled",
    "SmallWorld",
    "SpikeList",
    "SymmetricProbability",
    "Synapses",
    "Table",
    "Uniform",
    "WeightedProjection",
    "XLACustomOp",
    "backends",
    "event_mv_prob_homo",
    "event_mv_prob_normal",
    "event_mv_prob_uniform",
    "export_checks",
    "get_homo_weight_matrix",
    "get_normal_weight_matrix",
    "get_uniform_weight_matrix",
    "multi_area_event_mv_prob_homo_E",
    "multi_area_event_mv_prob_homo_I",
    "mv_prob_homo",
    "mv_prob_normal",
    "mv_prob_uniform",
    "post2syn",
    "pre2post_max",
    "pre2post_mean",
    "pre2post_min",
    "pre2post_prod",
    "pre2post_sum",
    "pre2syn",
    "realised_probability",
    "syn2post",
    "syn2post_max",
    "syn2post_mean",
    "syn2post_min",
    "syn2post_prod",
    "syn2post_softmax",
    "syn2post_sum",
]
