"""Compile the GPU kernels to PTX: ``python kernels/build_gpu.py OUT COMPILER``.

Taichi compiles for CUDA on any machine once it finds a driver; the COMPILER (gcc or its like) makes
a stand-in (standin/cuda.c) for it, ``OUT/standin/libcuda.so``, which the package has too, for
users' kernels. ``OUT/gpu_kernels.cc`` holds the PTX (evops/compiler/cuda.py) for the bridge.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from build import emit, inputs_digest, is_done  # noqa: E402

ARRAY_BYTES, SCALAR_BYTES = 16, 4


def taichi_ir(folder: Path):
    """(name, LLVM IR, bytes of the arguments) of each kernel, after a check of its layout."""
    import gpu

    return emit.taichi_ir({n: make() for n, make in gpu.kernels().items()}, folder, block_bytes)


def block_bytes(kernel):
    """Bytes that the bridge packs: {int32 shape[1]; pad; pointer} for each array, then numbers."""
    from taichi.types.ndarray_type import NdarrayType

    arrays = [isinstance(a.annotation, NdarrayType) for a in kernel._primal.arguments]
    if sorted(arrays, reverse=True) != arrays:
        raise emit.Refused(f"{kernel.__name__}: arrays come before numbers")
    size = ARRAY_BYTES * sum(arrays) + SCALAR_BYTES * (len(arrays) - sum(arrays))
    return (size + 7) // 8 * 8


def with_entry(ir: str, name: str, size: int, *, by_value: bool) -> str:
    """The IR with the kernel as an inner function of ``evops_gpu_<name>(arguments)``."""
    [task] = emit.cuda.tasks(ir)
    if emit.cuda.uses_scratch(ir) or emit.cuda.uses_run_time(ir):
        raise emit.Refused(f"{name} needs Taichi's run time")
    return emit.cuda.with_entries(ir, {task: f"evops_gpu_{name}"}, size, by_value=by_value)


def write_table(texts: dict[str, tuple[int, str]], path: Path):
    """C++ source of the bridge's table: bytes of the arguments and PTX of each kernel."""
    entries = (
        f'    {{"{name}", {size}, R"ptx({text})ptx"}},\n' for name, (size, text) in texts.items()
    )
    path.write_text(
        '#include "gpu/kernels.h"\n\nnamespace evops::gpu {\n'
        f"const KernelText kKernelTexts[] = {{\n{''.join(entries)}}};\n"
        f"const size_t kKernelTextCount = {len(texts)};\n}}  // namespace evops::gpu\n"
    )


def main(out: Path):
    emit.start("cuda")
    folder = out / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {}
    for name, ir, size in taichi_ir(folder):
        text = emit.cuda.ptx(with_entry(ir, name, size, by_value=True))
        if missing := emit.cuda.externals(text):
            raise emit.Refused(f"{name}: PTX refers to {missing}")
        (folder / f"{name}.ptx").write_text(text)
        texts[name] = size, text
    write_table(texts, out / "gpu_kernels.cc")
    (out / "gpu.stamp").write_text(inputs_digest())


def with_stand_in(command, out: Path, compiler: str):
    """Run a command whose Taichi finds the stand-in driver."""
    folder = out / "standin"
    folder.mkdir(parents=True, exist_ok=True)
    library, source = folder / "libcuda.so", HERE / "standin/cuda.c"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, "-x", "c", source], check=True
    )
    library.with_suffix(".so.1").write_bytes(library.read_bytes())
    paths = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    out = Path(sys.argv[1]).resolve()
    if is_done(out / "gpu.stamp"):
        sys.exit()
    if len(sys.argv) > 2:
        sys.exit(with_stand_in([sys.executable, __file__, str(out)], out, sys.argv[2]))
    try:
        main(out)
    except (emit.Refused, RuntimeError) as error:
        sys.exit(str(error))
