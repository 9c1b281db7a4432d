"""Compile the Taichi kernels to objects: ``python kernels/build.py OUT``.

Taichi writes textual LLVM IR (its ahead-of-time module); llvmlite turns it into
position-independent objects, one per kernel and instruction-set level. ``OUT/kernel_table.h`` lists
them for the bridge and
``OUT/objects.txt`` for CMake. Taichi and llvmlite are needed here and never at run time.
"""

import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

# level name -> LLVM's CPU name
LEVELS = {"x86_64": "x86-64", "x86_64_v3": "x86-64-v3", "x86_64_v4": "x86-64-v4"}
# kernels that the bridge has by hand for the levels above the first (kernels/bridge/hand)
BY_HAND = ("scatter", "draw_gaps", "draw_dense", "draw_counted", "variate")
ARGUMENT_BYTES = 16


def kernels():
    """Every kernel to build, by name."""
    from draw import READERS, delay, draw, sources, variate
    from gather import gather
    from scatter import scatter
    from walk import ELEMENT

    every = {f"{make.__name__}_{e}": make(e) for make in (scatter, gather) for e in ELEMENT}
    every |= {f"draw_{r}": draw(r) for r in READERS}
    return every | {f"{make.__name__}": make() for make in (variate, delay, sources)}


def taichi_ir(named_kernels, folder: Path):
    """The LLVM IR of each kernel, after a check of its argument layout."""
    import taichi as ti

    module = ti.aot.Module(ti.x64)
    for name, kernel in named_kernels.items():
        module.add_kernel(kernel, name=name)
    module.save(str(folder))
    block_bytes = argument_block_bytes((folder / "metadata.json").read_text())
    for name, kernel in named_kernels.items():
        # the bridge packs {int32 shape[1]; pad; pointer} for each argument
        expected = ARGUMENT_BYTES * len(kernel._primal.arguments)
        if block_bytes[name] != expected:
            sys.exit(f"{name}: argument block of {block_bytes[name]} bytes, expected {expected}")
        yield name, (folder / f"{name}.ll").read_text()


def argument_block_bytes(metadata: str) -> dict[str, int]:
    """Size of each kernel's argument block (the file is nearly, but not quite, JSON)."""
    found = re.findall(r'"kernel_key": "(\w+)"|"args_size": (\d+)', metadata)
    keys = [key for key, _ in found if key]
    return dict(zip(keys, (int(size) for _, size in found if size), strict=True))


def compile_object(ir: str, symbol: str, cpu: str) -> bytes:
    """One object file whose only global function is `symbol`."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(ir)
    defined = [f for f in module.functions if not f.is_declaration]
    if len(defined) != 1:
        sys.exit(f"{symbol}: expected one task, got {[f.name for f in defined]}")
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


def write_names(names, out: Path):
    """The kernels' names as a macro, for the bridge."""
    table = "".join(f" \\\n  X({name})" for name in names)
    (out / "kernel_table.h").write_text(f"#pragma once\n#define EVOPS_KERNELS(X){table}\n")


def main(out: Path):
    os.environ["TI_SKIP_VERSION_CHECK"] = "ON"
    out.mkdir(parents=True, exist_ok=True)
    try:
        with redirect_stdout(sys.stderr):
            import taichi as ti

            ti.init(arch=ti.x64, offline_cache=False, fast_math=False, log_level=ti.ERROR)
    except ImportError as error:
        sys.exit(f"taichi does not import: {error} (a library named here is a system package)")
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    names, objects = [], []
    for name, ir in taichi_ir(kernels(), out):
        names.append(name)
        for level, cpu in LEVELS.items():
            if level != "x86_64" and name.startswith(BY_HAND):
                continue
            path = out / f"{name}_{level}.o"
            path.write_bytes(compile_object(ir, f"evops_{name}_{level}", cpu))
            objects.append(path.as_posix())
    write_names(names, out)
    (out / "objects.txt").write_text(";".join(objects))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main(Path(sys.argv[1]).resolve())
