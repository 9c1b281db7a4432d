"""From Taichi kernels to object files, in a process of its own.

Taichi writes textual LLVM IR (its ahead-of-time module), llvmlite makes a position-independent
object of it. The package's own kernels are built with these functions (``kernels/build.py``); a
user's kernel by running this file: ``python emit.py FOLDER``, where ``FOLDER/request.json`` says
what to do and ``FOLDER/kernel.py`` holds the kernel. So the file imports nothing of evops, and the
user's own Taichi program never hears of it.
"""

import contextlib
import importlib.util
import json
import os
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

SYMBOL = "evops_custom_kernel"

# What an object may ask of the process that loads it: memory and the C library's mathematics.
_MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh erf erfc exp exp10 exp2 expm1 "
    "fabs floor fma fmax fmin fmod ldexp log log10 log1p log2 nearbyint pow rint round "
    "roundeven sin sincos sinh sqrt tan tanh trunc"
).split()
ALLOWED = {"memcpy", "memmove", "memset", *_MATH, *(f"{name}f" for name in _MATH)}


class Refused(Exception):
    """A kernel that Taichi compiles and that cannot be called on its own."""


def start(**options) -> None:
    """Start Taichi for CPU kernels, silently."""
    os.environ["TI_SKIP_VERSION_CHECK"] = "ON"
    with contextlib.redirect_stdout(sys.stderr):
        import taichi as ti

        ti.init(arch=ti.x64, offline_cache=False, fast_math=False, log_level=ti.ERROR, **options)


def block_bytes(ranks: Sequence[int]) -> int:
    """Size of the argument block that the bridge packs for arrays of these ranks.

    For each array {int32 shape[rank], padded to 8; pointer}; rank 0 has one extent as well.
    """
    return sum((max(rank, 1) + 1) // 2 * 8 + 8 for rank in ranks)


def taichi_ir(named_kernels, folder: Path) -> Iterator[tuple[str, str]]:
    """The LLVM IR of each kernel by name, after a check of its argument layout."""
    import taichi as ti

    module = ti.aot.Module(ti.x64)
    for name, kernel in named_kernels.items():
        module.add_kernel(kernel, name=name)
    module.save(str(folder))
    sizes = block_sizes((folder / "metadata.json").read_text())
    for name, kernel in named_kernels.items():
        expected = block_bytes([a.annotation.ndim for a in kernel._primal.arguments])
        if sizes[name] != expected:
            raise Refused(f"{name}: argument block of {sizes[name]} bytes, expected {expected}")
        ir = (folder / f"{name}.ll").read_text()
        if _uses_run_time(ir):
            raise Refused(f"{name} needs Taichi's run time")
        yield name, ir


def _uses_run_time(ir: str) -> bool:
    """Whether a kernel takes more than the arguments out of its context."""
    # views of the context as a pointer to its first member, by which the arguments are loaded
    view = r"(%[\w.]+) = bitcast %struct\.RuntimeContext\S* %context to .*\*\*$"
    views = "|".join(map(re.escape, ["%context", *re.findall(view, ir, re.MULTILINE)]))
    uses = [line for line in ir.splitlines() if re.search(rf"(?:{views})\b", line)]
    allowed = re.compile(rf"define |  {view}|  %[\w.]+ = load ")
    return not all(allowed.match(line) for line in uses)


def block_sizes(metadata: str) -> dict[str, int]:
    """Size of each kernel's argument block (the file is nearly, but not quite, JSON)."""
    found = re.findall(r'"kernel_key": "(\w+)"|"args_size": (\d+)', metadata)
    keys = [key for key, _ in found if key]
    return dict(zip(keys, (int(size) for _, size in found if size), strict=True))


def compile_object(ir: str, symbol: str, cpu: str) -> bytes:
    """One object file whose only global function is `symbol`."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(ir)
    defined = [f for f in module.functions if not f.is_declaration]
    if not defined:
        raise Refused(f"{symbol} does nothing")
    if len(defined) != 1:
        raise Refused(f"{symbol}: expected one task, got {[f.name for f in defined]}")
    defined[0].name = symbol
    target = llvm.Target.from_triple("x86_64-pc-linux-gnu").create_target_machine(
        cpu=cpu, opt=3, reloc="pic", codemodel="small"
    )
    passes = llvm.create_module_pass_manager()
    builder = llvm.create_pass_manager_builder()
    builder.opt_level, builder.slp_vectorize, builder.loop_vectorize = 3, True, True
    builder.populate(passes)
    target.add_analysis_passes(passes)
    passes.run(module)
    return target.emit_object(module)


def undefined_symbols(elf: bytes) -> set[str]:
    """The names that an ELF object (64 bits, little-endian) leaves to others."""
    table_at = struct.unpack_from("<Q", elf, 0x28)[0]
    size, count = struct.unpack_from("<HH", elf, 0x3A)
    names = set()
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, table_at + i * size) for i in range(count)]
    for _, kind, _, _, offset, length, link, _, _, entry in sections:
        if kind != 2:  # a symbol table
            continue
        strings = sections[link][4]
        for at in range(offset, offset + length, entry):
            name, _, _, section = struct.unpack_from("<IBBH", elf, at)
            if name and section == 0:
                begin = strings + name
                names.add(elf[begin : elf.index(b"\0", begin)].decode())
    return names


def main(folder: Path) -> None:
    """Compile ``kernel.py`` in the folder to ``kernel.o``, or say in ``error.json`` why not."""
    request = json.loads((folder / "request.json").read_text())
    sys.path[:] = request["path"]
    sys.setrecursionlimit(request["recursion_limit"])
    try:
        start()
        (folder / "kernel.o").write_bytes(_compile(folder, request["cpu"]))
        return
    except ImportError as error:
        failure = {"kind": "import", "message": str(error)}
    except Refused as error:
        failure = {"kind": "refused", "message": str(error)}
    except Exception as error:
        failure = {"kind": "taichi", "message": f"{type(error).__name__}: {error}"}
    (folder / "error.json").write_text(json.dumps(failure))
    sys.exit(1)


def _compile(folder: Path, cpu: str) -> bytes:
    # Taichi reads functions from their files, so the text is imported as one
    spec = importlib.util.spec_from_file_location("evops_user_kernel", folder / "kernel.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ((_, ir),) = taichi_ir({"kernel": module.kernel}, folder)
    code = compile_object(ir, SYMBOL, cpu)
    missing = undefined_symbols(code) - ALLOWED
    if missing:
        raise Refused(f"it needs {', '.join(sorted(missing))} of Taichi's own run time")
    return code


if __name__ == "__main__":
    main(Path(sys.argv[1]))
