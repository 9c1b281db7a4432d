"""evops: products of spikes with random synaptic matrices that are never stored, for JAX."""

from importlib import metadata as _metadata

from evops.areas import MultiAreaProjection
from evops.connectivity.laws import Constant, Law, Normal, Uniform
from evops.connectivity.rules import (
    AllToAll,
    FixedOutDegree,
    FixedProbability,
    LfsrGaps,
    OneToOne,
    Rule,
)
from evops.connectivity.sampler import SAMPLER_VERSION
from evops.csr import CSR, Edges
from evops.delays import DelayBuffer
from evops.engine.bridge import Backend, backends
from evops.errors import BackendError, DataError, EvopsError
from evops.projection import Projection
from evops.published import (
    event_mv_prob_homo,
    multi_area_event_mv_prob_homo_E,
    multi_area_event_mv_prob_homo_I,
)

__version__ = _metadata.version("jax-evops")

__all__ = [
    "CSR",
    "SAMPLER_VERSION",
    "AllToAll",
    "Backend",
    "BackendError",
    "Constant",
    "DataError",
    "DelayBuffer",
    "Edges",
    "EvopsError",
    "FixedOutDegree",
    "FixedProbability",
    "Law",
    "LfsrGaps",
    "MultiAreaProjection",
    "Normal",
    "OneToOne",
    "Projection",
    "Rule",
    "Uniform",
    "backends",
    "event_mv_prob_homo",
    "multi_area_event_mv_prob_homo_E",
    "multi_area_event_mv_prob_homo_I",
]
