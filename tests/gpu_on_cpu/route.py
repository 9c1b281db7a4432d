"""Sends the primitives of this process, on the CPU, through their GPU lowerings, handlers and kernels."""

import contextlib
import ctypes
import os
from pathlib import Path

import jax
from jax.interpreters import mlir

from evops.compiler import native
from evops.engine import custom, library, ops, ring, stored

PRIMITIVES = (ops.product_p, ring.push_p, ring.pop_p, stored.stored_p)


def route(built: Path) -> ctypes.CDLL:
    """Use what `build.py` wrote; returns the driver, which says what it was asked for."""
    load(built, [target for target in library.GPU_TARGETS if target != "evops_gpu_custom"])
    for primitive in PRIMITIVES:
        to_gpu(primitive)
    return driver_of(built)


def load(built: Path, targets) -> ctypes.CDLL:
    """The GPU's handlers, for XLA's CPU client."""
    os.environ["EVOPS_CUDA_DRIVER"] = str(built / "driver.so")
    library.choose("native")
    handlers = ctypes.CDLL(str(built / "handlers.so"), mode=os.RTLD_LOCAL | os.RTLD_NOW)
    for target in targets:
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(handlers, target)), "cpu")
    return handlers


def to_gpu(primitive) -> None:
    """Lower a primitive on the CPU as on a GPU."""
    rule = mlir._platform_specific_lowerings["cuda"][primitive]
    mlir.register_lowering(primitive, getattr(rule, "rule", rule), platform="cpu")


@contextlib.contextmanager
def users_kernels(built: Path):
    """Within, users' kernels for GPUs are compiled by user_kernel.py and run on the CPU."""
    handlers = load(built, ["evops_gpu_custom"])
    lib, rules = library.loaded(), mlir._platform_specific_lowerings["cpu"]
    before = rules[custom.custom_p], native._EMIT, lib.evops_gpu_register_custom
    kept = os.environ.get("EVOPS_CACHE_DIR")
    # a text names a library of this folder: other processes have others
    os.environ["EVOPS_CACHE_DIR"] = str(built / "kernels")
    to_gpu(custom.custom_p)
    native._EMIT = Path(__file__).with_name("user_kernel.py")
    native._emit_digest.cache_clear()
    lib.evops_gpu_register_custom = handlers.evops_gpu_register_custom
    os.environ["EVOPS_GPU_ON_CPU_OUT"] = str(built)
    try:
        yield driver_of(built)
    finally:
        rules[custom.custom_p], native._EMIT, lib.evops_gpu_register_custom = before
        os.environ["EVOPS_CACHE_DIR"] = kept or ""
        native._emit_digest.cache_clear()


def driver_of(built: Path) -> ctypes.CDLL:
    driver = ctypes.CDLL(str(built / "driver.so"))
    driver.emulated_calls.restype = ctypes.c_char_p
    driver.emulated_barriers.restype = ctypes.c_uint64
    return driver
