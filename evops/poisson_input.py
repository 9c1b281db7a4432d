"""Background input from many independent Poisson sources."""

from collections.abc import Iterator
from typing import Any, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Num, Shaped, UInt32

from evops import inputs, noise
from evops.errors import check_integer, check_real, check_static, shown
from evops.inputs import Nested, Seed
from evops.leaves import Node, parts_of, shape_of
from evops.sealed import sealed


@jax.tree_util.register_pytree_with_keys_class
class PoissonInput(Node):
    """Input of neurons from Poisson sources, independent for each neuron and time step.

    A neuron gets the spikes of its `n` sources, each of which fires at `rate`: in a step their
    number is Poisson with mean ``n * rate * dt``, and each adds `weight`. Brian2's ``PoissonInput``
    draws a binomial number with the same mean; NEST's ``poisson_generator`` draws this one.

    Numbers follow from the seed, the step and the neuron alone, so a run does not depend on how it
    is divided into calls, and more neurons leave the others' input as it is.

    Args:
        n: sources of a neuron, at least 0: one number or `(size,)`.
        rate: of each source, in Hz, at least 0: one number or `(size,)`.
        weight: of a spike, any unit: one number or `(size,)`; may be traced.
        size: number of neurons.
        dt: time step, in ms.
        seed: integer of up to 64 bits or JAX key; may be traced.

    Raises:
        ValueError: parameters out of range, a mean above 20 spikes per step, other shapes.
        TypeError: parameters that are no numbers, traced ones but `weight` and `seed`.

    Example:
        >>> import evops
        >>> background = evops.PoissonInput(n=2000, rate=8, weight=87.8, size=100, dt=0.1, seed=1)
        >>> background(0).shape   # the input of step 0, here in pA
        (100,)
    """

    _name = "input"
    _weight_leaf = "weight"
    _leaves = _children = ("weight", "key", "thresholds")
    _constants = ("size",)
    weight: Num[Array, "..."]
    key: UInt32[Array, "2"] = sealed(np.uint32, axes=1)
    # of random words, for each number of spikes
    thresholds: Int[Array, "counts _"] = sealed(np.int32, axes=2)
    size: int

    def __init__(
        self,
        n: Shaped[Any, "..."] | SupportsFloat | Nested,
        rate: Shaped[Any, "..."] | SupportsFloat | Nested,
        weight: Shaped[Any, "..."] | SupportsFloat | Nested,
        *,
        size: SupportsIndex,
        dt: SupportsFloat,
        seed: Seed,
    ):
        self.size = check_integer("size", size, 1)
        dt = check_real("dt", dt)
        if dt <= 0:
            raise ValueError(f"dt must be above 0 ms, got {dt}")
        sources, rates = (self._of_neurons(*given) for given in (("n", n), ("rate", rate)))
        means = np.atleast_1d(sources * rates * (dt * 1e-3))
        if means.max() > noise.LARGEST_MEAN:
            raise ValueError(
                f"n * rate * dt must be at most {noise.LARGEST_MEAN} spikes per step, got "
                f"{means.max():.6g}"
            )
        self.thresholds = inputs.device_array(noise.poisson_thresholds(means))
        self.key = jnp.asarray(inputs.seed_words("seed", seed))
        weight = inputs.numbers("weight", weight)
        if weight.shape not in ((), (1,), (self.size,)):
            raise ValueError(
                f"weight must be one number or have shape (size = {self.size},), got {weight.shape}"
            )
        self.weight = weight.reshape(-1)

    def _of_neurons(self, name: str, value: Any) -> np.ndarray:
        """A known parameter, one for all neurons or one for each."""
        for part in parts_of(value):
            check_static(name, part)
        found = inputs.host(name, value)
        inputs.check_dtype(name, found.dtype, bools=False)
        if found.shape not in ((), (1,), (self.size,)):
            raise ValueError(
                f"{name} must be one number or have shape (size = {self.size},), got {found.shape}"
            )
        found = found.astype(np.float64)
        for extreme in (found.min(), found.max()):
            if not 0 <= extreme < np.inf:
                raise ValueError(f"{name} must be finite and at least 0, got {extreme}")
        return found

    def __repr__(self) -> str:
        most = shape_of(self.thresholds, 2)[0]
        return f"PoissonInput(size={self.size}, at most {most} spikes of a neuron per step)"

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        yield "weight", self.weight, 1

    def counts(self, step: Int[Any, ""] | SupportsIndex) -> Int[Array, "size"]:
        """Spikes that each neuron gets in a step.

        Args:
            step: number of the time step, from 0 on; may be traced.
        """
        if not isinstance(step, jax.Array):
            step = jnp.asarray(check_integer("step", step, 0), jnp.int32)
        if step.ndim or not inputs.is_whole(step.dtype):
            raise TypeError(f"step must be one integer, got {shown(step)}")
        return noise.poisson(noise.random_words(self.key, step, (self.size,)), self.thresholds)

    def __call__(self, step: Int[Any, ""] | SupportsIndex) -> Num[Array, "size"]:
        """Input of each neuron in a step: `counts` times `weight`, in its unit and dtype."""
        return self.counts(step).astype(self.weight.dtype) * self.weight
