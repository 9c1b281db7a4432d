"""From Taichi kernels to object files or PTX, in a separate process.

Separate, because `ti.init` would reset the caller's Taichi runtime, with its fields and settings.

Taichi writes textual LLVM IR (its ahead-of-time module). llvmlite makes a position-independent
object of it, or for a GPU the text that NVIDIA's driver compiles (cuda.py). The build of the
package calls these functions (``kernels/build.py``, ``kernels/build_gpu.py``). A user's kernel is
compiled by ``python emit.py FOLDER``, where ``FOLDER/request.json`` holds the request and
``FOLDER/kernel.py`` the kernel. Neither has evops at hand, so the file imports nothing of it.
"""

import contextlib
import importlib.util
import json
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

SYMBOL = "evops_custom_kernel"
_METADATA = "metadata.json"  # Taichi's name for it

# Functions that an object may call: every process has those of memory and of the C library's
# mathematics. All others belong to Taichi's run time, which is not there.
_MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh erf erfc exp exp10 exp2 expm1 "
    "fabs floor fma fmax fmin fmod ldexp log log10 log1p log2 nearbyint pow rint round "
    "roundeven sin sincos sinh sqrt tan tanh trunc"
).split()
ALLOWED = {"memcpy", "memmove", "memset", *_MATH, *(f"{name}f" for name in _MATH)}


class Refused(Exception):
    """Taichi compiles the kernel, but it cannot be called without Taichi's run time."""


class Writes(Exception):
    """The kernel writes to its inputs; the message names it and the arrays."""


class TooLarge(Exception):
    """The kernel needs more than a GPU gives to a launch."""


class Task(NamedTuple):
    """One launch of a GPU kernel.

    Attributes:
        name: its function.
        threads: threads of a block.
        blocks: how many blocks.
        shared: bytes of an array that a block shares, where Taichi leaves it to the launch; else 0.
    """

    name: str
    threads: int
    blocks: int
    shared: int


def beside(name: str) -> ModuleType:
    """Another file of this folder as a module: there may be no package to import it from."""
    return _imported(f"evops_{name}", Path(__file__).with_name(f"{name}.py"))


