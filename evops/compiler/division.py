"""Divisions of integers that an x86 CPU does not finish, and ends the process for, in LLVM IR.

It traps where a divisor is 0 and where a quotient does not fit: the smallest integer by -1. Results
there are XLA's: all bits set for a quotient by 0, the dividend for a remainder, and -2**31 divided
by -1 is -2**31. Like emit.py this file imports nothing of evops.
"""

import re

# Of divisors that are no constants.
_DIVISION = re.compile(
    r"^  (?P<name>%[\w.$-]+) = (?P<what>[su](?:div|rem))(?: exact)? "
    r"(?P<type>(?:<(?P<lanes>\d+) x )?(?P<number>i\d+)>?) "
    r"(?P<a>[^,<]+|<[^>]*>), (?P<b>%[\w.$-]+)(?P<rest>.*)$",
    re.M,
)


def without_traps(ir: str) -> str:
    """The IR with divisors that are never 0, nor -1 where signs count."""
    return _DIVISION.sub(_guarded, ir)


def _guarded(found: re.Match[str]) -> str:
    name, what, kind, number, a, b, rest = found.group(
        "name", "what", "type", "number", "a", "b", "rest"
    )
    lanes = int(found["lanes"] or 0)
    bit = kind.replace(number, "i1")

    def each(value: int) -> str:
        return f"<{', '.join([f'{number} {value}'] * lanes)}>" if lanes else str(value)

    own = f"%evops.{name[1:]}"  # numbered names must stay in order, so these are words
    zero, minus, unsafe, got = f"{own}.zero", f"{own}.minus", f"{own}.unsafe", f"{own}.got"
    lines = [
        f"{zero} = icmp eq {kind} {b}, {each(0)}",
        f"{minus} = icmp eq {kind} {b}, {each(-1)}",
        f"{unsafe} = or {bit} {zero}, {minus if what[0] == 's' else zero}",
        f"{own}.divisor = select {bit} {unsafe}, {kind} {each(1)}, {kind} {b}",
        f"{got} = {what} {kind} {a}, {own}.divisor",
    ]
    if what == "sdiv":
        lines += [
            f"{own}.negative = sub {kind} {each(0)}, {a}",
            f"{own}.quotient = select {bit} {minus}, {kind} {own}.negative, {kind} {got}",
        ]
        got = f"{own}.quotient"
    at_zero = each(-1) if what.endswith("div") else a
    lines += [f"{name} = select {bit} {zero}, {kind} {at_zero}, {kind} {got}{rest}"]
    return "\n".join(f"  {line}" for line in lines)
