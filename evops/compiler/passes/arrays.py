"""The arrays of a kernel as parameters of a function, so that LLVM may assume that none overlap.

Taichi's kernels load addresses and extents from a block of arguments wherever they use an array. A
store might change the block, as far as LLVM knows, and two arrays might overlap: so it neither
keeps an address in a register nor turns a loop into vectors. Here the kernel's function reads the
block once, and calls the loop's function with addresses that are `noalias`.
"""

import re

# The text of LLVM 15 as Taichi prints it, before its own optimiser. The function of a kernel:
#   define void @step_c80_0_kernel_0_serial(%struct.RuntimeContext* %context) {
#   entry:
_HEAD = re.compile(
    r"^define void @(?P<name>[\w.$-]+)\((?P<context>%struct\.RuntimeContext[.\d]*)\* %context\) "
    r"\{\nentry:\n",
    re.M,
)
# How it finds the block, whose address is the first member of the context:
#   %1 = getelementptr %struct.RuntimeContext, %struct.RuntimeContext* %context, i32 0, i32 0
#   %2 = bitcast i8** %1 to { { { i32 }, float* }, { { i32, i32 }, i8* } }**
_FIELD = re.compile(r"  (%\d+) = getelementptr (\S+), \2\* %context, i32 0, i32 0$")
_BLOCK = re.compile(r"^  %\d+ = bitcast i8\*\* %\d+ to (\{ .* \})\*\*$", re.M)
# An array of the block: its extents and its address.
_ARRAY = re.compile(r"\{ \{ (i32(?:, i32)*) \}, (\w+\*) \}")


class Unknown(Exception):
    """The text uses its context in another way than for the arrays of its arguments."""


def apart(ir: str, symbol: str) -> str:
    """The kernel as a function `symbol` that hands its arrays to another.

    Args:
        ir: the text of one task, before Taichi's optimiser.
        symbol: a name for the kernel.

    Raises:
        Unknown: the kernel takes more out of its context than arrays.
    """
    head = _HEAD.search(ir)
    if head is None:
        raise Unknown
    uses = [line for line in ir[head.end() :].splitlines() if "%context" in line]
    blocks = set(_BLOCK.findall(ir))
    if not all(map(_FIELD.match, uses)) or len(blocks) > 1:
        raise Unknown
    if not blocks:  # it uses no array
        return ir[: head.start(1)] + symbol + ir[head.end(1) :]
    [block] = blocks
    arrays = _ARRAY.findall(block)
    if "{ " + ", ".join(f"{{ {{ {extents} }}, {to} }}" for extents, to in arrays) + " }" != block:
        raise Unknown
    context = head["context"]
    # Every word of the block: its type, its place, its name, and what holds of it.
    words = []
    for k, (extents, to) in enumerate(arrays):
        for axis in range(extents.count("i32")):
            words.append(("i32", f"i32 {k}, i32 0, i32 {axis}", f"extent.{k}.{axis}", ""))
        words.append((to, f"i32 {k}, i32 1", f"array.{k}", " noalias nocapture"))
    parameters = ", ".join(f"{kind}{holds} %evops.{name}" for kind, _, name, holds in words)
    given = ", ".join(f"{kind} %evops.{name}" for kind, _, name, _ in words)
    places = [
        f"  %evops.{name}.at = getelementptr {block}, {block}* %evops.block, i32 0, {place}\n"
        for _, place, name, _ in words
    ]
    loads = [
        f"  %evops.{name} = load {kind}, {kind}* %evops.{name}.at\n" for kind, _, name, _ in words
    ]
    stores = [
        f"  store {kind} %evops.{name}, {kind}* %evops.{name}.at\n" for kind, _, name, _ in words
    ]
    field = f"  %evops.field = getelementptr {context}, {context}* %context, i32 0, i32 0\n"
    # The inner function has a block and a context of its own. LLVM sees that nothing else knows
    # them, and puts the parameters in their place.
    return f"""{ir[: head.start()]}define void @{symbol}({context}* %context) nounwind {{
{field}  %evops.raw = load i8*, i8** %evops.field
  %evops.block = bitcast i8* %evops.raw to {block}*
{"".join(map("".join, zip(places, loads, strict=True)))}  call void @evops.loop({given})
  ret void
}}

define internal void @evops.loop({parameters}) noinline nounwind {{
entry:
  %evops.block = alloca {block}
  %context = alloca {context}
{"".join(map("".join, zip(places, stores, strict=True)))}{field}
  %evops.raw = bitcast {block}* %evops.block to i8*
  store i8* %evops.raw, i8** %evops.field
{ir[head.end() :]}"""


def tuned(ir: str, cpu: str) -> str:
    """The text of `apart` with the processor for whose pipelines LLVM orders instructions."""
    head = r"^(define internal void @evops\.loop\(.*\)[^\n{]*)\{$"
    return re.sub(head, rf'\1"tune-cpu"="{cpu}" {{', ir, flags=re.M)
