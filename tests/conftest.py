import os
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import evops

# Nothing in the package may lean on silent promotion of dtypes or ranks.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

if BUILT := os.environ.get(
    "EVOPS_GPU_ON_CPU"
):  # test_gpu.py runs tests again, with the GPU's kernels
    sys.path.insert(0, str(Path(__file__).with_name("gpu_on_cpu")))
    from route import route

    route(Path(BUILT))


@pytest.fixture(params=["native", "jnp"])
def backend(request):
    """Every backend; the native library must be there, or the test fails."""
    if request.param == "native":
        assert evops.backends()["native"].available, evops.backends()["native"].detail
    return request.param


@pytest.fixture(params=["one", "each"])
def kind(request):
    """One weight for all synapses, or one for each."""
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20180418)
