"""Calls handlers of the native library without XLA and JAX, on a pool of threads of our own (xla.cc).

    python xla.py OUT INCLUDE [FLAG ...]

compiles xla.cc to OUT; INCLUDE has the headers of XLA's interface.

What XLA does itself in its threads no sanitizer can follow, and it ends the process where it finds no
memory: here everything but the handlers is ours. Nothing but NumPy is imported.
"""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
# XLA's numbers of the element types
TYPES = {"bool": 1, "int32": 4, "uint8": 6, "uint32": 8, "float32": 11, "float64": 12}
NO_MEMORY = 8  # RESOURCE_EXHAUSTED
# Called without XLA: a struct of numbers, operands and results, threads of their own, and a status.
OF_STRUCTS = ("evops_draw_near",)
FOR_EVER = 2**62


def build(out: Path, include: Path, *flags: str) -> Path:
    """Compile xla.cc; `include` has the headers of XLA's interface."""
    command = ["g++", "-std=c++17", "-O1", "-g", "-shared", "-fPIC", "-pthread", *flags]
    done = subprocess.run(
        [*command, "-isystem", include, "-o", out, HERE / "xla.cc"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out


class Failure(Exception):
    """The error that a handler returned."""

    def __init__(self, code: int, message: str, allocations: int):
        super().__init__(message)
        self.code, self.allocations = code, allocations


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int64),
        ("rank", ctypes.c_int64),
        ("extents", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
    ]


class _Attribute(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_int64),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_int64),
    ]


class Library:
    """The native library, called through what `build` wrote."""

    def __init__(self, path: Path, xla: Path):
        self.library = ctypes.CDLL(str(path))
        self.xla = ctypes.CDLL(str(xla))
        self.library.evops_scratch_kept.restype = ctypes.c_uint64
        self.library.evops_scratch_limit.restype = ctypes.c_uint64
        self.library.evops_levels.restype = self.library.evops_version.restype = ctypes.c_char_p
        assert self.library.evops_version()
        signature = (ctypes.c_int32 * 4)(TYPES["int32"], 1, TYPES["int32"], 1)
        kernel = ctypes.cast(self.xla.xla_double, ctypes.c_void_p)
        register = self.library.evops_register_custom
        assert register(b"double", kernel, signature, ctypes.c_int64(2), 1) == 0

    def levels(self) -> list[str]:
        """Instruction-set levels, the best last."""
        return self.library.evops_levels().decode().split()

    def select(self, level: str) -> None:
        """Choose a level."""
        assert self.library.evops_select(level.encode()) == 0

    def kept(self) -> int:
        """Bytes of scratch memory that are kept."""
        return self.library.evops_scratch_kept()

    def limit(self) -> int:
        """The most that are kept."""
        return self.library.evops_scratch_limit()

    def free(self) -> None:
        """Free what is kept."""
        self.library.evops_scratch_free()

    def call(self, target, args, outs, attrs, *, threads=1, fail=(FOR_EVER, FOR_EVER), alias=None):
        """Results of a handler, and how many times it asked for memory.

        Args:
            target: the handler's name.
            args: arrays.
            outs: (shape, dtype name) of each result.
            attrs: integers, arrays of integers and texts, by name.
            threads: of the pool; -n for n that are busy until the call is over. `OF_STRUCTS`
                have as many as the machine.
            fail: which allocations fail: from the first, up to the second.
            alias: operand whose memory the first result takes over.
        """
        args = [np.asarray(a, order="C") for a in args]
        results = [np.full(shape, 7, dtype) for shape, dtype in outs]
        if alias is not None:
            results[0] = args[alias] = args[alias].copy()
        if target in OF_STRUCTS:
            return results, self._of_struct(target, [*args, *results], attrs, fail)
        kept: list = []
        attributes = [_attribute(name, attrs[name], kept) for name in sorted(attrs)]
        message, allocations = ctypes.create_string_buffer(512), ctypes.c_int64()
        code = self.xla.xla_call(
            getattr(self.library, target),
            ctypes.c_int64(threads),
            *_packed(_Buffer, [_buffer(a, kept) for a in args]),
            *_packed(_Buffer, [_buffer(a, kept) for a in results]),
            *_packed(_Attribute, attributes),
            *map(ctypes.c_int64, fail),
            ctypes.byref(allocations),
            message,
            ctypes.c_int64(512),
        )
        if code:
            raise Failure(code, message.value.decode(), allocations.value)
        return results, allocations.value

    def _of_struct(self, target, arrays, attrs, fail):
        numbers = [np.asarray(value).reshape(1).view(np.int64) for value in attrs.values()]
        places = [np.array([a.ctypes.data], np.int64) for a in arrays]
        request, allocations = np.concatenate([*numbers, *places]), ctypes.c_int64()
        code = self.xla.xla_call_status(
            getattr(self.library, target),
            ctypes.c_void_p(request.ctypes.data),
            *map(ctypes.c_int64, fail),
            ctypes.byref(allocations),
        )
        if code:
            said = "out of memory" if code == 2 else f"status {code}"
            raise Failure(NO_MEMORY if code == 2 else code, f"{target}: {said}", allocations.value)
        return allocations.value


def _packed(kind, values):
    return (kind * len(values))(*values), ctypes.c_int64(len(values))


def _buffer(array: np.ndarray, kept: list) -> _Buffer:
    extents = np.array(array.shape, np.int64)
    kept.append((array, extents))
    return _Buffer(TYPES[array.dtype.name], array.ndim, extents.ctypes.data, array.ctypes.data)


def _attribute(name: str, value, kept: list) -> _Attribute:
    if isinstance(value, str):
        kind, data = 2, np.frombuffer(value.encode(), np.uint8)
    else:
        data = np.array(value, np.int64)
        kind = 0 if data.ndim == 0 else 1
    kept.append(data)
    return _Attribute(name.encode(), kind, data.ctypes.data, data.size)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
