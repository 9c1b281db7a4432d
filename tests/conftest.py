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

# test_gpu.py runs tests again, with the GPU's kernels
if BUILT := os.environ.get("EVOPS_GPU_ON_CPU"):
    sys.path.insert(0, str(Path(__file__).with_name("gpu_on_cpu")))
    from route import route

    route(Path(BUILT))


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory):
    """Where this run keeps users' compiled kernels, shared by the processes of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    os.environ["EVOPS_CACHE_DIR"] = str(folder / "kernels")
    return folder / "kernels"


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
