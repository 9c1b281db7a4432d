"""The native library: found, checked and registered with XLA on first use."""

import ctypes
import dataclasses
import functools
import os
import platform
import sys
import warnings
from importlib import metadata
from typing import Any

import jax
import numpy as np
from jax.export import DisabledSafetyCheck

from evops import installed
from evops.engine.compat import ffi
from evops.errors import BackendError, EvopsBackendWarning, check_choice

TARGETS = (
    "evops_scatter",
    "evops_gather",
    "evops_push",
    "evops_pop",
    "evops_edges",
    "evops_indptr",
    "evops_stored_scatter",
    "evops_stored_gather",
    "evops_stored_columns",
    "evops_stored_outer",
    "evops_stored_push",
    "evops_spiked_state",
    "evops_list_spikes",
    "evops_drawn",
    "evops_custom",
)
GPU_TARGETS = (
    "evops_gpu_scatter",
    "evops_gpu_gather",
    "evops_gpu_push",
    "evops_gpu_pop",
    "evops_gpu_stored_scatter",
    "evops_gpu_stored_gather",
    "evops_gpu_custom",
)
BACKENDS = ("native", "jnp")


@dataclasses.dataclass(frozen=True)
class Backend:
    """Whether a backend can be used here.

    Attributes:
        name: "native" or "jnp".
        available: whether it can be used.
        detail: what it is, or why it is not available.
    """

    name: str
    available: bool
    detail: str

    def __str__(self) -> str:
        """Name, availability and detail in one line."""
        return f"{self.name}: {'available' if self.available else 'not available'} ({self.detail})"


# Cached: a process registers its targets once.
@functools.cache
def _library() -> tuple[ctypes.CDLL | None, str, BaseException | None]:
    """The loaded library or None, what it is or why it is missing, and the cause.

    The cause is a BackendError where the user asked for a level that is not there. Then nothing
    falls back to jnp in silence.
    """
    path, reason = installed.FOLDER / installed.LIBRARY, installed.FOLDER / installed.REASON
    try:
        if not path.exists():
            return None, reason.read_text().strip(), None
        # NOW: a library that does not fit fails here, where it can be reported, and not in a call.
        library = ctypes.CDLL(str(path), mode=os.RTLD_LOCAL | os.RTLD_NOW)
        library.evops_version.restype = library.evops_level.restype = ctypes.c_char_p
        library.evops_levels.restype = ctypes.c_char_p
        # An update that was cut short may leave an old library beside new Python files.
        built_for, package = library.evops_version().decode(), metadata.version("jax-evops")
        if built_for != package:
            return None, f"library {built_for} beside package {package}: install again", None
        # Before handlers are registered: all of them run the kernels of the one active level.
        level = os.environ.get("EVOPS_ISA")
        if level and library.evops_select(os.fsencode(level)):
            there = ", ".join(library.evops_levels().decode().split())
            asked = level.encode("ascii", "backslashreplace").decode()
            detail = f"EVOPS_ISA={asked} is not a level of this processor; it has {there}"
            return None, detail, BackendError(detail)
        for target in TARGETS:
            ffi.register_ffi_target(target, ffi.pycapsule(getattr(library, target)), platform="cpu")
        gpu = hasattr(library, "evops_gpu_kernel")  # a library for developers may have none
        # jax keeps targets until a GPU client exists, so this starts no GPU. The first
        # stage loads the kernels before XLA may record a graph, in which loading is not allowed.
        for target in GPU_TARGETS if gpu else ():
            stages = {"initialize": f"{target}_load", "execute": target}
            capsules = {k: ffi.pycapsule(getattr(library, v)) for k, v in stages.items()}
            ffi.register_ffi_target(target, capsules, platform="CUDA")
    except (OSError, AttributeError, metadata.PackageNotFoundError) as error:
        return None, f"the library does not load: {error}", error
    kinds = "CUDA, and for CPU" if gpu else "CPU"
    return library, f"Taichi kernels for {kinds}: {library.evops_level().decode()}", None


