"""From the LLVM IR of Taichi's CUDA kernels to PTX whose arguments are launch parameters.

A Taichi kernel is a series of tasks. Each is a function of a context, which points to the arguments
and to Taichi's run time; there tasks leave values for each other.

Here every task becomes an entry that takes the arguments by value and builds the context. So a
launch copies nothing to the device first. In place of the run time the entry gets a piece of
scratch memory, whose address comes after the arguments.
"""

import re
from collections.abc import Mapping
from typing import Any

ARCHITECTURE, PTX = "sm_70", "ptx63"  # the oldest supported; drivers compile it for newer cards
MAX_ARGUMENT_BYTES = 4096  # the limit of a launch
SCRATCH_BYTES = 1 << 20  # the size of Taichi's buffer of temporary values
MAX_SHARED_BYTES = 48 * 1024  # a block has these on every card, and more only on request

# Blocks of a task that has work for many: with 128 threads each, 2**18 threads.
BLOCKS = 2048

_CONTEXT = r"%struct\.RuntimeContext[.\d]*"
_RUNTIME = r"%struct\.LLVMRuntime[.\d]*"
# Taichi's function that gives the address of a temporary value; it is the only use of the run time
# that can be replaced:
#   define internal i8* @get_temporary_pointer(%struct.LLVMRuntime.6* noundef %0, i64 noundef %1) #0
_TEMPORARY = re.compile(
    rf"^define internal i8\* @(get_temporary_pointer[.\d]*)\(({_RUNTIME})\*.*?^}}$", re.M | re.S
)


def tasks(ir: str) -> list[str]:
    """The names of a kernel's tasks, in any order: Taichi's metadata have theirs."""
    # define void @k_c80_0_kernel_1_range_for(%struct.RuntimeContext.7* byval(…) %context) {
    return re.findall(rf"^define void @(\w+)\({_CONTEXT}\* byval", ir, re.M)


def uses_scratch(ir: str) -> bool:
    """Whether the tasks leave values for each other."""
    return _TEMPORARY.search(ir) is not None


def uses_run_time(ir: str) -> bool:
    """Whether a kernel uses more of Taichi's run time than temporary values."""
    # %6 = getelementptr inbounds %struct.LLVMRuntime.6, %struct.LLVMRuntime.6* %5, i32 0, i32 14
    field = rf"getelementptr (?:inbounds )?{_RUNTIME},"
    return re.search(field, _TEMPORARY.sub("", ir)) is not None


def with_entries(ir: str, entries: Mapping[str, str], size: int, *, by_value: bool) -> str:
    """The IR with each task as an inner function of an entry.

    Args:
        ir: what Taichi wrote.
        entries: the name of the entry of each task.
        size: bytes of Taichi's arguments; the address of the scratch memory follows if it is used.
        by_value: whether the arguments are parameters of the launch. Tests that run entries on a
            CPU pass an address.
    """
    scratch = uses_scratch(ir)
    words = size // 8
    block = f"[{words + scratch} x i64]"
    # The run time is the scratch memory itself: its address plus an offset is a temporary's
    # address.
    ir = _TEMPORARY.sub(
        lambda found: (
            f"""define internal i8* @{found[1]}({found[2]}* %0, i64 %1) {{
  %3 = bitcast {found[2]}* %0 to i8*
  %4 = getelementptr i8, i8* %3, i64 %1
  ret i8* %4
}}"""
        ),
        ir,
    )
    attribute = f" byval({block}) align 8" if by_value else ""
    for inner in tasks(ir):
        entry = entries[inner]
        found = re.search(rf"^define void @{inner}\(({_CONTEXT})\* byval.*?%context\)", ir, re.M)
        assert found is not None
        # Inlined, so that the optimiser can do without the context.
        context = found[1]
        ir = ir.replace(
            found[0], f"define internal void @{inner}({context}* %context) alwaysinline"
        )
        # NVVM's annotations say which functions are kernels; now the entry is one, with its type.
        ir = ir.replace(f"void ({context}*)* @{inner}, !", f"void ({block}*)* @{entry}, !")
        ir += f"""
define void @{entry}({block}*{attribute} %arguments) {{
  %context = alloca {context}, align 8
  %field = getelementptr {context}, {context}* %context, i32 0, i32 0
  %bytes = bitcast {block}* %arguments to i8*
  store i8* %bytes, i8** %field, align 8
"""
        if scratch:
            [run_time] = re.findall(
                rf"^{re.escape(context)} = type {{ i8\*, ({_RUNTIME})\*,", ir, re.M
            )
            ir += f"""
  %run_time = getelementptr {context}, {context}* %context, i32 0, i32 1
  %place = getelementptr {block}, {block}* %arguments, i32 0, i32 {words}
  %address = load i64, i64* %place, align 8
  %scratch = inttoptr i64 %address to {run_time}*
  store {run_time}* %scratch, {run_time}** %run_time, align 8
"""
        ir += f"""
  call void @{inner}({context}* %context)
  ret void
}}
"""
    return ir


