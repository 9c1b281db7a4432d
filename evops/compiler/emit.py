"""From Taichi kernels to object files or PTX, in a separate process.

Separate, because `ti.init` would reset the caller's Taichi runtime, with its fields and settings.

Taichi writes textual LLVM IR (its ahead-of-time module). llvmlite makes a position-independent
object of it, or for a GPU the text that NVIDIA's driver compiles (both in passes). The build of the
package calls these functions (``kernels/build.py``, ``kernels/build_gpu.py``). A user's kernel is
compiled by ``python emit.py FOLDER``, where ``FOLDER/request.json`` holds the request and
``FOLDER/kernel.py`` the kernel. Neither has evops at hand, so the file imports nothing of it.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SYMBOL = "evops_custom_kernel"
_METADATA = "metadata.json"  # Taichi's name for it
_UNOPTIMISED = "taichi_kernel_generic_llvm_ir_*.ll"  # and for the text of a task


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


class Compiled(NamedTuple):
    """What Taichi made of a kernel.

    Attributes:
        name: the kernel's.
        ir: LLVM IR of the kernel, on a CPU after Taichi's optimiser.
        tasks: LLVM IR of each of its tasks before it; of a kernel for GPUs none.
        size: bytes of its arguments.
    """

    name: str
    ir: str
    tasks: list[str]
    size: int


def _imported(name: str, path: Path) -> Any:
    """A file as a module, or a folder as a package."""
    folder = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folder)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if folder:
        sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# By path: there may be no package to import it from.
_imported("evops_passes", Path(__file__).with_name("passes") / "__init__.py")
cuda, objects, writes = (
    importlib.import_module(f"evops_passes.{name}") for name in ("cuda", "objects", "writes")
)
Refused = objects.Refused


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
        # On a CPU Taichi also writes what stands before its own optimiser: into files, see
        # `taichi_ir`. On a GPU: blocks of a task whose size is known only when it runs. Taichi
        # would ask the card of this machine, which may have none.
        own = {"x64": {"print_kernel_llvm_ir": True}, "cuda": {"saturating_grid_dim": cuda.BLOCKS}}
        # Without fast_math, which reorders floating-point operations. evops has its own cache.
        ti.init(
            arch=wanted,
            offline_cache=False,
            fast_math=False,
            log_level=ti.ERROR,
            **own[arch],
        )
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
) -> Iterator[Compiled]:
    """What Taichi makes of each kernel.

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
    tasks = {}
    with contextlib.chdir(folder):  # where Taichi writes the text of each task
        for name, kernel in named_kernels.items():
            module.add_kernel(kernel, name=name)
            files = sorted(Path().glob(_UNOPTIMISED))
            tasks[name] = [path.read_text() for path in files]
            for path in files:
                path.unlink()
    module.save(str(folder))
    sizes = block_sizes((folder / _METADATA).read_text())
    for name, kernel in named_kernels.items():
        expected = (expected_bytes or _bytes_of_arrays)(kernel)
        if sizes[name] != expected:
            raise Refused(f"{name}: argument block of {sizes[name]} bytes, expected {expected}")
        yield Compiled(name, (folder / f"{name}.ll").read_text(), tasks[name], expected)


def _bytes_of_arrays(kernel: Any) -> int:
    return block_bytes([a.annotation.ndim for a in kernel._primal.arguments])


def block_sizes(metadata: str) -> dict[str, int]:
    """Size of each kernel's argument block, by kernel.

    By regular expressions, since the file is not quite JSON: it has lines such as
    ``"dt_": ptr {``. Keys and sizes come in turn, one of each for a kernel.
    """
    found = re.findall(r'"kernel_key": "(\w+)"|"args_size": (\d+)', metadata)
    keys = [key for key, _ in found if key]
    return dict(zip(keys, (int(size) for _, size in found if size), strict=True))


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
    # A card reads what no task writes through a cache of its own (`ld.global.nc`). In the package's
    # own kernels this takes more registers.
    ir = writes.with_invariant_loads(ir)
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


def _compile(folder: Path, arch: str, cpu: str, read_only: Sequence[int]) -> bytes:
    # Taichi reads the source of a function from its file, so the text is imported from one.
    kernel = _imported("evops_user_kernel", folder / "kernel.py").kernel
    (made,) = taichi_ir({"kernel": kernel}, folder)
    names = [argument.name for argument in kernel._primal.arguments]
    if changed := [names[k] for k in sorted(writes.written(made.ir)) if k in read_only]:
        raise Writes(f"{kernel.__name__} writes to {', '.join(changed)}")
    if arch == "cuda":
        return compile_ptx(made.ir, made.size, tasks((folder / _METADATA).read_text()))
    code = objects.compile_object(made.tasks, SYMBOL, cpu, for_this_machine=True)
    missing = objects.undefined_symbols(code) - objects.ALLOWED
    if missing:
        raise Refused(f"it needs {', '.join(sorted(missing))} of Taichi's own run time")
    return code


if __name__ == "__main__":
    main(Path(sys.argv[1]))
