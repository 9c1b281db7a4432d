"""Which of its arrays a kernel writes to and reads, from the LLVM IR that Taichi made of it.

By then every function is inlined and every name resolved, so it does not matter how the user's
source writes. What a call is given belongs to JAX, which may still use it: a write would change
other values.

The analysis errs on one side: an address that may be of two arrays counts as of both.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

# Text of LLVM 15, as Taichi prints it. A function, its body the first group:
#   define void @kernel_0_serial(%struct.RuntimeContext* nocapture readonly %context) #0 {
#     ret void
#   }
_FUNCTION = re.compile(r"^define [^\n]*\{\n(.*?)^\}", re.M | re.S)
# Name, operation and the rest of an instruction:
#     %9 = load i32*, i32** %8, align 8
#     store i32 %33, i32* %scevgep, align 4
_INSTRUCTION = re.compile(r"^ +(?:(%[\w.$-]+) = )?((?:(?:tail|musttail|notail) )?\w+) (.*)$", re.M)
# %scevgep and %8 in `%scevgep = getelementptr i32, i32* %8, i64 1`; numbers are names as well.
_NAME = re.compile(r"%[\w.$-]+")
# A pointer operand, with attributes: %4 in `atomicrmw add i32* %4, i32 1 seq_cst`, %5 in
# `call void @llvm.memcpy.p0i8.p0i8.i64(i8* noundef align 4 %5, i8* %6, i64 40, i1 false)`.
_POINTER = re.compile(r"\*(?: [a-z]\w*(?:\(\w+\))?(?: \d+)?)* (%[\w.$-]+)")
# The arguments are a struct without a name, of { { extents }, address } for each array. Its type T
# below is for example `{ { { i32 }, i32* }, { { i32 }, i32* } }`. The place of array 1 in it:
#     %8 = getelementptr T, T* %7, i64 0, i32 1
_ARRAY = re.compile(r"(?:inbounds )?\{ \{.*\* %[\w.$-]+, i\d+ 0, i32 (\d+)(?:, !|$)")
# The place of the address in such an array:
#     %9 = getelementptr { { i32 }, i32* }, { { i32 }, i32* }* %8, i64 0, i32 1
_ADDRESS = re.compile(r"(?:inbounds )?\{ \{.*\* (%[\w.$-]+), i\d+ 0, i32 1(?:, !|$)")
# Both steps at once, which is what optimised code has:
#     %9 = getelementptr T, T* %7, i64 0, i32 1, i32 1
_BOTH = re.compile(r"(?:inbounds )?\{ \{.*\* %[\w.$-]+, i\d+ 0, i32 (\d+), i32 1(?:, !|$)")
# The rest of `%10 = load i32*, i32** %9, align 8`, but not of `%11 = load i32, i32* %10`.
_LOADS_POINTER = re.compile(r"[^,]+\*, ")
# A load of a number, and its address: `  %53 = load float, float* %52, align 4`
_LOAD = re.compile(
    r"^( +%[\w.$-]+ = load (?:i\d+|half|float|double), \S+ (%[\w.$-]+), align \d+)$", re.M
)
# Operations whose result may be an address, or part of one, if an operand is.
_KEEPS = set(
    "getelementptr bitcast addrspacecast inttoptr ptrtoint phi select freeze add sub "
    "insertelement extractelement shufflevector".split()
)
_CALLS = {"call", "tail call", "musttail call", "notail call", "invoke"}
# Intrinsics write nothing, but for these: `call float @llvm.sqrt.f32(float %3)` does not.
_READ_ONLY = re.compile(r"@llvm\.(?!memcpy|memmove|memset|masked|nvvm\.atomic)")


def written(ir: str) -> set[int]:
    """Positions, among all arrays of the kernel, of those that it writes to."""
    return {array for body in _FUNCTION.findall(ir) for array in _in_function(body)}


def with_invariant_loads(ir: str) -> str:
    """The IR with a word to LLVM at loads from arrays that no part of the kernel writes to."""
    changed = written(ir)
    # An empty node, numbered after all others: `!17 = !{}`.
    node = 1 + max(map(int, re.findall(r"^!(\d+) = ", ir, re.M)), default=0)

    def in_function(found: re.Match[str]) -> str:
        arrays = _arrays(_INSTRUCTION.findall(found[1]))

        def at_load(load: re.Match[str]) -> str:
            behind = arrays.get(load[2], set())
            return (
                f"{load[1]}, !invariant.load !{node}"
                if behind and not behind & changed
                else load[0]
            )

        return _LOAD.sub(at_load, found[0])

    return f"{_FUNCTION.sub(in_function, ir)}\n!{node} = !{{}}\n"


def _in_function(body: str) -> Iterator[int]:
    """Positions of arrays behind the addresses to which a function writes."""
    instructions = _INSTRUCTION.findall(body)
    arrays = _arrays(instructions)
    for _, what, rest in instructions:
        for pointer in _addresses(what, rest):
            yield from arrays.get(pointer, ())


def _arrays(instructions: list[tuple[str, str, str]]) -> dict[str, set[int]]:
    """For each name of a function, the arrays into which it may point."""
    # For each name, the arrays whose address may lie where it points, and those into which it may
    # point itself.
    places: defaultdict[str, set[int]] = defaultdict(set)
    arrays: defaultdict[str, set[int]] = defaultdict(set)
    steps = {name: rest for name, what, rest in instructions if what == "getelementptr"}
    inside = {name: int(found[1]) for name, rest in steps.items() if (found := _ARRAY.match(rest))}
    for name, rest in steps.items():
        if found := _BOTH.match(rest):
            places[name].add(int(found[1]))
        elif (found := _ADDRESS.match(rest)) and found[1] in inside:
            places[name].add(inside[found[1]])
    # Again until nothing is added: in loops a `phi` uses names that are defined after it.
    before = -1
    while before != (before := sum(map(len, [*places.values(), *arrays.values()]))):
        for name, what, rest in instructions:
            for used in _NAME.findall(rest) if name else ():
                if what == "load" and _LOADS_POINTER.match(rest):
                    arrays[name] |= places.get(used, set())
                elif what in _KEEPS and used != name:
                    places[name] |= places.get(used, set())
                    arrays[name] |= arrays.get(used, set())
    return arrays


def _addresses(what: str, rest: str) -> list[str]:
    """The names behind which an instruction may write."""
    pointers = _POINTER.findall(rest)
    if what == "store":  # value, address; the value may be a pointer, too
        return pointers[-1:]
    if what in ("atomicrmw", "cmpxchg"):
        return pointers[:1]
    if what not in _CALLS or _READ_ONLY.search(rest):
        return []
    # memcpy and its kin write to the first pointer only; of other functions nothing is known.
    return pointers[:1] if "@llvm.mem" in rest else pointers