def _imported(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cuda, division, writes = beside("cuda"), beside("division"), beside("writes")


def start(arch: str = "x64") -> None:
    """Start Taichi silently.

    Args:
        arch: "x64" or "cuda", which must find a driver: NVIDIA's, or kernels/cuda_stub.

    Raises:
        RuntimeError: Taichi takes another architecture, as it does without a word.
    """
    # It prints its version, and would ask a server for newer ones.
    os.environ["TI_SKIP_VERSION_CHECK"] = "ON"
    with contextlib.redirect_stdout(sys.stderr):
        import taichi as ti
        from taichi.lang import impl

        wanted = getattr(ti, arch)
        # Blocks of a task whose size is known only when it runs. Taichi would ask the card of
        # this machine, which may have none.
        options = {"saturating_grid_dim": cuda.BLOCKS} if arch == "cuda" else {}
        # Without fast_math, which reorders floating-point operations. evops has its own cache.
        ti.init(arch=wanted, offline_cache=False, fast_math=False, log_level=ti.ERROR, **options)
    if impl.current_cfg().arch != wanted:
        raise RuntimeError(f"Taichi does not compile for {arch} here: it found no driver")


def block_bytes(ranks: Sequence[int]) -> int:
    """Size of the argument block that C++ packs for arrays of these ranks.

    For each array {int32 shape[rank], padded to 8; pointer}; rank 0 has one extent as well.
    """
    return sum((max(rank, 1) + 1) // 2 * 8 + 8 for rank in ranks)


def taichi_ir(
    named_kernels: Mapping[str, Any],
    folder: Path,
    expected_bytes: Callable[[Any], int] | None = None,
) -> Iterator[tuple[str, str, int]]:
    """Name, LLVM IR and bytes of the arguments of each kernel.

    C++ packs the arguments by a layout that Taichi documents nowhere, so their size is checked.

    Args:
        named_kernels: `ti.kernel` objects by name.
        folder: where Taichi writes; its metadata of all kernels stay there.
        expected_bytes: size of a kernel's arguments; without it these must be arrays only.

    Raises:
        Refused: the arguments of a kernel have another size.
    """
    import taichi as ti
    from taichi.lang import impl

    module = ti.aot.Module(impl.current_cfg().arch)
    for name, kernel in named_kernels.items():
        module.add_kernel(kernel, name=name)
    module.save(str(folder))
    sizes = block_sizes((folder / _METADATA).read_text())
    for name, kernel in named_kernels.items():
        expected = (expected_bytes or _bytes_of_arrays)(kernel)
        if sizes[name] != expected:
            raise Refused(f"{name}: argument block of {sizes[name]} bytes, expected {expected}")
        yield name, (folder / f"{name}.ll").read_text(), expected


def _bytes_of_arrays(kernel: Any) -> int:
    return block_bytes([a.annotation.ndim for a in kernel._primal.arguments])


def _uses_run_time(ir: str) -> bool:
    """Whether a kernel takes more out of its context than the arguments."""
    # The arguments are the first member of the context, so they are loaded by views of it:
    #   %0 = bitcast %struct.RuntimeContext.7* %context to { { { i32 }, i32* } }**
    #   %1 = load { { { i32 }, i32* } }*, { { { i32 }, i32* } }** %0, align 8
    # Any other use of the context or of a view reaches for Taichi's run time, which is null here.
    view = r"(%[\w.]+) = bitcast %struct\.RuntimeContext\S* %context to .*\*\*$"
    views = "|".join(map(re.escape, ["%context", *re.findall(view, ir, re.MULTILINE)]))
    uses = [line for line in ir.splitlines() if re.search(rf"(?:{views})\b", line)]
    allowed = re.compile(rf"define |  {view}|  %[\w.]+ = load ")
    return not all(allowed.match(line) for line in uses)


def block_sizes(metadata: str) -> dict[str, int]:
    """Size of each kernel's argument block, by kernel.

    By regular expressions, since the file is not quite JSON: it has lines such as
    ``"dt_": ptr {``. Keys and sizes come in turn, one of each for a kernel.
    """
    found = re.findall(r'"kernel_key": "(\w+)"|"args_size": (\d+)', metadata)
    keys = [key for key, _ in found if key]
    return dict(zip(keys, (int(size) for _, size in found if size), strict=True))


def compile_object(ir: str, symbol: str, cpu: str) -> bytes:
    """One object file whose only global function is `symbol`.

    Args:
        ir: what Taichi wrote.
        symbol: name for the kernel's function.
        cpu: LLVM's name of the processor to compile for.

    Raises:
        Refused: the kernel needs Taichi's run time, does nothing, or has several tasks.
    """
    import llvmlite.binding as llvm

    if _uses_run_time(ir):
        raise Refused(f"{symbol} needs Taichi's run time")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(ir)
    defined = [f for f in module.functions if not f.is_declaration]
    if not defined:
        raise Refused(f"{symbol} does nothing")
    # On a CPU loops run in order, so Taichi makes one task of a kernel.
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
    """The names that an ELF object (64 bits, little-endian) leaves to others.

    Without a tool such as nm, which a user's machine need not have.
    """
    # Offsets and records are those of elf.h: Elf64_Ehdr, Elf64_Shdr, Elf64_Sym.
    table_at = struct.unpack_from("<Q", elf, 0x28)[0]
    size, count = struct.unpack_from("<HH", elf, 0x3A)
    names = set()
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, table_at + i * size) for i in range(count)]
    for _, kind, _, _, offset, length, link, _, _, entry in sections:
        if kind != 2:  # SHT_SYMTAB, a symbol table
            continue
        strings = sections[link][4]
        for at in range(offset, offset + length, entry):
            name, _, _, section = struct.unpack_from("<IBBH", elf, at)
            if name and section == 0:  # SHN_UNDEF: defined elsewhere
                begin = strings + name
                names.add(elf[begin : elf.index(b"\0", begin)].decode())
    return names


