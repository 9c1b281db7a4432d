"""Compile the GPU kernels to PTX: ``python kernels/build_gpu.py OUT COMPILER``.

Taichi compiles for CUDA on any machine once it finds a driver. The COMPILER (gcc or its like) makes
a stub of one (cuda_stub/cuda.c), ``OUT/cuda_stub/libcuda.so``. The package ships it for users'
kernels. ``OUT/gpu_kernels.cc`` holds the PTX (evops/compiler/passes/cuda.py) for C++.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # also where PYTHONSAFEPATH is set

import launch  # noqa: E402
from build import emit, inputs_digest, is_done, write  # noqa: E402
from format_header import camel, constants, format  # noqa: E402

ARRAY_BYTES, WORD_BYTES = 16, 4


def taichi_ir(folder: Path):
    """What Taichi makes of each kernel, after a check of the layout of its arguments."""
    import gpu

    kernels = {name: make() for name, (_, make) in gpu.kernels().items()}
    return emit.taichi_ir(kernels, folder, block_bytes)


def families() -> dict[str, list[tuple[str, int]]]:
    """The arguments of each family of kernels, which all of it have."""
    import gpu

    found = {}
    for name, (family, make) in gpu.kernels().items():
        own = arguments(make())
        if found.setdefault(family, own) != own:
            raise emit.Refused(f"{name}: arguments differ from those of other kernels of {family}")
    return found


def arguments(kernel) -> list[tuple[str, int]]:
    """Name and words of each argument: 0 of an array, 1 of a number, more of a record."""
    from taichi.lang.matrix import VectorType
    from taichi.types.ndarray_type import NdarrayType

    found = []
    for argument in kernel._primal.arguments:
        kind = argument.annotation
        words = kind.n if isinstance(kind, VectorType) else 1
        found.append((argument.name, 0 if isinstance(kind, NdarrayType) else words))
    if sorted(found, key=lambda argument: argument[1] > 0) != found:
        raise emit.Refused(f"{kernel.__name__}: arrays come before numbers")
    return found


def block_bytes(kernel):
    """Bytes of the arguments: {int32 shape[1]; pad; pointer} for each array, then 32-bit words."""
    size = sum(WORD_BYTES * words or ARRAY_BYTES for _, words in arguments(kernel))
    return (size + 7) // 8 * 8


def arguments_struct(family: str, members: list[tuple[str, int]]) -> str:
    """The block of arguments of a family's kernels, as Taichi lays it out, for the handlers."""
    types = {0: "Array", 1: "uint32_t", format.SCHEME_WORDS: "Scheme"}
    body = "".join(f"  {types[words]} {name}{'{}' if words else ''};\n" for name, words in members)
    size = sum(WORD_BYTES * words or ARRAY_BYTES for _, words in members)
    return (
        f'struct {camel(family)} {{\n  static constexpr const char* kFamily = "{family}";\n'
        f"{body}}};\nstatic_assert(sizeof({camel(family)}) == {(size + 7) // 8 * 8});\n"
    )


def write_launches(path: Path):
    """C++ header: sizes of launches, and the arguments of each family of kernels by name."""
    structs = "\n".join(arguments_struct(*family) for family in families().items())
    write(
        path,
        "// Launches, written by kernels/build_gpu.py from kernels/launch.py and the signatures of "
        "the kernels.\n#pragma once\n"
        '#include "kernels.h"  // of kernels/ffi\n\nnamespace evops::gpu {\n\n'
        f"{constants(launch, 'int64_t')}\n{structs}\n}}  // namespace evops::gpu\n",
    )


def digest() -> str:
    """Of everything that the GPU kernels depend on; gpu.py imports them."""
    own = [path.read_text() for path in (Path(__file__), HERE / "cuda_stub/cuda.c")]
    return inputs_digest("gpu.py", *own)


def with_entry(ir: str, name: str, size: int, *, by_value: bool) -> str:
    """The IR with the kernel as an inner function of ``evops_gpu_<name>(arguments)``."""
    [task] = emit.cuda.tasks(ir)
    if emit.cuda.uses_scratch(ir) or emit.cuda.uses_run_time(ir):
        raise emit.Refused(f"{name} needs Taichi's run time")
    return emit.cuda.with_entries(ir, {task: f"evops_gpu_{name}"}, size, by_value=by_value)


def write_table(texts: dict[str, tuple[int, str]], path: Path):
    """C++ source of the table of kernels: bytes of the arguments and PTX of each kernel."""
    entries = (
        f'    {{"{name}", {size}, R"ptx({text})ptx"}},\n' for name, (size, text) in texts.items()
    )
    path.write_text(
        '#include "gpu/commands.h"\n\nnamespace evops::gpu {\n'
        f"const KernelText kKernelTexts[] = {{\n{''.join(entries)}}};\n"
        f"const size_t kKernelTextCount = {len(texts)};\n}}  // namespace evops::gpu\n"
    )


def main(out: Path):
    emit.start("cuda")
    folder = out / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {}
    for name, ir, _, size in taichi_ir(folder):
        text = emit.cuda.ptx(with_entry(ir, name, size, by_value=True))
        if missing := emit.cuda.externals(text):
            raise emit.Refused(f"{name}: PTX refers to {missing}")
        (folder / f"{name}.ptx").write_text(text)
        texts[name] = size, text
    write_table(texts, out / "gpu_kernels.cc")
    write_launches(out / "launches.h")
    (out / "gpu.stamp").write_text(digest())


def with_stand_in(command, out: Path, compiler: str):
    """Run a command whose Taichi finds the stand-in driver."""
    folder = out / "cuda_stub"
    folder.mkdir(parents=True, exist_ok=True)
    library, source = folder / "libcuda.so", HERE / "cuda_stub/cuda.c"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, "-x", "c", source], check=True
    )
    library.with_suffix(".so.1").write_bytes(library.read_bytes())
    paths = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    out = Path(sys.argv[1]).resolve()
    if is_done(out / "gpu.stamp", digest()):
        sys.exit()
    if len(sys.argv) > 2:
        sys.exit(with_stand_in([sys.executable, __file__, str(out)], out, sys.argv[2]))
    try:
        main(out)
    except (emit.Refused, RuntimeError) as error:
        sys.exit(str(error))
