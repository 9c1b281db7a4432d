"""The draw format for C++: ``format.h``, written from the package's own definition of it."""

import ast
import enum
import inspect

from _evops import module

format, sampler = module("connectivity/format.py"), module("connectivity/sampler.py")


def camel(name: str) -> str:
    """``MIN_BLOCK_BITS`` and ``min_block_bits`` as ``MinBlockBits``."""
    return "".join(part.capitalize() for part in name.lower().split("_"))


def snake(name: str) -> str:
    """``GeometricGaps`` as ``geometric_gaps``."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def constants(of, type_name: str) -> str:
    """Every whole number that a module names in capitals."""
    return "".join(
        f"constexpr {type_name} k{camel(name)} = {value};\n"
        for name, value in vars(of).items()
        if name.isupper() and not name.startswith("_") and type(value) is int
    )


def enumeration(of: type[enum.IntEnum], name: str) -> str:
    """A scoped enumeration, and how many values it has."""
    values = ", ".join(f"k{camel(member.name)} = {member.value}" for member in of)
    return (
        f"enum class {name} : uint32_t {{ {values} }};\nconstexpr uint32_t k{name}s = {len(of)};\n"
    )


def struct(record: type, members: str = "", first: str = "") -> str:
    """A record's fields as members, and `Wrong`, which names one out of its range."""
    lines, checks = [], []
    for field in format.fields(record):
        low, high, meaning = (field.metadata[k] for k in ("low", "high", "meaning"))
        lines.append(f"  uint32_t {field.name};  // {meaning}\n")
        below = f"{field.name} < {low} || " if low else ""
        if below or high < format.MAX_WORD:
            above = f"{field.name} > {high}" if high < format.MAX_WORD else ""
            condition = (below + above).removesuffix(" || ")
            checks.append(f'    if ({condition}) return "{record.__name__}.{field.name}";\n')
    summary = (record.__doc__ or "").split("\n")[0]
    return (
        f"// {summary}\nstruct {record.__name__} {{\n{first}{''.join(lines)}{members}"
        "  // A field out of its range, or null.\n"
        f"  const char* Wrong() const {{\n{''.join(checks)}    return nullptr;\n  }}\n}};\n"
    )


def unused(record: type) -> str:
    """The check that words beyond the record's fields are 0."""
    first = len(format.fields(record))
    if first == format.FIELD_WORDS:
        return ""
    return (
        f"        for (int64_t k = {first}; k < kFieldWords; ++k)\n"
        f'          if (fields[k] != 0) return "{record.__name__}: a word that it does not use";\n'
    )


def scheme() -> str:
    """The record of whichever reader: a tagged union."""
    records = list(format.SCHEMES.values())
    members = "".join(f"    {r.__name__} {snake(r.__name__)};\n" for r in records)
    cases = "".join(
        f"      case Reader::k{r.__name__}:\n"
        f"        if (exclude_autapses > {int(r.excludes)}) "
        f'return "{r.__name__}.exclude_autapses";\n'
        f"{unused(r)}"
        f"        return {snake(r.__name__)}.Wrong();\n"
        for r in records
    )
    return (
        "// What one reader needs to know.\nstruct Scheme {\n"
        "  Reader reader;\n  uint32_t exclude_autapses;\n  union {\n"
        f"    uint32_t fields[kFieldWords];\n{members}  }};\n"
        "  // As the Taichi kernels get it: kSchemeWords words.\n"
        "  const uint32_t* words() const { return reinterpret_cast<const uint32_t*>(this); }\n"
        "  // A field out of its range, or null.\n"
        "  const char* Wrong() const {\n    switch (reader) {\n"
        f'{cases}    }}\n    return "reader";\n  }}\n}};\n'
        "static_assert(sizeof(Scheme) == kSchemeWords * sizeof(uint32_t));\n"
    )


def sections() -> str:
    """Where the parts of the table of `Distances` begin: `distance_sections`, in C++."""
    (function,) = ast.parse(inspect.getsource(format.distance_sections)).body
    for name in ast.walk(function):
        if isinstance(name, ast.Name) and name.id.isupper():
            name.id = f"k{camel(name.id)}"
    *steps, result = function.body[1:]
    fields = [argument.arg for argument in function.args.args]
    names = [part.id for part in result.value.elts]
    steps = "".join(f"  const int64_t {ast.unparse(step)};\n" for step in steps)
    given = "".join(f"  const int64_t {name} = d.{name};\n" for name in fields)
    return (
        f"// {ast.get_docstring(function).splitlines()[0]}\n"
        f"struct Sections {{\n  int64_t {', '.join(names)};\n}};\n"
        f"inline Sections SectionsOf(const Distances& d) {{\n{given}{steps}"
        f"  return {{{', '.join(names)}}};\n}}\n"
    )


def header() -> str:
    """The whole file."""
    records = "\n".join(struct(record) for record in format.SCHEMES.values())
    return (
        "// The draw format, written by kernels/format_header.py from evops/connectivity/format.py "
        "and sampler.py.\n#pragma once\n#include <cstdint>\n\nnamespace evops {\n\n"
        f"{constants(sampler, 'uint32_t')}\n{constants(format, 'int64_t')}\n"
        f"{enumeration(format.Reader, 'Reader')}\n{enumeration(format.WeightLaw, 'Law')}\n"
        f"{records}\n{sections()}\n{scheme()}\n"
        f"{struct(format.MatrixSpec, first='  Scheme scheme;' + chr(10))}"
        "static_assert(sizeof(MatrixSpec) == kSpecWords * sizeof(uint32_t));\n\n"
        "}  // namespace evops\n"
    )
