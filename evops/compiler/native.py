"""Compiles a kernel in another process, loads it, and registers it with the native library.

XLA's call carries only a key. The library finds the kernel's function and the types of its arrays
under that key. It checks the buffers of the call against these types before it calls the function.
"""

import ctypes
import dataclasses
import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from evops import installed
from evops.compiler import cache
from evops.compiler.emit import SYMBOL
from evops.engine import library
from evops.errors import BackendError, KernelError

_EMIT = Path(__file__).with_name("emit.py")
_CUDA = "cuda"  # the level of all GPUs: their driver compiles PTX for the card
_TAIL = 4000  # characters of a process's output that an error shows
# Places in Taichi's compiler that end the process, and why: it cannot say so itself.
_ABORTS = {
    "codegen_llvm.cpp:real_type_atomic": "arrays of floating-point numbers have no &=, |=, ^= and "
    "no ti.atomic_and, atomic_or, atomic_xor"
}
EXTRA = "pip install 'jax-evops[taichi]'"
# Versions of the extra: the layout of arguments is that of one Taichi, and its IR is LLVM 15's,
# which llvmlite 0.44 reads as it stands.
TOOLS = {"taichi": "1.7.4", "llvmlite": "0.44"}
# XLA's number and Taichi's name of the element types of arrays; a bool is a byte of 0 or 1.
TYPES = {
    "bool": (1, "u8"),
    "int8": (2, "i8"),
    "int16": (3, "i16"),
    "int32": (4, "i32"),
    "int64": (5, "i64"),
    "uint8": (6, "u8"),
    "uint16": (7, "u16"),
    "uint32": (8, "u32"),
    "uint64": (9, "u64"),
    "float16": (10, "f16"),
    "float32": (11, "f32"),
    "float64": (12, "f64"),
}

# One thread compiles at a time: others that want the same kernel then find it loaded.
_lock = threading.RLock()
_loaded: set[str] = set()  # keys that the library knows
_scratch: dict[str, int] = {}  # bytes beside the arrays, of registered GPU kernels


@dataclasses.dataclass(frozen=True)
class Request:
    """A kernel to compile.

    Attributes:
        name: the operator, for messages.
        text: the kernel's source.
        arrays: dtype and rank of its arrays, in order.
        read_only: which of them the kernel must not write to, by number.
        split: whether it takes one more array: which part of its loop to run, and of how many.
        arch: "x64" or "cuda", in Taichi's words.
    """

    name: str
    text: str
    arrays: Sequence[tuple[np.dtype, int]]
    read_only: Sequence[int]
    split: bool = False
    arch: str = "x64"


def missing_tools() -> str | None:
    """Which of the packages that compile kernels is missing, and what to do; None if none is."""
    try:
        for package in TOOLS:
            _version(package)
    except BackendError as error:
        return str(error)
    return None


def registered(request: Request) -> str:
    """The key under which the library knows this kernel: loaded, from the cache, or compiled.

    Raises:
        BackendError: no library, tools or processes to compile with.
        KernelError: Taichi does not compile the kernel, or it cannot be called alone.
    """
    handle = library.loaded()
    gpu = request.arch == _CUDA
    cpu = _CUDA if gpu else handle.evops_level().decode()
    key = _key(request, cpu)
    with _lock:
        if key not in _loaded:
            code = cache.load(key)
            if code is None:
                code = _compiled(request, cpu)
                cache.store(key, code)
            (_register_ptx if gpu else _register)(handle, key, code, request)
            _loaded.add(key)
    return key


def scratch_bytes(key: str) -> int:
    """Bytes of memory that a registered GPU kernel needs beside its arrays."""
    return _scratch[key]


