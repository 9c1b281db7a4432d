"""Sends the primitives of this process, on the CPU, through their GPU lowerings, handlers and kernels."""

import ctypes
import os
from pathlib import Path

import jax
from jax.interpreters import mlir

from evops.engine import bridge, ops, stored

PRIMITIVES = (ops.product_p, ops.push_p, ops.pop_p, stored.stored_p)


def route(built: Path) -> ctypes.CDLL:
    """Use what `build.py` wrote; returns the driver, which says what it was asked for."""
    os.environ["EVOPS_CUDA_DRIVER"] = str(built / "driver.so")
    bridge.choose("native")
    handlers = ctypes.CDLL(str(built / "handlers.so"), mode=os.RTLD_LOCAL | os.RTLD_NOW)
    for target in bridge.GPU_TARGETS:
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(handlers, target)), "cpu")
    for primitive in PRIMITIVES:
        rule = mlir._platform_specific_lowerings["cuda"][primitive]
        mlir.register_lowering(primitive, getattr(rule, "rule", rule), platform="cpu")
    driver = ctypes.CDLL(str(built / "driver.so"))
    driver.emulated_calls.restype = ctypes.c_char_p
    return driver