def compile_ptx(ir: str, size: int, tasks: Sequence[Task]) -> bytes:
    """A GPU kernel for the native library, as JSON.

    ``ptx`` has the entries evops_custom_0 and so on. ``launches`` are the threads of a block and
    the blocks of each entry, ``scratch`` the bytes of memory that all entries share.

    Args:
        ir: what Taichi wrote.
        size: bytes of the arguments.
        tasks: the launches, in order.

    Raises:
        Refused: the kernel needs Taichi's run time, or does nothing.
        TooLarge: its arguments or shared arrays are larger than a launch takes.
    """
    if cuda.uses_run_time(ir):
        raise Refused("it needs Taichi's run time")
    if not tasks:
        raise Refused("it does nothing")
    # 8 bytes for the address of the scratch memory, which comes last.
    if size + 8 > cuda.MAX_ARGUMENT_BYTES:
        raise TooLarge(f"its arrays take {size} bytes of arguments, a launch has 4096")
    entries = {task.name: f"evops_custom_{k}" for k, task in enumerate(tasks)}
    text = cuda.ptx(cuda.with_entries(ir, entries, size, by_value=True))
    for task in tasks:
        shared = task.shared or cuda.shared_bytes(text, entries[task.name])
        if shared > cuda.MAX_SHARED_BYTES:
            raise TooLarge(
                f"the threads of a block share {'an array' if task.shared else 'arrays'} of "
                f"{shared} bytes, a block has {cuda.MAX_SHARED_BYTES}"
            )
    if missing := cuda.externals(text):
        raise Refused(f"it needs {', '.join(missing)} of Taichi's own run time")
    scratch = cuda.SCRATCH_BYTES if cuda.uses_scratch(ir) else 0
    launches = [(task.threads, task.blocks) for task in tasks]
    return json.dumps({"ptx": text, "launches": launches, "scratch": scratch}).encode()


def tasks(metadata: str) -> list[Task]:
    """Every task of one kernel, in the order in which they must run."""
    numbers = ("block_dim", "grid_dim", "dynamic_shared_array_bytes")
    each = r",\s*".join([r'"name": "(\w+)"', *(rf'"{number}": (\d+)' for number in numbers)])
    return [Task(name, *map(int, sizes)) for name, *sizes in re.findall(each, metadata)]


def main(folder: Path) -> None:
    """Compile ``kernel.py`` in the folder to ``kernel.o``, or write to ``error.json`` why not."""
    # The kernel's text imports packages, which must be those of the caller.
    request = json.loads((folder / "request.json").read_text())
    sys.path[:] = request["path"]
    sys.setrecursionlimit(request["recursion_limit"])
    try:
        start(request["kernel"]["arch"])
        (folder / "kernel.o").write_bytes(_compile(folder, **request["kernel"]))
        return
    except ImportError as error:
        failure = {"kind": "import", "message": str(error)}
    except Refused as error:
        failure = {"kind": "refused", "message": str(error)}
    except Writes as error:
        failure = {"kind": "writes", "message": str(error)}
    except TooLarge as error:
        failure = {"kind": "large", "message": str(error)}
    except Exception as error:
        failure = {"kind": "taichi", "message": f"{type(error).__name__}: {error}"}
    (folder / "error.json").write_text(json.dumps(failure))
    sys.exit(1)


def _compile(folder: Path, arch: str, cpu: str, inputs: int) -> bytes:
    # Taichi reads the source of a function from its file, so the text is imported from one.
    kernel = _imported("evops_user_kernel", folder / "kernel.py").kernel
    ((_, ir, size),) = taichi_ir({"kernel": kernel}, folder)
    names = [argument.name for argument in kernel._primal.arguments]
    if changed := [names[k] for k in sorted(writes.written(ir)) if k < inputs]:
        raise Writes(f"{kernel.__name__} writes to {', '.join(changed)}")
    if arch == "cuda":
        return compile_ptx(ir, size, tasks((folder / _METADATA).read_text()))
    code = compile_object(division.without_traps(ir), SYMBOL, cpu)
    missing = undefined_symbols(code) - ALLOWED
    if missing:
        raise Refused(f"it needs {', '.join(sorted(missing))} of Taichi's own run time")
    return code


if __name__ == "__main__":
    main(Path(sys.argv[1]))
