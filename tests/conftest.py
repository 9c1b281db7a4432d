import numpy as np
import pytest

import evops


@pytest.fixture(params=["native", "jnp"])
def backend(request):
    """Every backend; the native library must be there, or the test fails."""
    if request.param == "native":
        assert evops.backends()["native"].available, evops.backends()["native"].detail
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20180418)
