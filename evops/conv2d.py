"""Convolutions of a grid of neurons, of which only the kernel is stored."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, SupportsIndex, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32, Shaped

from evops import inputs
from evops.csr import CSR
from evops.delays import DelayBuffer, DelayedSynapses
from evops.edges import Edges
from evops.errors import INT32_MAX, check_choice, check_integer, check_shape
from evops.inputs import Entries, Nested
from evops.leaves import dtype_of
from evops.matrix import Matrix
from evops.space.positions import Grid, Positions, along_axes

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_KERNEL_AXES = 4
_WORDS = ("valid", "same")
# One number for all, one for each axis, or one for each end of an axis.
Padding: TypeAlias = (
    str | SupportsIndex | Sequence[SupportsIndex | Sequence[SupportsIndex]] | np.ndarray
)


class Windows(NamedTuple):
    """Where a kernel stands along an axis of the grid: one window for each post neuron there."""

    places: int
    taps: int  # places of the kernel
    stride: int
    before: int  # places that are added to the axis, in which there is no neuron
    after: int

    @property
    def number(self) -> int:
        """How many windows there are; below 1 where none fits."""
        return (self.places + self.before + self.after - self.taps) // self.stride + 1

    @property
    def back(self) -> tuple[int, int]:
        """The same of the transpose, whose windows are as many as the places here."""
        last = (self.number - 1) * self.stride
        return self.taps - 1 - self.before, self.places - 1 - last + self.before

    def over(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each place: windows that may cover it, its place in their kernel, whether they do.

        All are (places, windows of a place), windows in ascending order.
        """
        most = -(-self.taps // self.stride)
        place = np.arange(self.places, dtype=np.int32)[:, None] + np.int32(self.before)
        window = place // np.int32(self.stride) - np.arange(most - 1, -1, -1, dtype=np.int32)
        tap = place - window * np.int32(self.stride)
        return window, tap, (window >= 0) & (window < self.number) & (tap < self.taps)

    def degrees(self) -> tuple[np.ndarray, np.ndarray]:
        """Windows over each place, and places under each window."""
        window, _, there = self.over()
        return there.sum(1), np.bincount(window[there], minlength=self.number)


@jax.tree_util.register_pytree_with_keys_class
class Conv2D(Matrix, DelayedSynapses):
    """A convolution of a grid of neurons: synapses with one kernel of weights at every place.

    Post neuron (r, c, o) has a synapse of weight ``kernel[i, j, q, o]`` from pre neuron
    ``(stride[0] * r - top + i, stride[1] * c - left + j, q)``, for all places (i, j) of the kernel
    and all pre channels q. Neurons are numbered along their channels first, then along columns
    (C order). The kernel is not flipped, as in `jax.lax.conv_general_dilated`, which multiplies
    here, and as in GeNN's ``Conv2D``.

    Memory is that of the kernel; no synapse is listed. `kernel` is the only leaf of the pytree, and
    gradients are with respect to it and to float x. The time does not depend on the number of
    spikes. Sums are IEEE arithmetic of all pre neurons: an infinite weight gives NaN where x is 0.

    With a delay, `push` adds spikes to a `DelayBuffer`; ``x @ W`` ignores it. A `Circuit` takes
    no convolution: push it into the circuit's buffer, with the `post_offset` of its population, or
    give the circuit `tocsr`.

    Args:
        kernel: weights, ``(height, width, pre channels, post channels)``, any unit. Integers become
            float32.
        grid: ``(height, width)`` of the pre neurons, or a `Grid` of two axes; none is periodic.
        stride: steps on the grid from one window of the kernel to the next, for both axes or one
            for each.
        padding: places without neurons around the grid. "valid" adds none; "same" adds what makes
            ``ceil(height / stride)`` rows of post neurons, and as many columns, one more behind
            than before where the number is odd. Otherwise a number, one for each axis, or
            ``((top, bottom), (left, right))``, each below the extent of the kernel.
        delay: steps from a spike to its arrival, 1 or more, for all synapses; or None.

    Attributes:
        kernel: the weights. A leaf.
        grid_pre: ``(height, width, channels)`` of the pre neurons.
        grid_post: the same of the post neurons: ``(x @ W).reshape(W.grid_post)``.
        stride: steps along each axis.
        padding: ``((top, bottom), (left, right))``.
        delay: steps, or None.

    Raises:
        ValueError: a kernel of other axes, or larger than the grid with its padding; a periodic
            grid; a stride, padding or delay out of range; more than 2**31 - 1 neurons.
        TypeError: weights that are no real numbers; sizes that are no integers, or are traced.

    Source:
        J. P. Turner, J. C. Knight, A. Subramanian and T. Nowotny (2022), mlGeNN: accelerating SNN
        inference using GPU-enabled neural networks, doi:10.1088/2634-4386/ac5ac5.

    Example:
        >>> import jax, jax.numpy as jnp, evops
        >>> W = evops.Conv2D(jnp.ones((3, 3, 1, 2)), (28, 28), stride=2, padding="same")
        >>> W.grid_post, W.shape
        ((14, 14, 2), (784, 392))
        >>> spikes = jnp.zeros(784, bool).at[28 * 6 + 7].set(True)     # in row 6, column 7
        >>> float((spikes @ W).sum())     # 2 windows of rows, 1 of columns, 2 channels
        4.0
        >>> jax.grad(lambda W: (spikes @ W).sum())(W).kernel.shape
        (3, 3, 1, 2)
    """

    _kind = "convolution"
    _weight_leaf = "kernel"
    _leaves = _children = ("kernel",)
    _constants = ("_channels", "_windows", "delay")
    kernel: Float[Array, "height width channels_pre channels_post"]
    delay: int | None
    _channels: tuple[int, int]
    _windows: tuple[Windows, Windows]

    def __init__(
        self,
        kernel: Shaped[Any, "height width channels_pre channels_post"] | Nested,
        grid: Grid | Iterable[SupportsIndex],
        stride: SupportsIndex | Sequence[SupportsIndex] | np.ndarray = 1,
        padding: Padding = "valid",
        *,
        delay: SupportsIndex | None = None,
    ):
        dtype = inputs.common_dtype([inputs.weight_type("kernel", kernel)], varied=True)
        self.kernel = inputs.array_of("kernel", kernel, dtype, bools=False, copy=True)
        extents = self.kernel.shape
        if len(extents) != _KERNEL_AXES or 0 in extents:
            raise ValueError(
                "kernel must have shape (height, width, pre channels, post channels), 1 or more "
                f"each, got {extents}"
            )
        self._channels = extents[2], extents[3]
        self._windows = _windows(_places(grid), (extents[0], extents[1]), stride, padding)
        for side, of in (("pre", self.grid_pre), ("post", self.grid_post)):
            check_integer(f"number of {side} neurons", math.prod(of), 1)
        self.delay = None if delay is None else check_integer("delay", delay, 1, INT32_MAX - 1)

    def __repr__(self) -> str:
        grid, delay = self.grid_pre[:2], "" if self.delay is None else f", delay={self.delay}"
        return (
            f"Conv2D(kernel of {self._extents}, {self.dtype}, grid={grid}, stride={self.stride}, "
            f"padding={self.padding}{delay}): shape {self.shape}, {self.nnz} synapses"
        )

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        yield "kernel", self.kernel, _KERNEL_AXES

    def _times(self, factor: Any) -> "Conv2D":
        return self._like(kernel=inputs.times(self.kernel, factor))

    def _check_leaves(self, name: str | None = None) -> None:
        super()._check_leaves(name)
        if self.kernel.shape != self._extents:
            raise ValueError(
                f"{name or self._name} has a leaf of another shape: kernel has shape "
                f"{self.kernel.shape}, expected {self._extents}"
            )

    @property
    def _extents(self) -> tuple[int, int, int, int]:
        """Shape of the kernel."""
        rows, columns = self._windows
        return rows.taps, columns.taps, *self._channels

    @property
    def grid_pre(self) -> tuple[int, int, int]:
        """Height, width and channels of the pre neurons."""
        rows, columns = self._windows
        return rows.places, columns.places, self._channels[0]

    @property
    def grid_post(self) -> tuple[int, int, int]:
        """Height, width and channels of the post neurons."""
        rows, columns = self._windows
        return rows.number, columns.number, self._channels[1]

    @property
    def stride(self) -> tuple[int, int]:
        """Steps from one window to the next, along each axis."""
        rows, columns = self._windows
        return rows.stride, columns.stride

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Places without neurons: ``((top, bottom), (left, right))``."""
        rows, columns = self._windows
        return (rows.before, rows.after), (columns.before, columns.after)

    @property
    def shape(self) -> tuple[int, int]:
        return math.prod(self.grid_pre), math.prod(self.grid_post)

    @property
    def dtype(self) -> np.dtype:
        return dtype_of(self.kernel) or np.dtype(np.float32)

    @property
    def max_delay(self) -> int:
        """The delay, in steps; 0 without one."""
        return self.delay or 0

    @property
    def nnz(self) -> int:
        """Number of synapses, those of weight 0 among them."""
        over = (int(axis.over()[2].sum()) for axis in self._windows)
        return math.prod(over) * math.prod(self._channels)

    @property
    def nbytes(self) -> int:
        """Memory of the kernel, in bytes."""
        return math.prod(self._extents) * self.dtype.itemsize

    def _product(self, x: Entries, dtype: np.dtype, transposed: bool) -> jax.Array:
        kernel, given = self.kernel.astype(dtype), (self.grid_pre, self.grid_post)[transposed]
        places = x.astype(dtype).reshape(x.shape[0], *given)
        # The transpose is the convolution with the flipped kernel, of windows that lie `stride`
        # apart. `jax.linear_transpose` would add up over devices what x does not vary over.
        if transposed:
            kernel, steps = jnp.flip(kernel, (0, 1)).swapaxes(2, 3), (1, 1)
            padding, dilation = [axis.back for axis in self._windows], self.stride
        else:
            steps, padding, dilation = self.stride, self.padding, (1, 1)
        y = lax.conv_general_dilated(
            places,
            kernel,
            steps,
            padding,
            lhs_dilation=dilation,
            dimension_numbers=_LAYOUT,
            precision=lax.Precision.HIGHEST,  # GPUs would multiply in fewer bits
        )
        return y.reshape(x.shape[0], self.shape[not transposed])

    def _pushed(self, x: Entries, buffer: DelayBuffer, post_offset: int) -> DelayBuffer:
        n_post, dtype = self.shape[1], buffer.sums.dtype
        types = {"weights": self.dtype, "spikes": x.dtype}
        buffer.check(n_post, self.max_delay, post_offset, **types)
        row = inputs.entries("spikes", x.reshape(1, self.shape[0]), dtype)
        # As the weights of one neuron that fires: their kernel adds in place, while XLA would copy
        # the ring for an addition of its own.
        where = jnp.arange(n_post, dtype=jnp.int32), np.array([0, n_post])
        options = {"shape": (1, n_post), "delay": self.delay, "backend": buffer.backend}
        neuron = CSR(self._product(row, dtype, False)[0], *where, **options)
        return neuron.push(np.ones(1, bool), buffer, post_offset)

    def in_degree(self) -> Int32[Array, "n_post"]:
        """Number of synapses onto each post neuron."""
        return inputs.device_array(self._degrees(1))

    def out_degree(self) -> Int32[Array, "n_pre"]:
        """Number of synapses of each pre neuron."""
        return inputs.device_array(self._degrees(0))

    def _degrees(self, side: int) -> np.ndarray:
        rows, columns = (axis.degrees()[side] for axis in self._windows)
        own, others = self._channels[side], self._channels[not side]
        each = np.multiply.outer(rows, columns).ravel() * others
        return np.repeat(each, own).astype(np.int32)

    def edges(self) -> Edges:
        """All synapses, with their weights and delays, in the order of rows."""
        return self.tocsr().edges()

    def tocsr(self) -> CSR:
        """The same synapses, stored with a weight each; targets of a row are in order.

        The kernel may be traced: gradients pass.

        Raises:
            ValueError: 2**31 synapses or more.
        """
        check_integer("number of synapses", self.nnz, 0)
        # Axes: row, column and channel of the pre neuron, then those of the post neuron.
        rows, columns = (axis.over() for axis in self._windows)
        row, i, in_row = (a[:, None, None, :, None, None] for a in rows)
        column, j, in_column = (a[:, None, None, :, None] for a in columns)
        q, o = (np.arange(n, dtype=np.int32) for n in self._channels)
        q = q[:, None, None, None]
        _, width, n_pre, n_post = self._extents
        post = (row * np.int32(self.grid_post[1]) + column) * np.int32(n_post) + o
        tap = ((i * np.int32(width) + j) * np.int32(n_pre) + q) * np.int32(n_post) + o
        there = np.broadcast_to(in_row & in_column, tap.shape)
        indices = np.broadcast_to(post, tap.shape)[there]
        indptr = np.concatenate([[0], np.cumsum(self._degrees(0), dtype=np.int64)])
        data = self.kernel.reshape(-1)[tap[there]]
        return CSR(data, indices, indptr, shape=self.shape, delay=self.delay)

    def _dense(self, transposed: bool) -> jax.Array:
        return self.tocsr()._dense(transposed)


def _places(grid: Any) -> tuple[int, int]:
    """Rows and columns of the pre neurons."""
    if not isinstance(grid, Positions):
        return check_shape("grid", grid)
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must be a pair of integers, or an evops.Grid, got {grid}")
    if any(grid.periods):
        raise ValueError(f"grid must have no periodic axis for Conv2D, got {grid}")
    return check_shape("grid", grid.shape)


def _windows(
    places: tuple[int, int], taps: tuple[int, int], stride: Any, padding: Any
) -> tuple[Windows, Windows]:
    """The windows along rows and columns."""
    word = check_choice("padding", padding, _WORDS) if isinstance(padding, str) else None
    sides, strides = (
        along_axes("padding", 0 if word else padding, 2),
        along_axes("stride", stride, 2),
    )
    found = []
    for k, name in enumerate(("rows", "columns")):
        n, own = places[k], taps[k]
        step = check_integer(f"stride[{k}]", strides[k], 1)
        before, after = (
            check_integer(f"padding[{k}][{end}]", added, 0, own - 1)
            for end, added in enumerate(along_axes(f"padding[{k}]", sides[k], 2))
        )
        if word == "same":
            added = max((-(-n // step) - 1) * step + own - n, 0)
            before, after = added // 2, added - added // 2
        axis = Windows(n, own, step, before, after)
        if axis.number < 1:
            raise ValueError(
                f"kernel must have at most {n + before + after} {name}, those of the grid with "
                f"padding, got {own}"
            )
        found.append(axis)
    return found[0], found[1]
