"""Compile the GPU kernels to PTX: ``python kernels/build_gpu.py OUT COMPILER``.

Taichi compiles for CUDA on any machine once it finds a driver; the COMPILER (gcc or its like) makes
a stand-in (standin/cuda.c) for it. Each kernel's LLVM IR gets an entry whose arguments are the
parameters of the launch itself, so that a launch copies nothing to the device first, and llvmlite
makes PTX of it.
``OUT/gpu_kernels.cc`` holds the texts for the bridge.
"""

import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from build import emit, inputs_digest, is_done  # noqa: E402

ARCHITECTURE, PTX = "sm_70", "ptx63"  # the oldest; drivers compile it for newer cards
ARRAY_BYTES, SCALAR_BYTES = 16, 4


def taichi_ir(folder: Path):
    """(name, LLVM IR, bytes of the arguments) of each kernel, after a check of its layout."""
    import gpu
    import taichi as ti
    from taichi.types.ndarray_type import NdarrayType

    if ti.lang.impl.current_cfg().arch != ti.cuda:
        sys.exit("Taichi does not compile for CUDA here: the stand-in driver was not accepted")
    module = ti.aot.Module(ti.cuda)
    made = {name: make() for name, make in gpu.kernels().items()}
    for name, kernel in made.items():
        module.add_kernel(kernel, name=name)
    module.save(str(folder))
    block_bytes = emit.block_sizes((folder / "metadata.json").read_text())
    for name, kernel in made.items():
        arrays = [isinstance(a.annotation, NdarrayType) for a in kernel._primal.arguments]
        if sorted(arrays, reverse=True) != arrays:
            sys.exit(f"{name}: arrays come before numbers")
        # the bridge packs {int32 shape[1]; pad; pointer} for an array, then the numbers
        expected = ARRAY_BYTES * sum(arrays) + SCALAR_BYTES * (len(arrays) - sum(arrays))
        expected = (expected + 7) // 8 * 8
        if block_bytes[name] != expected:
            sys.exit(f"{name}: argument block of {block_bytes[name]} bytes, expected {expected}")
        yield name, (folder / f"{name}.ll").read_text(), expected


def with_entry(ir: str, name: str, size: int, by_value: bool) -> str:
    """The IR with the kernel as an inner function of ``evops_gpu_<name>(arguments)``.

    The kernel gets its arguments through a context in memory, as Taichi would hand it over.
    """
    [(inner, context)] = re.findall(
        r"^define void (@\w+)\((%struct\.RuntimeContext[.\d]*)\* byval", ir, re.M
    )
    block, entry = f"[{size // 8} x i64]", f"@evops_gpu_{name}"
    ir = re.sub(
        rf"^define void {inner}\(.*?\) %context\)",
        f"define internal void {inner}({context}* %context) alwaysinline",
        ir,
        flags=re.M,
    )
    ir = ir.replace(f"void ({context}*)* {inner}, !", f"void ({block}*)* {entry}, !")
    attribute = f" byval({block}) align 8" if by_value else ""
    return f"""{ir}
define void {entry}({block}*{attribute} %arguments) {{
  %context = alloca {context}, align 8
  %field = getelementptr {context}, {context}* %context, i32 0, i32 0
  %bytes = bitcast {block}* %arguments to i8*
  store i8* %bytes, i8** %field, align 8
  call void {inner}({context}* %context)
  ret void
}}
"""


def clean(ir: str) -> str:
    """Without what only Taichi's own pipeline resolves: flags of the mathematical library."""
    ir = re.sub(r"call i32 @__nvvm_reflect\(.*?\)(?= #|$|,)", "add i32 0, 0", ir, flags=re.M)
    return ir.replace(" seq_cst, align", " monotonic, align")


def optimise(module, machine):
    """LLVM's passes for the machine."""
    import llvmlite.binding as llvm

    passes = llvm.create_module_pass_manager()
    builder = llvm.create_pass_manager_builder()
    builder.opt_level, builder.inlining_threshold = 3, 500
    builder.populate(passes)
    machine.add_analysis_passes(passes)
    passes.run(module)


def ptx(ir: str) -> str:
    """PTX of a kernel with its entry."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(ir)
    module.verify()
    target = llvm.Target.from_triple("nvptx64-nvidia-cuda")
    machine = target.create_target_machine(cpu=ARCHITECTURE, features=f"+{PTX}", opt=3)
    optimise(module, machine)
    return machine.emit_assembly(module)


def start_taichi():
    os.environ["TI_SKIP_VERSION_CHECK"] = "ON"
    with redirect_stdout(sys.stderr):
        import taichi as ti

        ti.init(arch=ti.cuda, offline_cache=False, fast_math=False, log_level=ti.ERROR)
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


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
    start_taichi()
    folder = out / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {}
    for name, ir, size in taichi_ir(folder):
        text = ptx(clean(with_entry(ir, name, size, by_value=True)))
        if ".extern" in text:
            sys.exit(f"{name}: PTX refers to {re.findall('.extern.*', text)}")
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
    main(out)
