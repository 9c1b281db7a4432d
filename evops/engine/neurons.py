"""The package's own kernels of neurons (kernels/neurons.py) as JAX primitives.

They run as users' kernels do, under their name instead of a key. Beside each stands the same step
in jnp, for other platforms, batches and derivatives.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from evops.engine import custom


@dataclasses.dataclass(frozen=True)
class Neurons:
    """One step of neurons, which `custom.bind` calls.

    Attributes:
        name: the kernel's.
        outs: shapes and dtypes of the results.
        places: operands by number, and the results that take their place.
        formula: the step in jnp, a function of `model` and the same arrays.
        model: parameters, hashable; calls with equal ones share a program.
    """

    name: str
    outs: tuple[jax.ShapeDtypeStruct, ...]
    places: tuple[tuple[int, int], ...]
    formula: Callable[..., Sequence[Array]]
    model: Any

    @property
    def in_place(self) -> dict[int, int]:
        return dict(self.places)

    def value(self, *arrays: Array) -> Sequence[Array]:
        return self.formula(self.model, *arrays)

    def target(self) -> tuple[str, dict[str, Any]] | None:
        operand_of = {result: operand for operand, result in self.places}
        # The kernels write all of the results that are their own.
        contents = [operand_of.get(k, custom.ANYTHING) for k in range(len(self.outs))]
        return "evops_custom", custom.attributes(self.name, self.name, contents)

    def gpu_target(self) -> None:
        return None

    def rule(self, which: str) -> Callable[..., Any] | None:
        return {"jvp": self._jvp, "batching": self._batching}.get(which)

    def _jvp(self, primals: Sequence[Array], tangents: Sequence[Array | None]) -> tuple[Any, Any]:
        moved = [k for k, tangent in enumerate(tangents) if tangent is not None]

        def of_moved(*some: Array) -> list[Array]:
            arrays = list(primals)
            for k, array in zip(moved, some, strict=True):
                arrays[k] = array
            return list(self.value(*arrays))

        given = [primals[k] for k in moved], [tangents[k] for k in moved]
        out, change = jax.jvp(of_moved, *given)
        floats = [jnp.issubdtype(o.dtype, jnp.floating) for o in out]
        return out, [c if is_float else None for c, is_float in zip(change, floats, strict=True)]

    def _batching(
        self, arrays: Sequence[Array], axes: Sequence[int | None]
    ) -> tuple[Sequence[Array], list[int]]:
        return jax.vmap(self.value, axes)(*arrays), [0] * len(self.outs)


def run(call: Neurons, *arrays: Array | np.ndarray, backend: str) -> list[Any]:
    """The results of a step: by the kernel, or with ``backend="jnp"`` by the formula."""
    return custom.bind(call, *map(jnp.asarray, arrays), backend=backend)
