"""A kernel and all that it refers to, as one self-contained Python text.

Another process compiles the text. Its bytes also identify the compiled kernel in the cache, so
equal kernels must give equal texts. Every function is defined in a factory whose parameters are the
names that it uses: so each keeps the names of its module or notebook. Names have the values that
they have when the kernel is compiled, as in Taichi.
"""

import ast
import collections
import importlib
import inspect
import math
import sys
import textwrap
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from evops.compiler import syntax
from evops.errors import KernelError, shown

# Packages that the other process imports. Functions of others travel as text: importing a user's
# module would run it again, and a notebook is no module.
IMPORTED = {"taichi", "numpy", *sys.stdlib_module_names} - {"__main__"}
PRIMITIVE = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "f32", "f64", "u1")


def unwrapped(kernel: Any, argument: str) -> Any:
    """Taichi's record of a kernel: its Python function, annotations, return type.

    Args:
        kernel: any object, which a user gave.
        argument: its name, for messages.

    Raises:
        TypeError: it is no kernel, a method, or returns a value.
    """
    if not getattr(kernel, "_is_wrapped_kernel", False):
        raise TypeError(
            f"{argument} must be a function decorated with ti.kernel, got {shown(kernel)}"
        )
    if kernel._is_classkernel:
        raise TypeError(f"{argument} {kernel.__name__} is a method; it must be a plain function")
    if kernel._primal.return_type is not None:
        raise TypeError(
            f"{argument} {kernel.__name__} returns a value; it must write results into the arrays "
            "of outs, its last parameters"
        )
    return kernel._primal


def dtype_name(dtype: Any) -> str | None:
    """Taichi's name of one of its primitive types; None for anything else."""
    import taichi as ti

    # As annotations of a kernel they are Taichi's default types; the other process sets no others.
    if dtype is float or dtype is int:
        return "f32" if dtype is float else "i32"
    if not isinstance(dtype, type(ti.i32)):
        return None
    return next((name for name in PRIMITIVE if getattr(ti, name) == dtype), None)


def kernel_text(
    kernel: Any,
    arrays: Mapping[str, tuple[str, int]],
    statics: Mapping[str, Any],
    *,
    serial: bool,
    split: bool,
) -> str:
    """The text of a kernel, in which the kernel is called ``kernel``.

    Args:
        kernel: the `ti.kernel` object.
        arrays: dtype in Taichi's word and rank of every array parameter.
        statics: values of the other parameters.
        serial: whether every loop runs in order, in the calling thread (CPU). Else Taichi makes
            the outermost loops parallel.
        split: whether the kernel gets one more array, int32 (part, parts), and runs that part of
            its outermost loop.

    Raises:
        KernelError: it refers to something that cannot be written as text.
    """
    text = _Text(serial)
    text.kernel(kernel._primal, arrays, statics, split)
    return "\n".join(["import taichi as _evops_ti", *text.lines, ""])


