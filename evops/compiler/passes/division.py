"""Integer divisions in LLVM IR, guarded where an x86 CPU would trap and end the process.

It traps if the divisor is 0, and if the quotient does not fit: the smallest integer by -1. The
results are then XLA's: all bits set for a quotient by 0, the dividend for a remainder, and -2**31
divided by -1 is -2**31.
"""

import re

#   %12 = sdiv i32 %10, %11
# or, on vectors,
#   %13 = urem <4 x i32> <i32 7, i32 7, i32 7, i32 7>, %11
# Divisors that are constants do not match: LLVM leaves no division by one that traps.
_DIVISION = re.compile(
    r"^  (?P<name>%[\w.$-]+) = (?P<what>[su](?:div|rem))(?: exact)? "
    r"(?P<type>(?:<(?P<lanes>\d+) x )?(?P<number>i\d+)>?) "
    r"(?P<a>[^,<]+|<[^>]*>), (?P<b>%[\w.$-]+)(?P<rest>.*)$",
    re.M,
)


def without_traps(ir: str) -> str:
    """The IR with divisors that are never 0, and never -1 in signed divisions."""
    return _DIVISION.sub(_guarded, ir)


def _guarded(found: re.Match[str]) -> str:
    name, what, kind, number, a, b, rest = found.group(
        "name", "what", "type", "number", "a", "b", "rest"
    )
    # Vectors are guarded lane by lane: `each` writes a constant of the type, `bit` is its i1.
    lanes = int(found["lanes"] or 0)
    bit = kind.replace(number, "i1")

    def each(value: int) -> str:
        return f"<{', '.join([f'{number} {value}'] * lanes)}>" if lanes else str(value)

    # Words, not numbers: LLVM wants numbered names in order, so these would shift all that follow.
    own = f"%evops.{name[1:]}"
    zero, minus, unsafe, got = f"{own}.zero", f"{own}.minus", f"{own}.unsafe", f"{own}.got"
    # Divide by 1 where the CPU would trap, then put the right result in its place: selects and no
    # branches, which vectors could not take.
    lines = [
        f"{zero} = icmp eq {kind} {b}, {each(0)}",
        f"{minus} = icmp eq {kind} {b}, {each(-1)}",
        f"{unsafe} = or {bit} {zero}, {minus if what[0] == 's' else zero}",
        f"{own}.divisor = select {bit} {unsafe}, {kind} {each(1)}, {kind} {b}",
        f"{got} = {what} {kind} {a}, {own}.divisor",
    ]
    # A quotient by -1 is the negated dividend, which wraps for the smallest integer. A remainder by
    # 1 is 0, as by -1.
    if what == "sdiv":
        lines += [
            f"{own}.negative = sub {kind} {each(0)}, {a}",
            f"{own}.quotient = select {bit} {minus}, {kind} {own}.negative, {kind} {got}",
        ]
        got = f"{own}.quotient"
    at_zero = each(-1) if what.endswith("div") else a
    # The result keeps the name, so that what follows need not change.
    lines += [f"{name} = select {bit} {zero}, {kind} {at_zero}, {kind} {got}{rest}"]
    return "\n".join(f"  {line}" for line in lines)
