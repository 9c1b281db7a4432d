import collections
import os
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import jaxlib
import numpy as np
import pytest

import evops
from unchecked import raises, unchecked

# Children import the package that is tested, not the checkout's folder of the same name.
os.environ["PYTHONSAFEPATH"] = "1"
os.environ["MPLBACKEND"] = "Agg"  # pictures need no display
# Nothing in the package may lean on silent promotion of dtypes or ranks.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Programs over several devices need some.
jax.config.update("jax_num_cpu_devices", 2)
# A GPU would multiply the matrices that results are compared with in fewer bits.
jax.config.update("jax_default_matmul_precision", "highest")

GPU_ON_CPU = Path(__file__).with_name("gpu_on_cpu")
sys.path.insert(0, str(GPU_ON_CPU))

# test_gpu.py runs tests again, with the GPU's kernels
if BUILT := os.environ.get("EVOPS_GPU_ON_CPU"):
    from route import route

    route(Path(BUILT))

pytest.raises = raises


# A build for developers has no GPU code (README of the tests): what needs it is left out, in one line.
HAS_GPU_CODE = "CUDA" in evops.backends()["native"].detail
if os.environ.get("EVOPS_REQUIRE_NATIVE") and not HAS_GPU_CODE:
    raise pytest.UsageError(f"the library is not whole: {evops.backends()['native']}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Of thin tests only every n-th is quick; tests of GPU code need a library that has some.

    The first that is quick follows from the name of the test, so that all tests together have all
    backends, types and directions.
    """
    cases = collections.defaultdict(list)
    for item in items:
        if item.get_closest_marker("thin"):
            cases[item.path, item.originalname].append(item)
    for (_, name), of_test in cases.items():
        (every,) = of_test[0].get_closest_marker("thin").args
        first = zlib.crc32(name.encode()) % min(every, len(of_test))
        for k, item in enumerate(of_test):
            if (k - first) % every:
                item.add_marker(pytest.mark.slow)
    if HAS_GPU_CODE:
        return
    out = [i for i in items if i.get_closest_marker("gpu_code") or "driver" in i.fixturenames]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in set(out)]


def pytest_terminal_summary(terminalreporter):
    """Say so."""
    if not HAS_GPU_CODE:
        terminalreporter.write_line("tests of GPU code were left out: this library has none")


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory):
    """Where this run keeps users' compiled kernels, shared by the processes of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    os.environ["EVOPS_CACHE_DIR"] = str(folder / "kernels")
    return folder / "kernels"


@pytest.fixture(scope="module", autouse=True)
def executables():
    """What a module had compiled goes with it.

    Linux lets a process map 65,530 pieces of memory, XLA maps several for each executable that JAX
    keeps, and it aborts when it gets no more.
    """
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def figures():
    """No picture outlives its test."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


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
def bad_input():
    """For tests that meet errors outside of `pytest.raises`."""
    with unchecked():
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20180418)


@pytest.fixture(scope="session")
def users_gpu(tmp_path_factory):
    """Where what runs users' GPU kernels on the CPU is built; nothing but that."""
    out = tmp_path_factory.mktemp("custom_gpu_on_cpu")
    include = Path(jaxlib.__file__).parent / "include"
    command = [sys.executable, GPU_ON_CPU / "build.py", out, include, "custom"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


class Card:
    """In the place of the driver of the tests where there is a GPU: it runs what it is given."""

    def emulated_limit(self, most):
        """Launches get their blocks."""

    def emulated_clear(self):
        """Nothing is counted."""


@pytest.fixture
def driver(request):
    """Users' GPU kernels run; what the driver is asked for. A launch has few blocks, to be quick."""
    if jax.default_backend() == "gpu":
        yield Card()
        return
    from route import users_kernels

    with users_kernels(request.getfixturevalue("users_gpu")) as driver:
        driver.emulated_limit(4)
        driver.emulated_clear()
        yield driver
