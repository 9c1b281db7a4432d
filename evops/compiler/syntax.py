"""What is read from and changed in the syntax trees of kernels."""

import ast

from evops.errors import KernelError


class Paths(ast.NodeVisitor):
    """The attributes of a name that are used: ``{("a", "b")}`` for ``name.a.b``."""

    def __init__(self, name: str):
        self.name = name
        self.found: set[tuple[str, ...]] = set()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A chain of attributes, as far as it reaches."""
        path, inner = [], node
        while isinstance(inner, ast.Attribute):
            path.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id == self.name:
            self.found.add(tuple(reversed(path)))
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """The name without an attribute."""
        if node.id == self.name:
            self.found.add(())


class Serial(ast.NodeTransformer):
    """Every loop is run in order, whatever the kernel says about threads."""

    def visit_For(self, node: ast.For):
        """A loop, unless it is unrolled."""
        self.generic_visit(node)
        if called(node.iter) == "static":
            return node
        return [*ast.parse("_evops_ti.loop_config(serialize=True)").body, node]

    def visit_Expr(self, node: ast.Expr):
        """What the user says about the next loop is left out."""
        return ast.Pass() if called(node.value) == "loop_config" else node


PART = "_evops_part"


def take_part(tree: ast.FunctionDef) -> None:
    """Turn ``for i in range(begin, end)`` into the loop over one part of that range."""
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
    extent = call.args if kind == "range" else call.args[:1]
    if len(extent) == 1 and isinstance(extent[0], ast.Tuple):
        extent = extent[0].elts
    begin, end = (ast.Constant(0), extent[0]) if len(extent) == 1 else extent
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
    """The last word of the name of what a call calls."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def shares_outside_loops(tree: ast.FunctionDef) -> bool:
    """Whether a kernel makes a shared array where it is not one block's."""
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    inside = {id(node) for loop in loops for node in ast.walk(loop)}
    return any(called(node) == "SharedArray" and id(node) not in inside for node in ast.walk(tree))
