"""evops: products of spikes with random synaptic matrices that are never stored, for JAX."""

from importlib import metadata as _metadata

from evops.areas import MultiAreaProjection
from evops.csr import CSR
from evops.delays import DelayBuffer
from evops.engine.bridge import Backend, backends
from evops.errors import BackendError, DataError, EvopsError
from evops.published import (
    event_mv_prob_homo,
    multi_area_event_mv_prob_homo_E,
    multi_area_event_mv_prob_homo_I,
)

__version__ = _metadata.version("jax-evops")

__all__ = [
    "CSR",
    "Backend",
    "BackendError",
    "DataError",
    "DelayBuffer",
    "EvopsError",
    "MultiAreaProjection",
    "backends",
    "event_mv_prob_homo",
    "multi_area_event_mv_prob_homo_E",
    "multi_area_event_mv_prob_homo_I",
]
