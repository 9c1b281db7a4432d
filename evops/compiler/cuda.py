"""From the LLVM IR of Taichi's CUDA kernels to PTX whose arguments are launch parameters.

A kernel of Taichi's is some tasks, each a function of a context that points to the arguments, and
to Taichi's run time where tasks leave values for each other. Here every task becomes an entry that
gets the arguments by value, so that a launch copies nothing to the device first, and builds the
context itself; the run time is a piece of scratch memory, whose address comes behind the arguments.

Like emit.py this is also used where there is no evops: by ``kernels/build_gpu.py``.
"""

import re
from collections.abc import Mapping

ARCHITECTURE, PTX = "sm_70", "ptx63"  # the oldest; drivers compile it for newer cards
MAX_ARGUMENT_BYTES = 4096  # that a launch takes
SCRATCH_BYTES = 1 << 20  # what Taichi's compiler may use of them
MAX_SHARED_BYTES = 48 * 1024  # that a block has on every card without being asked for more

# Blocks of a task that has work for many: with 128 threads each, 2**18 threads.
BLOCKS = 2048

_CONTEXT = r"%struct\.RuntimeContext[.\d]*"
_RUNTIME = r"%struct\.LLVMRuntime[.\d]*"
_TEMPORARY = re.compile(
    rf"^define internal i8\* @(get_temporary_pointer[.\d]*)\(({_RUNTIME})\*.*?^}}$", re.M | re.S
)


def tasks(ir: str) -> list[str]:
    """The names of a kernel's tasks, in any order."""
    return re.findall(rf"^define void @(\w+)\({_CONTEXT}\* byval", ir, re.M)


def uses_scratch(ir: str) -> bool:
    """Whether the tasks leave values for each other."""
    return _TEMPORARY.search(ir) is not None


def uses_run_time(ir: str) -> bool:
    """Whether a kernel takes more of Taichi's run time than that."""
    field = rf"getelementptr (?:inbounds )?{_RUNTIME},"
    return re.search(field, _TEMPORARY.sub("", ir)) is not None


def with_entries(ir: str, entries: Mapping[str, str], size: int, *, by_value: bool) -> str:
    """The IR with each task as an inner function of an entry.

    Args:
        ir: what Taichi wrote.
        entries: the name of the entry of each task.
        size: bytes of Taichi's arguments; the address of the scratch memory follows if it is used.
        by_value: whether the arguments are parameters of the launch (or, for a test on a CPU, an
            address).
    """
    scratch = uses_scratch(ir)
    words = size // 8
    block = f"[{words + scratch} x i64]"
    # the run time is the scratch memory
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
        context = found[1]
        ir = ir.replace(
            found[0], f"define internal void @{inner}({context}* %context) alwaysinline"
        )
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
    ir = re.sub(r"call i32 @__nvvm_reflect\(.*?\)(?= #|$|,)", "add i32 0, 0", ir, flags=re.M)
    return _with_shared(ir.replace(" seq_cst, align", " monotonic, align"))


def _with_shared(ir: str) -> str:
    """With memory for the arrays that the threads of a block share.

    Taichi leaves it to others, and gives arrays of different tasks one name: an array that is seen
    as one of another type becomes one of its own. Those of no length, which are what a launch would
    have to make room for, stay as they are.
    """
    kind = r"\[[^()*]+\]"
    view = rf"bitcast \({kind} addrspace\(3\)\* (@[\w.]+) to ({kind}) addrspace\(3\)\*\)"
    made: dict[tuple[str, str], str] = {}
    ir = re.sub(view, lambda f: made.setdefault((f[1], f[2]), f"{f[1]}.{len(made)}"), ir)
    ir += "".join(
        f"\n{new} = external addrspace(3) global {type}, align 8\n"
        for (_, type), new in made.items()
    )
    given = rf"^(@[\w.]+ = )external (addrspace\(3\) global (?!\[0 x){kind})"
    return re.sub(given, r"\1internal \2 undef", ir, flags=re.M)


def shared_bytes(text: str, entry: str) -> int:
    """What the threads of a block share in an entry of a PTX text."""
    body = text[text.index(f".entry {entry}(") :].split(".entry ", 2)[1]
    sizes = re.findall(r"\.shared \.align \d+ \.[bfsu](\d+)\s+([\w$.]+)(?:\[(\d+)\])?;", text)
    used = {name: int(bits) // 8 * int(count or 1) for bits, name, count in sizes}
    return sum(used[name] for name in used if re.search(rf"\b{re.escape(name)}\b", body))


def optimise(module, machine) -> None:
    """LLVM's passes for the machine."""
    import llvmlite.binding as llvm

    passes = llvm.create_module_pass_manager()
    builder = llvm.create_pass_manager_builder()
    builder.opt_level, builder.inlining_threshold = 3, 500
    builder.populate(passes)
    machine.add_analysis_passes(passes)
    passes.run(module)


def ptx(ir: str) -> str:
    """PTX of a kernel with its entries."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(clean(ir))
    module.verify()
    target = llvm.Target.from_triple("nvptx64-nvidia-cuda")
    machine = target.create_target_machine(cpu=ARCHITECTURE, features=f"+{PTX}", opt=3)
    optimise(module, machine)
    return machine.emit_assembly(module)


def externals(text: str) -> list[str]:
    """What a PTX text leaves to others."""
    return re.findall(r"^\s*\.extern\b.*?([\w$]+)(?:\[\d*\])?;?\s*$", text, re.M)
