"""The GPU's kernels without a GPU: their PTX is assembled, and their own LLVM IR runs on the CPU.

A driver of our own (gpu_on_cpu/driver.cc) stands in for NVIDIA's, and tests of values, transforms and delays
are run again in a process whose primitives go through the GPU's lowerings, handlers and kernels.
"""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jaxlib
import pytest

from evops import installed

pytestmark = pytest.mark.gpu_code
emulated = pytest.mark.slow  # the GPU on the CPU takes a minute to build

HERE = Path(__file__).resolve().parent
CHILD = {"EVOPS_BACKEND": "native", "JAX_PLATFORMS": "cpu"}
# tests run in processes of their own, which leave room on the card; all failures are of interest, in short
CARD = {"JAX_PLATFORMS": "cuda,cpu", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
ON_CARD = "--tb=short", "-n", "4", "--dist", "load"


def kernels():
    library = ctypes.CDLL(str(installed.FOLDER / installed.LIBRARY))
    library.evops_gpu_kernel.restype = ctypes.c_char_p
    library.evops_gpu_kernel.argtypes = [ctypes.c_size_t, ctypes.POINTER(ctypes.c_char_p)]
    found, text = {}, ctypes.c_char_p()
    while name := library.evops_gpu_kernel(len(found), text):
        found[name.decode()] = text.value.decode()
    return found


def assembler() -> str:
    """NVIDIA's ptxas: of the system, or of the package in the test extra."""
    if system := shutil.which("ptxas"):
        return system
    files = metadata.files("nvidia-cuda-nvcc-cu12") or []
    [path] = [f.locate() for f in files if f.name == "ptxas"]
    return str(path)


# Bytes that some kernels spill, with the registers that two blocks of them leave each other.
SPILLED = {
    ("product_scatter_quantiles_f32_f32", "sm_80"): 8,
    ("product_scatter_quantiles_f64_f64", "sm_80"): 20,
}


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_every_kernel_assembles_without_spills(architecture, tmp_path):
    texts = kernels()
    assert len(texts) > 50
    for name, text in texts.items():
        assert f".entry evops_gpu_{name}(" in text and ".extern" not in text
        # sums that threads share are added up in one operation, in memory and in what a block shares
        if name.startswith(("product_scatter", "push", "stored_scatter")):
            assert re.search(r"(atom|red)(\.relaxed\.gpu)?\.global\.add", text), name
            assert not re.search(r"st\.(volatile\.)?global", text), name
        if name.startswith("product_scatter") and "lfsr" not in name and "grid" not in name:
            assert "atom.shared.add" in text and text.count("bar.sync") == 2, name
            assert text.count("st.shared") == 1, name  # what clears it
        # threads of a block, as the handlers launch them
        assert f".maxntid {512 if name.startswith('product_scatter') else 128}," in text
        path = tmp_path / f"{name}.ptx"
        path.write_text(text)
        command = [
            assembler(),
            f"-arch={architecture}",
            "-v",
            "-o",
            path.with_suffix(".cubin"),
            path,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        spilled = re.search(r"\b(\d+) bytes spill stores", done.stderr)
        assert spilled and int(spilled[1]) <= SPILLED.get((name, architecture), 0), (
            f"{name}: {done.stderr}"
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("gpu_on_cpu")
    include = Path(jaxlib.__file__).parent / "include"
    command = [sys.executable, "-W", "ignore", HERE / "gpu_on_cpu/build.py", out, include]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"}
    )
    assert done.returncode == 0, done.stderr
    return out


# What runs again: values against the recorded ones and against jnp, delays, areas, stored matrices.
AGAIN = {
    "test_golden.py": "native and not instruction_set",
    "test_values.py": "not jnp or bits_equal",
    "test_areas.py": "native",
    "test_delays.py": "native",
    "test_circuit.py": "native and not derivatives and not threads",
    "test_csr.py": "native",
    "test_distances.py": "native and (golden or circuits)",
    "test_grids.py": "",
    "test_sums.py": "",
    "test_projection_transforms.py": "native and not export",
}


# Values of users' kernels, which have tests of their own without a card.
USERS = {
    "test_custom_gpu.py": "notebook or many_arrays or dtypes or empty or transforms or atomic_op "
    "or only_the_device",
    "test_custom_in_place.py": "on_a_gpu",
    "test_custom_shared.py": "block or several_loops or barriers_that_count or additions",
}


def run_again(name, *options, marks="not gpu", **environment):
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [*command, "-m", marks, "-k", {**AGAIN, **USERS}[name], HERE / name],
        capture_output=True,
        text=True,
        env={**os.environ, **CHILD, **environment},
        cwd=HERE.parent,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"^\d+ passed", done.stdout, re.M), done.stdout[-500:]


@emulated
@pytest.mark.parametrize("name", sorted({*AGAIN} - {"test_sums.py"}))
def test_gives_the_values_of_the_cpu(built, name):
    run_again(name, "-x", EVOPS_GPU_ON_CPU=str(built))


@emulated
@pytest.mark.parametrize("shared_from", ["0", "inf"])
def test_sums_through_shared_memory_and_past_it(built, shared_from):
    environment = {"EVOPS_GPU_ON_CPU": str(built), "EVOPS_GPU_SHARED_FROM": shared_from}
    run_again("test_sums.py", "-x", marks="not gpu and not slow", **environment)


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*AGAIN, *USERS])
def test_gives_the_values_of_the_cpu_on_a_card(name):
    if name in USERS:
        pytest.importorskip("taichi")
    run_again(name, *ON_CARD, **CARD)