class _Text:
    """The lines of a text so far, and the names that functions have in them."""

    def __init__(self, serial: bool):
        self.lines: list[str] = []
        self.names: dict[tuple[int, str], str] = {}
        self.keep: list[Any] = []  # an id is free again once its object is gone
        self.open: set[tuple[int, str]] = set()  # functions half written, to find recursion
        self.serial = serial

    def kernel(
        self,
        primal: Any,
        arrays: Mapping[str, tuple[str, int]],
        statics: Mapping[str, Any],
        split: bool,
    ) -> None:
        """The lines of a kernel, for arrays of these types and these values of other parameters."""
        tree = definition(primal.func)
        if syntax.shares_outside_loops(tree):
            raise KernelError(
                f"{tree.name}: a SharedArray belongs to the blocks of a loop, make it inside one"
            )
        values = {}
        first = []
        parameters = []
        for parameter, argument in zip(tree.args.args, primal.arguments, strict=True):
            name = argument.name
            if name in arrays:
                dtype, ndim = arrays[name]
                # Dtype and rank are written out: the user may have left them open.
                clamp = argument.annotation.boundary == _clamp()
                more = ', boundary="clamp"' if clamp else ""
                annotation = f"_evops_ti.types.ndarray(dtype=_evops_ti.{dtype}, ndim={ndim}{more})"
                parameter.annotation = ast.parse(annotation, mode="eval").body
                parameters.append(parameter)
                continue
            dtype = dtype_name(argument.annotation)
            if dtype is None:
                values[name] = statics[name]
                continue
            # A scalar is a variable of the kernel, to which it may assign; a template is not.
            values[f"_evops_{name}"] = (float if dtype.startswith("f") else int)(statics[name])
            first += ast.parse(f"{name} = _evops_ti.{dtype}(_evops_{name})").body
        if split:
            syntax.take_part(tree)
            annotation = "_evops_ti.types.ndarray(dtype=_evops_ti.i32, ndim=1)"
            part = ast.arg(syntax.PART, ast.parse(annotation, mode="eval").body)
            parameters.append(part)
        tree.args.args = parameters
        tree.body = first + tree.body
        self._emit("kernel", primal.func, tree, "_evops_ti.kernel", values)

    def _emit(
        self,
        name: str,
        function: Any,
        tree: ast.FunctionDef,
        decorator: str,
        values: dict[str, Any],
    ) -> None:
        """The lines of one function inside its factory."""
        # def _make_kernel(gain):
        #     def spikes(x: …, y: …):
        #         …
        #     return _evops_ti.kernel(spikes)
        # kernel = _make_kernel(2.5)
        if self.serial and decorator:
            tree = ast.fix_missing_locations(syntax.Serial().visit(tree))
        used_names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        local = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | {tree.name}
        local |= {node.id for node in used_names if not isinstance(node.ctx, ast.Load)}
        given = names(function).new_child(values)
        needed = {}
        # Sorted: sets have another order in every process, and the text is a key.
        for used in sorted({node.id for node in used_names} - local):
            if used in given and used != "_evops_ti":
                where = f"{used} in {function.__name__}"
                paths = syntax.Paths(used)
                paths.visit(tree)
                needed[used] = self.reference(given[used], where, paths.found)
        body = textwrap.indent(ast.unparse(tree), "    ")
        made = f"{decorator}({tree.name})" if decorator else tree.name
        self.lines.append(
            f"def _make_{name}({', '.join(needed)}):\n{body}\n    return {made}\n"
            f"{name} = _make_{name}({', '.join(needed.values())})"
        )

    def reference(self, value: Any, where: str, paths: set[tuple[str, ...]]) -> str:
        """An expression for a value.

        Args:
            value: number, type, function, module or object.
            where: name and function in which it is used, for messages.
            paths: the attributes of it that are used (`syntax.Paths`).

        Raises:
            KernelError: the value cannot be written as an expression.
        """
        constant = _constant(value)
        if constant is not None:
            if "numpy." in constant:
                self._import("numpy")
            return constant
        if isinstance(value, types.ModuleType):
            if value.__name__.partition(".")[0] in IMPORTED:
                return self._import(value.__name__)
            return self._namespace(value, where, paths)
        if (name := dtype_name(value)) is not None:
            return value.__name__ if value is int or value is float else f"_evops_ti.{name}"
        known = _importable(value)
        if known is not None:
            return f"{self._import(known[0])}.{known[1]}"
        if getattr(value, "_is_taichi_function", False) and not value._is_real_function:
            return self._function(value.func.func, "_evops_ti.func", where)
        if isinstance(value, types.FunctionType) and not hasattr(value, "_is_wrapped_kernel"):
            return self._function(value, "", where)
        compound = _compound(value)
        if compound is not None:
            return compound
        if paths and () not in paths and not type(value).__module__.startswith("taichi"):
            return self._namespace(value, where, paths)
        raise KernelError(
            f"{where} is {_describe(value)}: a kernel may use numbers, strings, tuples, lists and "
            "NumPy arrays of them, Taichi's types, ti.func and plain functions, and modules; "
            "give arrays as arguments"
        )

    def _import(self, module: str) -> str:
        """The name of a module, whose import is added once."""
        line = f"import {module}"
        if line not in self.lines:
            self.lines.append(line)
        return module

    def _namespace(self, value: Any, where: str, paths: set[tuple[str, ...]]) -> str:
        """A user's module or object: a namespace of the attributes that are used, no others.

        The rest may be anything, arrays and open files too.
        """
        if () in paths:
            raise KernelError(f"{where} is {_describe(value)}: only its attributes may be used")
        self._import("types")
        inner: dict[str, set] = {}
        for head, *rest in paths:
            inner.setdefault(head, set()).add(tuple(rest))
        parts = []
        for name in sorted(inner):
            try:
                attribute = getattr(value, name)
            except AttributeError as error:
                raise KernelError(f"{where}: {error}") from error
            before, _, after = where.partition(" ")
            parts.append(
                f"{name}={self.reference(attribute, f'{before}.{name} {after}', inner[name])}"
            )
        return f"types.SimpleNamespace({', '.join(parts)})"

    def _function(self, function: Any, decorator: str, where: str) -> str:
        """The name of a function in the text; its lines are added at its first use."""
        key = id(function), decorator
        if key in self.open:
            raise KernelError(f"{where} is called by a function that it calls itself")
        if key not in self.names:
            if function.__name__ == "<lambda>":
                raise KernelError(f"{where} is a lambda: write it with def")
            self.open.add(key)
            tree = definition(function)
            # Annotations of plain functions may name anything, and mean nothing here.
            if not decorator:
                tree.returns = None
                for argument in ast.walk(tree.args):
                    if isinstance(argument, ast.arg):
                        argument.annotation = None
            # Numbered: functions of several modules may have one name.
            name = f"_{len(self.names)}_{function.__name__}"
            self._emit(name, function, tree, decorator, {})
            self.open.discard(key)
            self.names[key] = name
            self.keep.append(function)
        return self.names[key]


