"""The GPU's kernels and handlers for a test without a GPU: ``python build.py OUT JAXLIB_INCLUDE``.

Writes OUT/driver.so, a CUDA driver that runs the kernels' own LLVM IR on the CPU, and OUT/handlers.so,
the GPU handlers for XLA's CPU client. Needs taichi, llvmlite and g++. With a third argument,
"custom", there is only what runs users' kernels (user_kernel.py).
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parents[1] / "kernels"
sys.path.insert(0, str(KERNELS))

import build_gpu  # noqa: E402

emit = build_gpu.emit

# a * b + c as two words: what the one inline assembly of NVIDIA's mathematical library does
MAD_WIDE = """
define internal { i32, i32 } @emulated_mad_wide(i32 %a, i32 %b, i32 %c) {
  %a64 = zext i32 %a to i64
  %b64 = zext i32 %b to i64
  %c64 = zext i32 %c to i64
  %product = mul i64 %a64, %b64
  %sum = add i64 %product, %c64
  %low = trunc i64 %sum to i32
  %shifted = lshr i64 %sum, 32
  %high = trunc i64 %shifted to i32
  %one = insertvalue { i32, i32 } undef, i32 %low, 0
  %both = insertvalue { i32, i32 } %one, i32 %high, 1
  ret { i32, i32 } %both
}
"""


def for_cpu(ir: str) -> str:
    """The IR of a kernel with its entry, for x86-64: the driver stands for the GPU's intrinsics."""
    ir = ir.replace(
        'target triple = "nvptx64-nvidia-cuda"', 'target triple = "x86_64-pc-linux-gnu"'
    )
    ir = re.sub(r"^!nvvm.annotations.*$", "", ir, flags=re.M)
    assembly = r'asm "[^"]*mad\.lo\.cc[^"]*", "[^"]*"'
    if re.search(assembly, ir):
        ir = re.sub(assembly, "@emulated_mad_wide", ir) + MAD_WIDE
    active = r'asm (?:sideeffect )?"activemask[^"]*", "[^"]*"'
    if re.search(active, ir):
        ir = re.sub(active, "@emulated_activemask", ir) + "\ndeclare i32 @emulated_activemask()\n"
    ir = shared_for_cpu(ir)
    intrinsic = r"@llvm\.nvvm\.(?:read\.ptx\.sreg\.)?([\w.]+)"
    return re.sub(intrinsic, lambda m: "@emulated_" + m[1].replace(".", "_"), ir)


def shared_for_cpu(ir: str) -> str:
    """What a block shares as plain memory, of which the driver hears when a thread begins."""
    arrays = re.findall(r"^(@\S+) = internal addrspace\(3\) global (.+) undef", ir, re.M)
    if not arrays:
        return ir
    ir = ir.replace(" addrspace(3)", "").replace("addrspacecast (", "bitcast (")
    calls = "".join(
        f"  call void @emulated_shared(i8* bitcast ({kind}* {name} to i8*), "
        f"i64 ptrtoint ({kind}* getelementptr ({kind}, {kind}* null, i32 1) to i64))\n"
        for name, kind in arrays
    )
    entry = r"^define void @\w+\(\[\d+ x i64\]\* %arguments\) {\n"
    ir = re.sub(entry, lambda found: found[0] + calls, ir, flags=re.M)
    return ir + "\ndeclare void @emulated_shared(i8*, i64)\n"


def compiled(ir: str) -> bytes:
    """An object for x86-64 of a kernel with its entries, which take an address."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple("x86_64-pc-linux-gnu").create_target_machine(
        opt=2, reloc="pic", codemodel="small"
    )
    module = llvm.parse_assembly(for_cpu(emit.cuda.clean(ir)))
    emit.cuda.optimise(module, machine)
    return machine.emit_object(module)


def objects(out: Path):
    """Name, size of the arguments and an object of every kernel."""
    emit.start("cuda")
    for name, ir, _, size in build_gpu.taichi_ir(out):
        path = out / f"{name}.o"
        path.write_bytes(compiled(build_gpu.with_entry(ir, name, size, by_value=False)))
        yield name, size, path


def main(out: Path, include: str):
    made = list(objects(out))
    # the driver knows a kernel by its name, where a card's compiles the text
    texts = {name: (size, f".entry evops_gpu_{name}(") for name, size, _ in made}
    build_gpu.write_table(texts, out / "gpu_kernels.cc")
    link(out, include, [path for *_, path in made], (KERNELS / "ffi/gpu").glob("*.cc"), "-O1")


def custom(out: Path, include: str):
    """Without the package's own kernels."""
    build_gpu.write_table({}, out / "gpu_kernels.cc")
    handlers = KERNELS / "ffi/gpu"
    link(out, include, [], [handlers / "custom.cc", handlers / "driver.cc"], "-O0")


def link(out: Path, include: str, objects, handlers, level: str):
    from build import format_header, kernels, write, write_names

    write_names(kernels(), out)
    write(out / "format.h", format_header.header())
    build_gpu.write_launches(out / "launches.h")
    flags = ["g++", "-std=c++17", level, "-fPIC", "-shared", "-U_FORTIFY_SOURCE"]
    include_flags = [f"-I{out}", f"-I{KERNELS / 'ffi'}", "-isystem", include]
    handlers = [*handlers, out / "gpu_kernels.cc"]
    commands = [
        [*flags, HERE / "driver.cc", *objects, "-ldl", "-o", out / "driver.so"],
        [
            *flags,
            "-DEVOPS_GPU_ON_CPU",
            *include_flags,
            *handlers,
            "-ldl",
            "-o",
            out / "handlers.so",
        ],
    ]
    running = [subprocess.Popen(command) for command in commands]
    sys.exit(max(process.wait() for process in running))


if __name__ == "__main__":
    out = Path(sys.argv[1]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    if sys.argv[3:] == ["custom"]:
        custom(out, sys.argv[2])
    elif len(sys.argv) > 3:
        main(out, sys.argv[2])
    else:
        again = [sys.executable, __file__, str(out), sys.argv[2], "with-stand-in"]
        sys.exit(build_gpu.with_stand_in(again, out, "gcc"))
