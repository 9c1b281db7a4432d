"""Syntax trees of kernels: the attributes that they use, loops in order, and parts of loops."""

import ast
from typing import Any

from evops.errors import KernelError


class Paths(ast.NodeVisitor):
    """The attributes of a name that are used: ``{("a", "b")}`` for ``name.a.b``.

    The bare name is the empty path ``()``.
    """

    def __init__(self, name: str):
        self.name = name
        self.found: set[tuple[str, ...]] = set()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A chain of attributes, taken whole: ``name.a.b`` is not also ``name.a`` and ``name``."""
        path, inner = [], node
        while isinstance(inner, ast.Attribute):
            path.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id == self.name:
            self.found.add(tuple(reversed(path)))  # the tree has the last attribute outermost
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """The bare name; a chain that begins with it does not come here."""
        if node.id == self.name:
            self.found.add(())


class Serial(ast.NodeTransformer):
    """Runs every loop in order, whatever the kernel says about threads.

    Else Taichi would make all additions atomic, four times slower, and settle the number of
    threads when it compiles.
    """

    def visit_For(self, node: ast.For) -> Any:
        """Tells Taichi to run a loop in order, unless `ti.static` unrolls it."""
        self.generic_visit(node)
        if called(node.iter) == "static":
            return node
        return [*ast.parse("_evops_ti.loop_config(serialize=True)").body, node]

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Removes the user's `ti.loop_config`, which would stand before ours."""
        return ast.Pass() if called(node.value) == "loop_config" else node


# The array (part, parts) that a split kernel gets as its last argument.
PART = "_evops_part"


def take_part(tree: ast.FunctionDef) -> None:
    """Turn ``for i in range(begin, end)`` into the loop over one part of that range.

    Raises:
        KernelError: the kernel is more than assignments and one loop over a range.
    """
    *before, loop = tree.body
    call = loop.iter if isinstance(loop, ast.For) else None
    kind = called(call) if call is not None else ""
    if (
        not all(isinstance(s, (ast.Assign, ast.AnnAssign)) for s in before)
        or not isinstance(call, ast.Call)
        or kind not in ("range", "ndrange")
        or len(call.args) > (2 if kind == "range" else 64)
    ):
        raise KernelError(
            f"{tree.name}: parallel=True needs a kernel that is one loop over range or ti.ndrange, "
            "after assignments at most"
        )
    # Of ndrange the first axis is cut: its argument is a number or a pair (begin, end).
    extent = call.args if kind == "range" else call.args[:1]
    if len(extent) == 1 and isinstance(extent[0], ast.Tuple):
        extent = extent[0].elts
    begin, end = (ast.Constant(0), extent[0]) if len(extent) == 1 else extent
    # In 64 bits, since size times part may have more than 31. An empty range has no negative size.
    lines = ast.parse(
        f"_evops_begin = _evops_ti.i32({ast.unparse(begin)})\n"
        f"_evops_end = _evops_ti.i32({ast.unparse(end)})\n"
        "_evops_size = _evops_ti.i64(_evops_ti.max(_evops_end - _evops_begin, 0))\n"
        f"_evops_from = _evops_ti.i32(_evops_size * {PART}[0] // {PART}[1])\n"
        f"_evops_to = _evops_ti.i32(_evops_size * ({PART}[0] + 1) // {PART}[1])"
    ).body
    bounds = ast.parse("(_evops_begin + _evops_from, _evops_begin + _evops_to)", mode="eval").body
    assert isinstance(bounds, ast.Tuple)
    call.args = bounds.elts if kind == "range" else [bounds, *call.args[1:]]
    tree.body = [*before, *lines, loop]


def called(node: ast.AST) -> str:
    """The last word of the function that a call names (``ti.static(…)``: static), else empty."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def shares_outside_loops(tree: ast.FunctionDef) -> bool:
    """Whether a kernel makes a shared array outside of loops, where no block of threads owns it."""
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    inside = {id(node) for loop in loops for node in ast.walk(loop)}
    return any(called(node) == "SharedArray" and id(node) not in inside for node in ast.walk(tree))