def clean(ir: str) -> str:
    """Without what only Taichi's own pipeline resolves: flags of libdevice, room for arrays."""
    # libdevice asks whether denormals are flushed to 0 (`call i32 @__nvvm_reflect(i8* …)`): no.
    ir = re.sub(r"call i32 @__nvvm_reflect\(.*?\)(?= #|$|,)", "add i32 0, 0", ir, flags=re.M)
    return _with_shared(ir.replace(" seq_cst, align", " monotonic, align"))


def _with_shared(ir: str) -> str:
    """With memory for the arrays that the threads of a block share.

    Taichi only declares these arrays, and gives those of different tasks one name. Here an array
    that is used as one of another type becomes a separate array. Arrays without a length stay:
    the launch makes room for them.
    """
    # bitcast ([64 x float] addrspace(3)* @shared_array_2 to [32 x i32] addrspace(3)*)
    kind = r"\[[^()*]+\]"
    view = rf"bitcast \({kind} addrspace\(3\)\* (@[\w.]+) to ({kind}) addrspace\(3\)\*\)"
    made: dict[tuple[str, str], str] = {}
    ir = re.sub(view, lambda f: made.setdefault((f[1], f[2]), f"{f[1]}.{len(made)}"), ir)
    ir += "".join(
        f"\n{new} = external addrspace(3) global {type}, align 8\n"
        for (_, type), new in made.items()
    )
    # @shared_array_2 = external addrspace(3) global [64 x float], align 8
    given = rf"^(@[\w.]+ = )external (addrspace\(3\) global (?!\[0 x){kind})"
    return re.sub(given, r"\1internal \2 undef", ir, flags=re.M)


def shared_bytes(text: str, entry: str) -> int:
    """Bytes of the arrays that the threads of a block share in an entry of a PTX text."""
    # .shared .align 8 .b8 shared_array_2[256];
    body = text[text.index(f".entry {entry}(") :].split(".entry ", 2)[1]
    sizes = re.findall(r"\.shared \.align \d+ \.[bfsu](\d+)\s+([\w$.]+)(?:\[(\d+)\])?;", text)
    used = {name: int(bits) // 8 * int(count or 1) for bits, name, count in sizes}
    return sum(used[name] for name in used if re.search(rf"\b{re.escape(name)}\b", body))


def optimise(module: Any, machine: Any) -> None:
    """Run LLVM's passes for the machine on the module (llvmlite's objects of these names)."""
    import llvmlite.binding as llvm

    passes = llvm.create_module_pass_manager()
    builder = llvm.create_pass_manager_builder()
    builder.opt_level, builder.inlining_threshold = 3, 500
    builder.populate(passes)
    machine.add_analysis_passes(passes)
    passes.run(module)


def ptx(ir: str) -> str:
    """PTX of a kernel's IR, with its entries."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(clean(ir))
    module.verify()  # the entries were written as text
    target = llvm.Target.from_triple("nvptx64-nvidia-cuda")
    machine = target.create_target_machine(cpu=ARCHITECTURE, features=f"+{PTX}", opt=3)
    optimise(module, machine)
    return machine.emit_assembly(module)


def externals(text: str) -> list[str]:
    """The names that a PTX text declares and does not define."""
    # .extern .func  (.param .b32 func_retval0) vprintf
    return re.findall(r"^\s*\.extern\b.*?([\w$]+)(?:\[\d*\])?;?\s*$", text, re.M)