@pytest.mark.gpu
@pytest.mark.parametrize("shared_from", ["0", "inf"])
def test_sums_through_shared_memory_and_past_it_on_a_card(shared_from):
    run_again("test_sums.py", *ON_CARD, **CARD, EVOPS_GPU_SHARED_FROM=shared_from)


def run_on_stand_in(built, code, **environment):
    program = f"""
import os, sys
sys.path.insert(0, {str(HERE / "gpu_on_cpu")!r})
from pathlib import Path
from route import route
driver = route(Path({str(built)!r}))
import jax, jax.numpy as jnp, numpy as np, evops
W = evops.Projection(evops.FixedProbability(0.1), 0.5, (300, 5000), seed=3)
x = jnp.arange(300) % 50 == 0
{code}
"""
    environment = {**os.environ, **CHILD, **environment}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )


@emulated
def test_kernels_load_once_and_a_call_is_launches_only(built):
    done = run_on_stand_in(
        built,
        """
call = jax.jit(lambda W, x: x @ W)
for _ in range(3):
    y = call(W, x).block_until_ready()
    print(",".join(driver.emulated_calls().decode().split()))
    driver.emulated_clear()
""",
    )
    assert done.returncode == 0, done.stderr
    loads = "cuLibraryLoadData,cuLibraryGetKernel,"
    first = "cuMemsetD32Async," + ",".join([loads + "cuLaunchKernel"] * 3)
    again = "cuMemsetD32Async,cuLaunchKernel,cuLaunchKernel,cuLaunchKernel"
    assert done.stdout.split() == [first, again, again]


