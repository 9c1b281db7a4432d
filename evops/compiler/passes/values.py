"""Numbers in LLVM IR, with Python's operators: formulas write the code that computes them."""

import dataclasses
import math
import struct


@dataclasses.dataclass(frozen=True)
class Width:
    """A floating-point type, and where its series and its range end.

    Attributes:
        type: LLVM's name.
        integer: of integers of the same size.
        bits: of a number.
        mantissa: explicit bits of the significand.
        bias: of the exponent.
        exp_terms: powers of the series of exp, for arguments up to log(2)/2.
        log_terms: of log, in powers of ((m - 1) / (m + 1))**2 for m from sqrt(1/2) to sqrt(2).
        short: bits of log(2)'s first part, few enough to multiply it by an exponent exactly.
    """

    type: str
    integer: str
    bits: int
    mantissa: int
    bias: int
    exp_terms: int
    log_terms: int
    short: int

    @property
    def round_by(self) -> float:
        """Numbers added to this one are rounded to integers, which its last bits then hold."""
        return 1.5 * 2.0**self.mantissa


F32 = Width("float", "i32", 32, 23, 127, 7, 4, 12)
F64 = Width("double", "i64", 64, 52, 1023, 13, 10, 40)


# LLVM's function for a product and a sum, which it fuses where that is faster
FMULADD = {"float": "llvm.fmuladd.f32", "double": "llvm.fmuladd.f64"}


@dataclasses.dataclass(frozen=True)
class Value:
    """A value in LLVM IR, with Python's operators.

    Attributes:
        code: the lines so far, to which operators add theirs.
        type: LLVM's name: float, double, i32, i64 or i1.
        name: its name in the lines, or a constant.
    """

    code: list[str]
    type: str
    name: str

    def new(self, type: str, operation: str) -> "Value":
        """The result of an operation."""
        name = f"%x{len(self.code)}"
        self.code.append(f"  {name} = {operation}")
        return Value(self.code, type, name)

    def constant(self, number: float | int) -> "Value":
        """A number of this value's type."""
        if self._is_integer():
            return Value(self.code, self.type, str(int(number)))
        if self.type == "float" and math.isfinite(number):
            (number,) = struct.unpack("f", struct.pack("f", number))
        # LLVM writes both types as the bits of a float64.
        bits = struct.unpack("<Q", struct.pack("<d", number))[0]
        return Value(self.code, self.type, f"0x{bits:016X}")

    def _with(self, other: "Value | float | int", operation: str) -> "Value":
        if not isinstance(other, Value):
            other = self.constant(other)
        return self.new(self.type, f"{operation} {self.type} {self.name}, {other.name}")

    def _is_integer(self) -> bool:
        return self.type.startswith("i")

    def __add__(self, other: "Value | float | int") -> "Value":
        return self._with(other, "add" if self._is_integer() else "fadd")

    def __sub__(self, other: "Value | float | int") -> "Value":
        return self._with(other, "sub" if self._is_integer() else "fsub")

    def __mul__(self, other: "Value | float | int") -> "Value":
        return self._with(other, "fmul")

    def times(self, factor: "Value | float | int", plus: "Value | float | int") -> "Value":
        """The product and a number more: rounded once where the processor can, else twice."""
        factor, plus = (v if isinstance(v, Value) else self.constant(v) for v in (factor, plus))
        operands = ", ".join(f"{v.type} {v.name}" for v in (self, factor, plus))
        return self.new(self.type, f"call {self.type} @{FMULADD[self.type]}({operands})")

    def __truediv__(self, other: "Value | float | int") -> "Value":
        return self._with(other, "fdiv")

    def __and__(self, other: "Value | int") -> "Value":
        return self._with(other, "and")

    def __or__(self, other: "Value | int") -> "Value":
        return self._with(other, "or")

    def __xor__(self, other: "Value | int") -> "Value":
        return self._with(other, "xor")

    def __lshift__(self, bits: int) -> "Value":
        return self._with(bits, "shl")

    def __rshift__(self, bits: int) -> "Value":
        """Shift right; the sign moves along."""
        return self._with(bits, "ashr")

    def compare(self, how: str, other: "Value | float | int") -> "Value":
        """A bit for LLVM's comparison `how`: of floats ``oeq`` is false with NaN, ``une`` true."""
        if not isinstance(other, Value):
            other = self.constant(other)
        what = "icmp" if self._is_integer() else "fcmp"
        return self.new("i1", f"{what} {how} {self.type} {self.name}, {other.name}")

    def where(self, yes: "Value", no: "Value | float | int") -> "Value":
        """`yes` where this bit is set, else `no`."""
        if not isinstance(no, Value):
            no = yes.constant(no)
        choice = f"{yes.type} {yes.name}, {no.type} {no.name}"
        return self.new(yes.type, f"select i1 {self.name}, {choice}")

    def bits_as(self, type: str) -> "Value":
        """The same bits as another type."""
        return self.new(type, f"bitcast {self.type} {self.name} to {type}")

    def converted(self, type: str) -> "Value":
        """The nearest number of the other floating-point type."""
        how = "fpext" if type == "double" else "fptrunc"
        return self.new(type, f"{how} {self.type} {self.name} to {type}")
