"""Which of its arrays a kernel writes to, read from the LLVM IR that Taichi made of it.

By then every function is inlined and every name resolved, so it does not matter how the user's
source says it. Like emit.py this file imports nothing of evops.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

_FUNCTION = re.compile(r"^define [^\n]*\{\n(.*?)^\}", re.M | re.S)
_INSTRUCTION = re.compile(r"^ +(?:(%[\w.$-]+) = )?((?:(?:tail|musttail|notail) )?\w+) (.*)$", re.M)
_NAME = re.compile(r"%[\w.$-]+")
_POINTER = re.compile(r"\*(?: [a-z]\w*(?:\(\w+\))?(?: \d+)?)* (%[\w.$-]+)")
# Arguments are a struct without a name, of {{extents}, address} for each array; where one of those
# lies, where its address lies, and both steps at once.
_ARRAY = re.compile(r"(?:inbounds )?\{ \{.*\* %[\w.$-]+, i\d+ 0, i32 (\d+)(?:, !|$)")
_ADDRESS = re.compile(r"(?:inbounds )?\{ \{.*\* (%[\w.$-]+), i\d+ 0, i32 1(?:, !|$)")
_BOTH = re.compile(r"(?:inbounds )?\{ \{.*\* %[\w.$-]+, i\d+ 0, i32 (\d+), i32 1(?:, !|$)")
_LOADS_POINTER = re.compile(r"[^,]+\*, ")
# results that are addresses, or steps to one, where an operand is
_KEEPS = set(
    "getelementptr bitcast addrspacecast inttoptr ptrtoint phi select freeze add sub "
    "insertelement extractelement shufflevector".split()
)
_CALLS = {"call", "tail call", "musttail call", "notail call", "invoke"}
_READ_ONLY = re.compile(r"@llvm\.(?!memcpy|memmove|memset|masked|nvvm\.atomic)")


def written(ir: str) -> set[int]:
    """Positions of the arrays, among all of the kernel's, that are written to."""
    return {array for body in _FUNCTION.findall(ir) for array in _in_function(body)}


def _in_function(body: str) -> Iterator[int]:
    instructions = _INSTRUCTION.findall(body)
    places: defaultdict[str, set[int]] = defaultdict(set)  # what an address of an address is of
    arrays: defaultdict[str, set[int]] = defaultdict(set)
    steps = {name: rest for name, what, rest in instructions if what == "getelementptr"}
    inside = {name: int(found[1]) for name, rest in steps.items() if (found := _ARRAY.match(rest))}
    for name, rest in steps.items():
        if found := _BOTH.match(rest):
            places[name].add(int(found[1]))
        elif (found := _ADDRESS.match(rest)) and found[1] in inside:
            places[name].add(inside[found[1]])
    before = -1
    while before != (before := sum(map(len, [*places.values(), *arrays.values()]))):
        for name, what, rest in instructions:
            for used in _NAME.findall(rest) if name else ():
                if what == "load" and _LOADS_POINTER.match(rest):
                    arrays[name] |= places.get(used, set())
                elif what in _KEEPS and used != name:
                    places[name] |= places.get(used, set())
                    arrays[name] |= arrays.get(used, set())
    for _, what, rest in instructions:
        for pointer in _addresses(what, rest):
            yield from arrays.get(pointer, ())


def _addresses(what: str, rest: str) -> list[str]:
    """The names behind which an instruction may write."""
    pointers = _POINTER.findall(rest)
    if what == "store":
        return pointers[-1:]
    if what in ("atomicrmw", "cmpxchg"):
        return pointers[:1]
    if what not in _CALLS or _READ_ONLY.search(rest):
        return []
    return pointers[:1] if "@llvm.mem" in rest else pointers