def _key(request: Request, cpu: str) -> str:
    """A digest of everything on which the machine code depends."""
    content = {
        "text": request.text,
        "arrays": [(dtype.name, ndim) for dtype, ndim in request.arrays],
        "read_only": request.read_only,
        "cpu": cpu,
        "compiler": _emit_digest(),
        "versions": {p: _version(p) for p in ("taichi", "llvmlite", "jax-evops")},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def _emit_digest() -> str:
    """A digest of the compiler's own files: developers change these without a new version."""
    files = (_EMIT, *sorted(_EMIT.with_name("passes").glob("*.py")))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


@functools.cache
def _version(package: str) -> str:
    """The installed version of a package.

    Raises:
        BackendError: it is not installed, or in another version than `TOOLS` names.
    """
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise BackendError(
            f"users' kernels need {package}, which is not installed: {EXTRA}"
        ) from error
    wanted = TOOLS.get(package, found)
    if not f"{found}.".startswith(f"{wanted}."):
        raise BackendError(f"users' kernels need {package} {wanted}, found {found}: {EXTRA}")
    return found


def _compiled(request: Request, cpu: str) -> bytes:
    """The object file or the GPU's JSON, from a separate Python process (see emit.py)."""
    # Where Python is embedded in another program.
    if not sys.executable:
        raise BackendError("kernels are compiled in a Python process, and sys.executable is empty")
    try:
        with tempfile.TemporaryDirectory(prefix="evops-") as name:
            return _emitted(request, cpu, Path(name))
    except OSError as error:
        raise BackendError(
            f"{request.name}: kernels are compiled in a temporary folder (TMPDIR), and that fails: "
            f"{error}"
        ) from error


def _emitted(request: Request, cpu: str, folder: Path) -> bytes:
    """Run emit.py in `folder`; its result, or the error that it reports."""
    # Settings of the user's Taichi (TI_ARCH, TI_DEBUG) would change the code; warnings as errors
    # would end the process.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TI_", "PYTHONWARN"))}
    # Taichi writes below the user's home, and aborts if that is missing or not writable.
    environment["HOME"] = environment["XDG_CACHE_HOME"] = str(folder)
    if request.arch == _CUDA:
        paths = [str(_stand_in()), environment.get("LD_LIBRARY_PATH")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
    (folder / "kernel.py").write_text(request.text, encoding="utf-8")  # as Python reads it
    what = {
        "path": [os.path.abspath(p) for p in sys.path],
        "kernel": {"arch": request.arch, "cpu": cpu, "read_only": request.read_only},
        "recursion_limit": sys.getrecursionlimit(),
    }
    (folder / "request.json").write_text(json.dumps(what))
    # -P: else the folder of emit.py stands before the standard library, and hides its modules.
    run = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", str(_EMIT), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # No card, so that the result is the same on every machine.
        env=environment | {"TI_SKIP_VERSION_CHECK": "ON", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )
    if run.returncode == 0:
        return (folder / "kernel.o").read_bytes()
    report = folder / "error.json"
    if not report.exists():
        raise KernelError(f"{request.name}: {_end(run.returncode, run.stdout)}")
    failure = json.loads(report.read_text())
    raise _failure(request.name, failure["kind"], failure["message"])


def _stand_in() -> Path:
    """The folder of the stub driver, which Taichi must find to compile for a GPU on any machine."""
    folder = installed.FOLDER / "cuda_stub"
    if not (folder / "libcuda.so").exists():
        raise BackendError(
            f"users' GPU kernels are compiled with {folder / 'libcuda.so'}, which does not exist: "
            "install the package again"
        )
    return folder


def _end(status: int, said: str) -> str:
    """Why the process ended without a report: mostly because Taichi's compiler aborts.

    Args:
        status: its return code; a negative one is a signal.
        said: what it wrote. Taichi's errors are lines such as
            ``[E 11/26/26 10:29:13.826 7651] [codegen_llvm.cpp:real_type_atomic@1] …``.
    """
    errors = re.findall(r"^\[E [^\]]*\] \[(\S+?)@\d+\] (.*)", said, re.M)
    if status >= 0 or not errors:
        return f"the process that compiles it ended with status {status}: {said[-_TAIL:].strip()}"
    place, message = errors[0]
    why = _ABORTS.get(place, f"{place}: {message}")
    return f"Taichi's compiler ends itself ({signal.Signals(-status).name}): {why}"


class TaichiMessage(Exception):
    """Taichi's message about a kernel: the cause of a `KernelError` from another process."""


def _failure(name: str, kind: str, message: str) -> Exception:
    """The error for what emit.py wrote into ``error.json``."""
    # ImportError: libX11.so.6: cannot open shared object file: Taichi wants system libraries.
    if kind == "import":
        library = next((w for w in message.split() if ".so" in w), "").strip(":,")
        hint = f" (install the system package that has {library})" if library else ""
        return BackendError(f"{name}: Taichi does not import: {message}{hint}")
    if kind == "writes":
        return KernelError(
            f"{message}: what a call is given stays as it is; write to the arrays of outs, the "
            "kernel's last, or name the array in in_place"
        )
    if kind == "large":
        return KernelError(f"{name}: the kernel is too large: {message}")
    if kind == "refused":
        return KernelError(
            f"{name}: the kernel cannot be called on its own: {message}; print, assert, ti.random, "
            "fields and real functions are not available (evops.taichi has random numbers)"
        )
    error = KernelError(f"{name}: Taichi does not compile the kernel: {message}")
    error.__cause__ = TaichiMessage(message)
    return error


def _register(library: ctypes.CDLL, key: str, code: bytes, request: Request) -> None:
    """Load the object and tell the library its function's address and the types of its arrays."""
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise BackendError(f"users' kernels need llvmlite: {error}; {EXTRA}") from error
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    # MCJIT is used as a loader only: it relocates the object into this process.
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(SYMBOL)
    if not address:
        raise KernelError(f"{request.name}: the object has no function {SYMBOL}")
    failed = library.evops_register_custom(
        key.encode(),
        ctypes.c_void_p(address),
        *_signature(request),
        ctypes.c_int(request.split),
    )
    _check(failed, request)
    engine.detach()  # never freed: programs may call the code as long as the process lives


def _register_ptx(library: ctypes.CDLL, key: str, code: bytes, request: Request) -> None:
    """Give the library the PTX, which the GPU's driver compiles, and the launches of its tasks."""
    kernel = json.loads(code)
    launches = [size for task in kernel["launches"] for size in task]
    failed = library.evops_gpu_register_custom(
        key.encode(),
        kernel["ptx"].encode(),
        *_signature(request),
        (ctypes.c_int32 * len(launches))(*launches),
        ctypes.c_int64(len(kernel["launches"])),
        ctypes.c_int64(kernel["scratch"]),
    )
    _check(failed, request)
    _scratch[key] = kernel["scratch"]


def _signature(request: Request) -> tuple[Any, ctypes.c_int64]:
    """XLA's element type and the rank of each array, and their number."""
    every = [v for dtype, ndim in request.arrays for v in (TYPES[dtype.name][0], ndim)]
    return (ctypes.c_int32 * len(every))(*every), ctypes.c_int64(len(request.arrays))


def _check(failed: int, request: Request) -> None:
    """Raise for a return code of the library: no exception crosses C."""
    if failed == 2:
        raise MemoryError(f"{request.name}: no memory for the kernel")
    if failed:
        raise KernelError(f"{request.name}: the library does not take {len(request.arrays)} arrays")
