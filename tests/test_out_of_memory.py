"""Memory that runs out is an error that names the operator, and the next call is right to the bit."""

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

import jaxlib
import numpy as np
import pytest

from evops import installed
from evops.connectivity.format import CountedRows, MatrixSpec

HERE = Path(__file__).parent / "without_xla"
sys.path.insert(0, str(HERE))

import calls  # noqa: E402
import xla  # noqa: E402

INCLUDE = Path(jaxlib.__file__).parent / "include"
LIBRARY = installed.FOLDER / installed.LIBRARY


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recorded calls, and XLA's stand-in with and without the allocator that fails."""
    out = tmp_path_factory.mktemp("without_xla")
    xla.build(out / "xla.so", INCLUDE)
    xla.build(out / "failing.so", INCLUDE, "-DFAILING_ALLOCATOR")
    calls.main(out / "calls.pkl", few=True)
    return out


@pytest.fixture(scope="module")
def library(folder):
    return xla.Library(LIBRARY, folder / "xla.so")


def run(what, folder, standin, **environment):
    command = [sys.executable, "-X", "faulthandler", HERE / "run.py", what, LIBRARY]
    command += [folder / standin, folder / "calls.pkl", "few" if what == "fail" else "evops_"]
    limit = 300 if what == "check" else None  # a caller that waits for busy threads would not end
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=limit
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_every_allocation_of_every_handler_may_fail(folder):
    assert "failures of" in run("fail", folder, "failing.so", LD_PRELOAD=str(folder / "failing.so"))


def test_recorded_calls_are_right_on_any_number_of_threads(folder):
    run("check", folder, "xla.so")


def test_every_handler_is_called(folder):
    from evops.engine.library import TARGETS

    called = {call["target"] for call in calls.load(folder / "calls.pkl").values()}
    assert called == {*TARGETS, *xla.OF_STRUCTS}


def resident():
    """Bytes that the process holds, without what malloc keeps of what it was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("million", [1, 8])
def test_scratch_is_bounded_and_given_back(million, library):
    """Nine threads have sums of their own: 32 or 256 MB, of which at most 64 are kept."""
    n_post, threads = million << 20, 9
    args = [
        np.ones((1, 64), bool), np.ones((1, 1), np.float32), np.ones((1, 2), np.uint32),
        np.zeros((1, 0), np.uint32), np.zeros(0, np.int32),
    ]  # fmt: skip
    spec = MatrixSpec(
        CountedRows(slots=1, low_bits=0, high_count=0, n_post=0), synapses_per_row=1 << 20
    )
    args[3] = np.arange(65, dtype=np.uint32)[None] * 10  # ten synapses each
    attrs = {"per_input": 1, "listed": 0, "spec": spec.pack()}
    call = {"args": args, "outs": [((1, n_post), "float32")], "attrs": attrs}
    library.call("evops_scatter", **call, threads=threads)  # the heap has grown for the threads
    library.free()
    before = resident()
    [sums], _ = library.call("evops_scatter", **call, threads=threads)
    assert sums.sum() == 640
    sums_of_threads = 4 * n_post * (threads - 1)
    kept = library.kept()
    # blocks of 32 MB each, and whatever else is smaller
    assert kept <= 64 << 20 and kept >= min(sums_of_threads, 64 << 20) // 2
    assert resident() - before < kept + sums.nbytes + (16 << 20)
    library.free()
    assert library.kept() == 0 and resident() - before < sums.nbytes + (16 << 20)


LIMITED = """
import resource
import jax, jax.numpy as jnp, numpy as np
import evops

EVOPS = "evops_[a-z_]+: out of memory"
small = evops.Projection(evops.FixedProbability(0.3), evops.Normal(0.5, 0.1), (900, 900), seed=1)
x = jnp.ones(900, jnp.float32)
want = np.asarray(x @ small)
jnp.ones(3).block_until_ready()
used = int(open("/proc/self/statm").read().split()[0]) * 4096
large = evops.Projection(evops.FixedProbability(1e-3), 1.0, (1000, 60_000_000), seed=1)
resource.setrlimit(resource.RLIMIT_AS, (used + (420 << 20),) * 2)
message = ""
try:
    jax.block_until_ready(jnp.ones(1000, bool) @ large)
except Exception as error:
    message = str(error)
assert "evops_scatter: out of memory" in message, message
assert np.asarray(x @ small).tobytes() == want.tobytes()
print("right")
"""


@pytest.mark.thin(3)
@pytest.mark.parametrize("run", range(3))
def test_limited_memory(run):
    """The result, 240 MB, finds memory, and the sums of another thread do not."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True,
        env={**os.environ, "EVOPS_BACKEND": "native", "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "right\n"), done.stderr[-3000:]