def _unavailable(function: Any, why: Any) -> KernelError:
    return KernelError(
        f"the source of {function.__name__} is not available ({why}): kernels and their functions "
        "must come from a file or a notebook"
    )


def definition(function: Any) -> ast.FunctionDef:
    """The function's syntax tree, without decorators and docstring, neither of which is compiled.

    Raises:
        KernelError: the source is not there, or is another than the function's.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError) as error:
        raise _unavailable(function, error) from error
    tree = tree.body[0]
    # inspect reads today's file, at the line on which the function began when it was imported.
    if not isinstance(tree, ast.FunctionDef) or tree.name != function.__name__:
        # What exec defines has the file name of `python -c`, whose text Python 3.13 keeps.
        if function.__code__.co_filename == "<string>":
            raise _unavailable(function, "what exec defines has none")
        raise KernelError(
            f"the source of {function.__name__} has changed since it was imported: import it again"
        )
    tree.decorator_list = []
    if ast.get_docstring(tree, clean=False) is not None:
        tree.body = tree.body[1:] or [ast.Pass()]
    return tree


def names(function: Any) -> collections.ChainMap[str, Any]:
    """The values of names in a function, as Python looks them up.

    Without builtins, which the other process has as well, and without variables of enclosing
    functions that are not set by now.
    """
    values = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # the enclosing function has not assigned it yet
            continue
    return collections.ChainMap(values, function.__globals__)


def _constant(value: Any) -> str | None:
    """An expression for a number, a string, or nested tuples, lists and NumPy arrays of such.

    By exact type: a subclass, such as an enumeration, may do other things than its base.
    """
    if value is None or type(value) in (bool, int, str):
        return repr(value)
    if type(value) is float:  # inf and nan have no literals
        return repr(value) if math.isfinite(value) else f"float('{value}')"
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return f"numpy.{type(value).__name__}({_constant(value.item())})"
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return f"numpy.array({_constant(value.tolist())}, numpy.{value.dtype})"
    if type(value) in (tuple, list):
        inner = [_constant(v) for v in value]
        if None in inner:
            return None
        ends = "[]" if type(value) is list else "()"
        return ends[0] + "".join(f"{part}, " for part in inner) + ends[1]
    return None


def _importable(value: Any) -> tuple[str, str] | None:
    """Module and name of a value that belongs to one of the packages `IMPORTED`; else None."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    if module.partition(".")[0] not in IMPORTED:
        return None
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return (module, name) if found is value else None


def _compound(value: Any) -> str | None:
    """An expression for `ti.template()` or a vector, matrix or struct type of Taichi; else None."""
    import taichi as ti
    from taichi.lang import matrix, struct

    if isinstance(value, matrix.VectorType):
        dtype = dtype_name(value.dtype)
        return dtype and f"_evops_ti.types.vector({value.n}, _evops_ti.{dtype})"
    if isinstance(value, struct.StructType):
        members = {name: dtype_name(of) for name, of in value.members.items()}
        parts = ", ".join(f"{name}=_evops_ti.{of}" for name, of in members.items())
        return f"_evops_ti.types.struct({parts})" if all(members.values()) else None
    if isinstance(value, matrix.MatrixType):
        dtype = dtype_name(value.dtype)
        return dtype and f"_evops_ti.types.matrix({value.n}, {value.m}, _evops_ti.{dtype})"
    return "_evops_ti.template()" if isinstance(value, ti.template) else None


def _clamp() -> Any:
    """Taichi's value of ``boundary="clamp"``, which keeps indices inside arrays."""
    from taichi.lang.enums import to_boundary_enum

    return to_boundary_enum("clamp")


def _describe(value: Any) -> str:
    """A value in words, for messages."""
    if isinstance(value, types.ModuleType):
        return f"the module {value.__name__}"
    return f"of type {type(value).__module__}.{type(value).__qualname__}"