@emulated
def test_sums_go_through_shared_memory_where_a_block_expects_two_for_each_target(built):
    """A block of threads meets twice then; 20,000 targets of p = 0.1 make three slabs."""
    done = run_on_stand_in(
        built,
        """
W = evops.Projection(evops.FixedProbability(0.1), 1, (300, 20_000), seed=3)
sparse = evops.Projection(evops.FixedProbability(0.02), 1, (300, 20_000), seed=3)
dense = {W: np.asarray(W.todense()) for W in (W, sparse)}
call = jax.jit(lambda W, x: x @ W)
def blocks(multiprocessors, spikes, most=2**31, W=W):
    driver.emulated_multiprocessors(multiprocessors)
    driver.emulated_limit(most)
    x = jnp.arange(W.shape[0]) < spikes
    driver.emulated_clear()
    y = call(W, x).block_until_ready()
    assert np.array_equal(y, np.asarray(x, np.int32) @ dense[W])
    return driver.emulated_barriers() // 2
print(blocks(1, 0), blocks(1, 19), blocks(1, 20), blocks(1, 20, most=2))
print(blocks(8, 99), blocks(8, 100), blocks(8, 300, most=4))  # five shares of the spikes
print(blocks(1, 300, W=sparse))  # blocks of 16,384 targets do not fit
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == "0 0 3 3 0 15 15 0".split()


@emulated
def test_shared_from_is_a_number(built):
    done = run_on_stand_in(
        built,
        """
for name in ("no", "-1", "nan", "2 "):
    os.environ["EVOPS_GPU_SHARED_FROM"] = name
    try:
        print("none", jax.block_until_ready(x @ W).sum())
    except Exception as error:
        print(error)
""",
    )
    assert done.returncode == 0, done.stderr
    for name in ("no", "-1", "nan", "2 "):
        wanted = f"EVOPS_GPU_SHARED_FROM is '{name}', expected a number from 0 to inf"
        assert wanted in done.stdout, done.stdout


@emulated
@pytest.mark.parametrize(
    "call, code, what",
    [
        ("cuLibraryLoadData", 700, "loading the PTX of compact_u8_i32 failed: CUDA_ERROR_ILLEGAL"),
        ("cuLibraryLoadData", 218, "INVALID_PTX; kernels need a card of compute capability 7.0"),
        (
            "cuLibraryLoadData",
            222,
            "or newer; install or update NVIDIA's driver (CUDA 12 or newer)",
        ),
        ("cuLibraryLoadData", 2, "OUT_OF_MEMORY; JAX takes three quarters of a device's memory"),
        ("cuLaunchKernel", 700, "launch of compact_u8_i32 failed: CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("cuMemsetD32Async", 700, "clearing counts failed: CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("cuCtxGetDevice", 700, "asking for the device failed: CUDA_ERROR_ILLEGAL_ADDRESS"),
    ],
)
def test_failures_of_the_driver_are_errors(built, call, code, what):
    done = run_on_stand_in(
        built,
        f"""
driver.emulated_fail({call.encode()!r}, {code})
try:
    jax.block_until_ready(x @ W)
except Exception as error:
    print(error)
driver.emulated_fail(b"", 0)
print(float((x @ W).sum()) == float((x @ W.tocsr()).sum()))
""",
    )
    assert done.returncode == 0, done.stderr
    assert what in done.stdout and done.stdout.endswith("True\n"), done.stdout


@emulated
def test_no_driver_says_what_to_do(built):
    assert_refused(built, "libno-such-driver.so", "the NVIDIA driver does not open")


@emulated
def test_too_old_a_driver_says_what_to_do(built, tmp_path):
    """One from before CUDA 12 knows contexts and launches, and no libraries."""
    old = tmp_path / "libold.so"
    source = "".join(
        f"int {f}(void) {{ return 0; }}\n" for f in ("cuGetErrorName", "cuLaunchKernel")
    )
    source += "int cuDriverGetVersion(int* version) { return *version = 11080, 0; }\n"
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-o", old, "-"]
    subprocess.run(command, input=source.encode(), check=True)
    assert_refused(built, old, "the NVIDIA driver has no cuLibraryLoadData; install or update")


def assert_refused(built, driver, message):
    """An error that says what to do, and the jnp path works."""
    done = run_on_stand_in(
        built,
        f"""
os.environ["EVOPS_CUDA_DRIVER"] = {str(driver)!r}
try:
    jax.block_until_ready(x @ W)
except Exception as error:
    print(error)
again = evops.Projection(W.rule, 0.5, W.shape, seed=3, backend="jnp")
print(np.allclose(x @ again, np.asarray(x) @ np.asarray(again.todense())))
""",
    )
    assert done.returncode == 0, done.stderr
    assert message in done.stdout and "JAX_PLATFORMS=cpu" in done.stdout, done.stdout
    assert done.stdout.endswith("True\n"), done.stdout