def loaded() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        BackendError: there is none.
    """
    loaded, detail, cause = _library()
    if loaded is None:
        raise BackendError(f"the native kernels are not available: {detail}") from cause
    return loaded


def count_rows(key: np.ndarray, total: int, n_pre: int) -> np.ndarray:
    """Running numbers of the synapses of counted rows, (n_pre + 1,) uint32, for a known key."""
    key = np.ascontiguousarray(key, np.uint32)
    found = np.empty(n_pre + 1, np.uint32)
    words = ctypes.POINTER(ctypes.c_uint32)
    arguments = key.ctypes.data_as(words), ctypes.c_int64(total), ctypes.c_int64(n_pre)
    status = loaded().evops_count_rows(*arguments, found.ctypes.data_as(words))
    if status == 2:
        raise MemoryError(f"no memory to count {total} synapses")
    if status or key.shape != (2,):
        raise ValueError(f"counts of {total} synapses in {n_pre} rows are out of range")
    return found


def levels() -> list[str]:
    """Instruction-set levels that the library has and this processor supports, the best last.

    Empty without a library.
    """
    library = _library()[0]
    return library.evops_levels().decode().split() if library else []


def backends() -> dict[str, Backend]:
    """The backends by name: whether each is available here, and why not.

    ``native`` runs the compiled kernels. ``jnp`` is plain JAX, complete, and runs on every
    platform. The environment variable ``EVOPS_BACKEND`` or an operator's ``backend=`` chooses one.

    Example:
        >>> import evops
        >>> evops.backends()["jnp"].available
        True
    """
    library, detail, _ = _library()
    return {
        "native": Backend("native", library is not None, detail),
        "jnp": Backend("jnp", True, f"jax {jax.__version__}, every platform"),
    }


def export_checks() -> list[DisabledSafetyCheck]:
    """The argument ``disabled_checks`` of ``jax.export.export`` for programs with evops in them.

    jax serialises only custom calls whose names are promised. Those of evops are: a program that is
    exported runs where this version of evops, or a later one, has been imported.

    Example:
        >>> import jax, jax.numpy as jnp, evops
        >>> W = evops.Projection(evops.FixedProbability(0.1), 0.5, shape=(100, 80), seed=42)
        >>> program = jax.jit(lambda x: x @ W)
        >>> export = jax.export.export(program, disabled_checks=evops.export_checks())
        >>> written = export(jax.ShapeDtypeStruct((100,), bool)).serialize()
        >>> jax.export.deserialize(written).call(jnp.ones(100, bool)).shape
        (80,)
    """
    return [DisabledSafetyCheck.custom_call(name) for name in (*TARGETS, *GPU_TARGETS)]


@functools.cache  # once in a process
def _warn_of_fallback(reason: str) -> None:
    """Warn where a processor that has kernels does without them: results are alike, times not."""
    if sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"):
        warnings.warn(
            f"evops runs as plain JAX here, and much slower than its native kernels: {reason}. "
            "EVOPS_BACKEND=jnp chooses this without a warning",
            EvopsBackendWarning,
            stacklevel=4,
        )


def choose(backend: Any) -> str:
    """The backend to use: by argument, else by environment, else the fastest that is available.

    Args:
        backend: "native", "jnp" or None, as a user gave it.

    Raises:
        ValueError: there is no backend of that name.
        BackendError: it is not available, or EVOPS_ISA is no level of this processor.
    """
    source, name = "backend", backend
    if name is None:
        source, name = "EVOPS_BACKEND", os.environ.get("EVOPS_BACKEND") or None
    if name is None:
        loaded, detail, cause = _library()
        if isinstance(cause, BackendError):
            raise BackendError(f"{detail}; backend='jnp' needs none")
        if loaded is None:
            _warn_of_fallback(detail)
            return "jnp"
        return "native"
    if check_choice(source, name, BACKENDS) == "native":
        library, detail, cause = _library()
        if library is None:
            raise BackendError(f"{source}={name} is not available: {detail}") from cause
    return name
