"""The GPU kernels that draw synapses: readers (gpu_reader.py) shared out among warps or threads.

A task is some blocks of the row of one spike, or the whole of one row where rows are summed up.
"""

import dataclasses

import taichi as ti

from gpu_arrays import U32, weighted
from gpu_emit import A, gather_emit, scatter_emit, sink_of
from gpu_reader import Row, lane_total, reader_of
from launch import TILE_BYTES, TILE_THREADS, WARP, WORKERS
from sampler_ti import array, format

SCHEME = ti.types.vector(format.SCHEME_WORDS, U32)
# Where the words of a spec lie, by the names of its fields.
SPEC = {
    field.name: format.SCHEME_WORDS + k for k, field in enumerate(format.fields(format.MatrixSpec))
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """Which rows are read and what a synapse weighs: data of the kernels below.

    varied: weights are a + b z, else one for all. draws: None for the exact sampler; for the
    braintaichi scheme the words that z takes from a row's stream (0: z comes from a quantile
    table). grid: all rows are grid offsets: in the kernel that adds up tiles there are no registers
    left for their reader.
    """

    varied: bool
    draws: int | None = None
    grid: bool = False

    @property
    def chain(self) -> bool:
        return self.draws is not None

    @property
    def tiled(self) -> bool:
        """Whether sums may be added up in tiles."""
        return not self.chain and not self.grid

    @property
    def parameters(self) -> int:
        return 2 if self.varied else 1

    @property
    def lanes(self) -> int:
        """Threads that share a task."""
        return 1 if self.chain else WARP

    @property
    def weighted(self) -> bool:
        """Whether weights are taken synapse by synapse, not for the whole sum at the end."""
        return self.varied or self.chain


KINDS = {
    "constant": Kind(False),
    "quantiles": Kind(True),
    "grid": Kind(False, grid=True),
    "grid_quantiles": Kind(True, grid=True),
    "lfsr": Kind(False, 0),
    "lfsr_quantiles": Kind(True, 0),
    "lfsr_uniform": Kind(True, 1),
    "lfsr_normal": Kind(True, 2),
}


@ti.func
def silent(weight: A, w, varied: ti.template()):
    """Whether all weights of a matrix are 0."""
    every = weight[w] == 0
    if ti.static(varied):
        every = every & (weight[w + 1] == 0)
    return every


def product_scatter(element, weight_element, kind: Kind):
    """Kernel: ``y[k] += x[row of k] @ C_k``, with the weights where `kind` says so.

    An item of work, for TILE_THREADS threads, is a share of the spikes and a tile of the targets of
    one matrix: `tile_parts` of the `parts` into which a row is cut. From `shared_from` spikes on,
    the sums of a tile are added up in shared memory; the handler makes sure that they fit. With
    fewer spikes they are added to `y` at once. Sums of the braintaichi scheme cannot be added up
    in parts: they round as one. Few neighbours on a grid share a target, so a tile saves nothing.
    """
    read = reader_of(kind, scatter_emit(element, kind), one_block=True, grids=False)
    Sink = sink_of(element)
    at_once = TILE_THREADS // kind.lanes
    tile_size = TILE_BYTES // (8 if element == ti.f64 else 4)

    @ti.kernel
    def kernel(
        active: array(U32),
        value: array(element),
        count: array(ti.i32),
        weight: array(weight_element),
        seed: array(U32),
        table: array(U32),
        quantiles: array(ti.i32),
        y: array(element),
        inputs: U32,
        n_x: U32,
        n_out: U32,
        matrices: U32,
        per_input: U32,
        table_size: U32,
        parts: U32,
        tile_parts: U32,
        tiles: U32,
        spike_splits: U32,
        shared_from: U32,
        scheme: SCHEME,
    ):
        ti.loop_config(block_dim=TILE_THREADS)
        for t in range(WORKERS):
            sums = ti.simt.block.SharedArray((tile_size,), element)
            thread = U32(t) % U32(TILE_THREADS)
            lane = thread % U32(kind.lanes)
            shift = U32(0)
            item = U32(t) // U32(TILE_THREADS)
            while item < matrices * tiles * spike_splits:
                split = item % spike_splits
                tile = item // spike_splits % tiles
                k = ti.i32(item // spike_splits // tiles)
                w = ti.static(kind.parameters) * k
                x_row = (U32(k) // per_input) % inputs
                spikes = U32(count[ti.i32(x_row)])
                first = tile * tile_parts
                here = ti.min(tile_parts, parts - first)
                if not silent(weight, w, kind.varied):
                    begin = tile * U32(tile_size)
                    size = ti.min(n_out - begin, U32(tile_size))
                    shared = False
                    if ti.static(kind.tiled):
                        shared = spikes >= shared_from
                        if shared:
                            i = thread
                            while i < size:
                                sums[ti.i32(i)] = ti.cast(0, element)
                                i += U32(TILE_THREADS)
                            ti.simt.block.sync()
                    # threads that had no task of the last item start first here: load balance
                    j = ((thread // U32(kind.lanes) - shift) & U32(at_once - 1)) * spike_splits
                    j += split
                    while j < spikes * here:
                        spike = ti.i32(x_row * n_x + j // here)
                        a = value[spike]
                        b = ti.cast(0, element)
                        if ti.static(kind.varied):
                            b = weight[w + 1] * a
                        if ti.static(kind.weighted):
                            a = weight[w] * a
                        row = Row(
                            active[spike], seed[2 * k], seed[2 * k + 1], n_out, first + j % here,
                            parts,
                        )  # fmt: skip
                        zero = U32(0)
                        table_offset = U32(k) * table_size
                        if ti.static(kind.tiled):
                            if shared:
                                sink = Sink(a, b, zero - begin, zero, zero, zero, zero, zero, zero)
                                read(
                                    0, lane, row, scheme, table, table_offset, sums, quantiles,
                                    table, sink,
                                )  # fmt: skip
                        if not shared:
                            base = U32(k) * n_out
                            sink = Sink(a, b, base, zero, zero, zero, zero, zero, zero)
                            read(
                                0, lane, row, scheme, table, table_offset, y, quantiles, table,
                                sink,
                            )  # fmt: skip
                        j += U32(at_once) * spike_splits
                    shift += (spikes * here + spike_splits - 1 - split) // spike_splits
                    if ti.static(kind.tiled):
                        if shared:
                            ti.simt.block.sync()
                            i = thread
                            while i < size:
                                sum = sums[ti.i32(i)]
                                if sum != 0:
                                    y[ti.i32(U32(k) * n_out + begin + i)] += sum
                                i += U32(TILE_THREADS)
                item += U32(WORKERS // TILE_THREADS)

    return kernel


def product_gather(x_element, weight_element, kind: Kind):
    """Kernel: ``y[k] = C_k @ x[row of k]`` times the weights; a warp (or thread) sums up a row."""
    element = ti.i32 if x_element == ti.u8 else x_element
    read = reader_of(kind, gather_emit(element, kind))
    Sink = sink_of(element)
    total = lane_total(element)
    tasks_at_once = WORKERS // kind.lanes

    @ti.kernel
    def kernel(
        x: array(x_element),
        weight: array(weight_element),
        seed: array(U32),
        table: array(U32),
        quantiles: array(ti.i32),
        y: array(weight_element),
        inputs: U32,
        n_x: U32,
        n_out: U32,
        matrices: U32,
        per_input: U32,
        table_size: U32,
        scheme: SCHEME,
    ):
        for t in range(WORKERS):
            lane = U32(t) % U32(kind.lanes)
            j = U32(t) // U32(kind.lanes)
            while j < matrices * n_out:
                k = ti.i32(j // n_out)
                x_row = (U32(k) // per_input) % inputs
                w = ti.static(kind.parameters) * k
                a = ti.cast(0, element)
                b = ti.cast(0, element)
                if ti.static(kind.weighted):
                    a = weight[w]
                if ti.static(kind.varied):
                    b = weight[w + 1]
                sum = ti.cast(0, element)
                if not silent(weight, w, kind.varied):
                    zero = U32(0)
                    row = Row(j % n_out, seed[2 * k], seed[2 * k + 1], n_x, zero, U32(1))
                    sink = Sink(a, b, x_row * n_x, zero, zero, zero, zero, zero, zero)
                    sum = read(
                        sum, lane, row, scheme, table, U32(k) * table_size, x, quantiles, table,
                        sink,
                    )  # fmt: skip
                if ti.static(not kind.chain):
                    sum = total(sum)
                if lane == 0:
                    if ti.static(kind.weighted):
                        y[ti.i32(j)] = sum
                    else:
                        y[ti.i32(j)] = weighted(weight[w], ti.cast(sum, weight_element))
                j += U32(tasks_at_once)

    return kernel


def push(element, kind: Kind):
    """Kernel: spikes into a ring of delayed sums, ``engine.ring.push``."""
    read = reader_of(kind, scatter_emit(element, kind))
    Sink = sink_of(element)
    tasks_at_once = WORKERS // kind.lanes

    @ti.kernel
    def kernel(
        active: array(U32),
        value: array(element),
        count: array(ti.i32),
        weight: array(element),
        seed: array(U32),
        delay: array(ti.i32),
        step: array(ti.i32),
        table: array(U32),
        quantiles: array(ti.i32),
        delays: array(U32),
        population_of: array(ti.i32),
        row_of: array(ti.i32),
        post_offset: array(ti.i32),
        post_size: array(ti.i32),
        delay_column: array(ti.i32),
        spec_of_pair: array(ti.i32),
        indptr_offset: array(ti.i32),
        specs: array(U32),
        ring: array(element),
        slots: U32,
        n_post: U32,
        targets: U32,
        columns: U32,
        parts: U32,
    ):
        for t in range(WORKERS):
            lane = U32(t) % U32(kind.lanes)
            # a task is a spike and one of these: their product may not fit into 32 bits
            of_a_spike = targets * parts
            spike = ti.i32(U32(t) // U32(kind.lanes) // of_a_spike)
            task = U32(t) // U32(kind.lanes) % of_a_spike
            while spike < count[0]:
                target = ti.i32(task // parts)
                neuron = ti.i32(active[spike])
                population = population_of[neuron]
                pair = population * ti.i32(targets) + target
                spec = -1
                if population >= 0:
                    spec = spec_of_pair[pair] * ti.static(format.SPEC_WORDS)
                if spec >= 0:
                    w = ti.static(kind.parameters) * pair
                    a = weight[w] * value[spike]
                    b = ti.cast(0, element)
                    if ti.static(kind.varied):
                        if specs[spec + ti.static(SPEC["law"])] != 0:  # not one weight for all
                            b = weight[w + 1] * value[spike]
                    column = target
                    line = population
                    width = targets
                    if columns != 0:  # delays for each neuron
                        column = delay_column[target]
                        line = neuron
                        width = columns
                    steps = delay[line * ti.i32(width) + column]
                    # a spike that would arrive outside the ring is lost: delays are checked where
                    # they are set
                    if (
                        (not silent(weight, w, kind.varied))
                        & (steps >= 0)
                        & (steps < ti.i32(slots))
                        & (post_size[target] > 0)
                    ):
                        base_slot = (U32(step[0]) + U32(steps)) % slots
                        base = U32(post_offset[target])
                        delay_bits = specs[spec + ti.static(SPEC["delay_bits"])]
                        if delay_bits == 0:
                            base += base_slot * n_post
                        table_offset = specs[spec + ti.static(SPEC["table_offset"])]
                        row = Row(
                            U32(row_of[neuron]), seed[2 * pair], seed[2 * pair + 1],
                            U32(post_size[target]), task % parts, parts,
                        )  # fmt: skip
                        sink = Sink(
                            a, b, base, base_slot, slots, n_post, delay_bits,
                            specs[spec + ti.static(SPEC["quantiles_offset"])],
                            specs[spec + ti.static(SPEC["delays_offset"])],
                        )  # fmt: skip
                        # as one, since the readers' branches would each load what they need
                        scheme = ti.Vector(
                            [specs[spec + k] for k in range(format.SCHEME_WORDS)], U32
                        )
                        read(
                            0, lane, row, scheme, table,
                            table_offset + U32(indptr_offset[pair]), ring, quantiles, delays, sink,
                        )  # fmt: skip
                spike += ti.i32(U32(tasks_at_once) // of_a_spike)
                task += U32(tasks_at_once) % of_a_spike
                if task >= of_a_spike:
                    task -= of_a_spike
                    spike += 1

    return kernel
