"""Which results a kernel writes wholly before it reads them, so that nobody needs to clear them.

Read from the kernel's syntax: the first use of the array must be an assignment to each of its
entries, by a loop whose indices take all their values. What is not certain is not whole.
"""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from evops.compiler.syntax import called

# A loop's index, and how many values it takes; or of `ti.grouped`, the name of all indices.
_Axes = list[tuple[str, int | None]]


def whole(
    tree: ast.FunctionDef, shapes: Mapping[str, Sequence[int]], names: Mapping[str, Any]
) -> set[str]:
    """Names of the arrays of which every entry is written before any is read.

    Args:
        tree: the kernel.
        shapes: of its arrays.
        names: values of the other names, as far as they are known.
    """
    # A name that is assigned to in more than one place may have any value.
    stores = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and _is_store(n)]
    reader = _Reader(shapes, {k: v for k, v in names.items() if k not in stores})
    for statement in tree.body:
        match statement:
            case ast.Assign([ast.Name(name)], value) if stores.count(name) == 1:
                if (number := reader.number(value)) is not None:
                    reader.names[name] = number
    if any(isinstance(node, ast.Return) for node in ast.walk(tree)):
        return set()
    return {name for name in shapes if reader.is_whole(name, tree.body)}


def _is_store(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


class _Reader:
    """A kernel's syntax, with the shapes of its arrays and the numbers that names stand for."""

    def __init__(self, shapes: Mapping[str, Sequence[int]], names: Mapping[str, Any]):
        self.shapes, self.names = shapes, dict(names)

    def number(self, node: ast.expr) -> int | None:
        """The value of an expression; None where it is not known to be an integer."""
        match node:
            case ast.Constant(value):
                return value if type(value) is int else None
            case ast.Name(name):
                value = self.names.get(name)
                return value if type(value) is int else None
            case ast.Subscript(ast.Attribute(ast.Name(array), "shape"), ast.Constant(axis)):
                shape = self.shapes.get(array, ())
                return shape[axis] if type(axis) is int and 0 <= axis < len(shape) else None
            case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() as what, right):
                a, b = self.number(left), self.number(right)
                if a is None or b is None:
                    return None
                return {ast.Add: a + b, ast.Sub: a - b, ast.Mult: a * b}[type(what)]
        return None

    def uses(self, array: str, node: ast.AST) -> bool:
        """Whether a piece of syntax does more with an array than to ask for its shape."""
        if isinstance(node, ast.Attribute) and node.attr == "shape":
            return not isinstance(node.value, ast.Name) and self.uses(array, node.value)
        if isinstance(node, ast.Name):
            return node.id == array
        return any(self.uses(array, child) for child in ast.iter_child_nodes(node))

    def is_whole(self, array: str, body: Sequence[ast.stmt]) -> bool:
        """Whether the first statement that uses the array writes all of it."""
        first = next((s for s in body if self.uses(array, s)), None)
        if not self.shapes[array]:
            return first is not None and self._assigns(array, first, [])
        return isinstance(first, ast.For) and self._covers(array, first, [])

    def _covers(self, array: str, loop: ast.For, outer: _Axes) -> bool:
        """Whether a loop writes every entry, each before it or another is read."""
        own = self._axes(loop)
        if own is None:
            return False
        axes = [*outer, *own]
        written = False
        for statement in loop.body:
            if _leaves(statement) or any(_stores(name, statement) for name, _ in axes):
                return False
            if not self.uses(array, statement):
                continue
            if written:  # what comes after may use the same entry again, and no other
                if not self._uses_only(array, statement, axes):
                    return False
            elif isinstance(statement, ast.For):
                # The inner loop must write all that the outer one left open.
                return self._covers(array, statement, axes) and not any(
                    self.uses(array, s) for s in loop.body if s is not statement
                )
            elif not (written := self._assigns(array, statement, axes)):
                return False
        return written

    def _axes(self, loop: ast.For) -> _Axes | None:
        """The indices of a loop that begins at 0; None where something else is possible."""
        over, names = loop.iter, _names(loop.target)
        if called(over) in ("static", "grouped") and isinstance(over, ast.Call) and over.args:
            grouped, over = called(over) == "grouped", over.args[0]
            if grouped:
                extents = self._extents(over)
                if extents is None or len(names) != 1:
                    return None
                return [(names[0], None), *(("", extent) for extent in extents)]
        extents = self._extents(over)
        if extents is None or len(names) != len(extents) or len(set(names)) != len(names):
            return None
        return list(zip(names, extents, strict=True))

    def _extents(self, over: ast.expr) -> list[int] | None:
        """How many values each index takes, from 0 on."""
        match over:
            case ast.Name(array) if array in self.shapes:
                return list(self.shapes[array])
            case ast.Call(args=args, keywords=[]) if called(over) == "range" and len(args) <= 2:
                begin = 0 if len(args) == 1 else self.number(args[0])
                end = self.number(args[-1]) if args else None
                return [end] if begin == 0 and end is not None else None
            case ast.Call(args=args, keywords=[]) if called(over) == "ndrange":
                found = [self._end(argument) for argument in args]
                return None if None in found else [n for n in found if n is not None]
        return None

    def _end(self, argument: ast.expr) -> int | None:
        """The end of an axis of `ti.ndrange`, which may be a pair (begin, end)."""
        if isinstance(argument, ast.Tuple) and len(argument.elts) == 2:
            begin, argument = argument.elts
            if self.number(begin) != 0:
                return None
        return self.number(argument)

    def _assigns(self, array: str, statement: ast.stmt, axes: _Axes) -> bool:
        """Whether a statement sets the entry at the loops' indices, and uses no other."""
        if not isinstance(statement, ast.Assign) or self.uses(array, statement.value):
            return False
        targets = [each for target in statement.targets for each in _elements(target)]
        mine = [each for each in targets if self.uses(array, each)]
        return bool(mine) and all(self._is_entry(array, each, axes) for each in mine)

    def _is_entry(self, array: str, node: ast.AST, axes: _Axes) -> bool:
        """Whether an expression is the entry at the loops' indices, and these take all values."""
        match node:
            case ast.Subscript(ast.Name(name), index) if name == array:
                shape = list(self.shapes[array])
                if not axes:
                    return isinstance(index, ast.Constant) and index.value is None and not shape
                indices = [
                    each.id if isinstance(each, ast.Name) else None for each in _elements(index)
                ]
                named = [name for name, _ in axes if name]
                extents = [extent for _, extent in axes if extent is not None]
                return indices == named and extents == shape
        return False

    def _uses_only(self, array: str, node: ast.AST, axes: _Axes) -> bool:
        """Whether all uses of an array are of the entry at the loops' indices."""
        if self._is_entry(array, node, axes) or not self.uses(array, node):
            return True
        if isinstance(node, ast.Name):
            return False
        return all(self._uses_only(array, child, axes) for child in ast.iter_child_nodes(node))


def _elements(node: ast.expr) -> list[ast.expr]:
    """The entries of a tuple; else the expression itself."""
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def _names(target: ast.expr) -> list[str]:
    return [each.id if isinstance(each, ast.Name) else "" for each in _elements(target)]


def _leaves(statement: ast.stmt) -> bool:
    """Whether a statement may end the round of its loop."""
    return any(isinstance(each, (ast.Break, ast.Continue)) for each in ast.walk(statement))


def _stores(name: str, statement: ast.stmt) -> bool:
    """Whether a statement assigns to a name."""
    names = (each for each in ast.walk(statement) if isinstance(each, ast.Name))
    return any(each.id == name and _is_store(each) for each in names)
