"""From the LLVM IR of a kernel for CPUs to an object file.

The text is Taichi's before its own optimiser, which would unroll loops so that no vectors can be
made of them. That text calls small functions of Taichi's run time, such as ``max_i32``. Taichi has
them in a file, in LLVM's form, from which they are put into the kernel; some have another version
here (mathematics.py).
"""

import re
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import arrays, division, mathematics

_TRIPLE = "x86_64-pc-linux-gnu"
# Functions that an object may call: every process has those of memory and of the C library's
# mathematics. All others belong to Taichi's run time, which is not there.
_MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh erf erfc exp exp10 exp2 expm1 "
    "fabs floor fma fmax fmin fmod ldexp log log10 log1p log2 nearbyint pow rint round "
    "roundeven sin sincos sinh sqrt tan tanh trunc"
).split()
ALLOWED = {"memcpy", "memmove", "memset", *_MATH, *(f"{name}f" for name in _MATH)}
# AVX-512 with vectors of 512 bits: LLVM would halve them for processors that they once slowed down.
_FEATURES = "-prefer-256-bit"
# declare float @exp_f32(float noundef) #0
_DECLARED = re.compile(r"^declare [^\n]*@([\w.$]+)\([^\n]*\n", re.M)


class Refused(Exception):
    """Taichi compiles the kernel, but it cannot be called without Taichi's run time."""


def compile_object(
    tasks: Sequence[str], symbol: str, cpu: str, *, for_this_machine: bool = False
) -> bytes:
    """One object file whose only global function is `symbol`.

    Args:
        tasks: the text of each task of the kernel, before Taichi's optimiser.
        symbol: name for the kernel's function.
        cpu: LLVM's name of the processor to compile for.
        for_this_machine: whether to put instructions into the order that is best here. The code
            is the same else, and runs on every `cpu`.

    Raises:
        Refused: the kernel needs Taichi's run time, does nothing, or has several tasks.
    """
    ir = whole(tasks, symbol)
    if for_this_machine:
        import llvmlite.binding as llvm

        ir = arrays.tuned(ir, llvm.get_host_cpu_name())
    module, target = optimised(ir, cpu)
    return target.emit_object(module)


def whole(tasks: Sequence[str], symbol: str) -> str:
    """The text of a kernel that needs nothing else but the C library; see `compile_object`."""
    if not tasks:
        raise Refused(f"{symbol} does nothing")
    # On a CPU loops run in order, so Taichi makes one task of a kernel.
    if len(tasks) != 1:
        raise Refused(f"{symbol}: expected one task, got {len(tasks)}")
    try:
        ir = arrays.apart(tasks[0], symbol)
    except arrays.Unknown as error:
        raise Refused(f"{symbol} needs Taichi's run time") from error
    return division.without_traps(_with_run_time(ir))


def optimised(ir: str, cpu: str) -> tuple[Any, Any]:
    """LLVM's module after its passes, and the machine to write it for (llvmlite's objects)."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(ir)
    target = llvm.Target.from_triple(_TRIPLE).create_target_machine(
        cpu=cpu, opt=3, reloc="pic", codemodel="small", features=_FEATURES
    )
    passes = llvm.create_module_pass_manager()
    builder = llvm.create_pass_manager_builder()
    builder.opt_level, builder.slp_vectorize, builder.loop_vectorize = 3, True, True
    builder.inlining_threshold = 225  # clang's at this level
    # Before the others are chosen: these ask what the processor's vectors cost.
    target.add_analysis_passes(passes)
    builder.populate(passes)
    passes.run(module)
    return module, target


def _with_run_time(ir: str) -> str:
    """The text with the functions of Taichi's run time that it calls."""
    import llvmlite.binding as llvm

    own = [name for name in _DECLARED.findall(ir) if name in mathematics.FUNCTIONS]
    ir = _DECLARED.sub(lambda found: "" if found[1] in own else found[0], ir)
    if own:
        ir += mathematics.definitions(own)
    if not any(not name.startswith("llvm.") for name in _DECLARED.findall(ir)):
        return ir
    module = llvm.parse_assembly(ir)
    module.triple = _TRIPLE
    library = llvm.parse_bitcode(_run_time().read_bytes())
    for part in (*library.functions, *library.global_variables):
        if not part.is_declaration:
            part.linkage = "linkonce_odr"  # what is not called stays behind
    module.link_in(library)
    text = str(module).replace(" linkonce_odr ", " internal ")
    # Compiled without optimisation, for a processor of its own.
    text = re.sub(
        r"^(attributes #\d+ = \{).*\boptnone\b.*\}", r"\1 alwaysinline nounwind }", text, flags=re.M
    )
    return re.sub(r' "[\w-]+"="[^"]*"', "", text)


def _run_time() -> Path:
    """Taichi's file of its run time's functions."""
    taichi: Any = sys.modules["taichi"]
    return Path(taichi.__file__).parent / "_lib/runtime/runtime_x64.bc"


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
