"""The GPU kernels that draw synapses: walks (gpu_walk.py) shared out among warps or threads.

A task is some blocks of the line of one spike, or the whole of one line where lines are summed up.
"""

import dataclasses

import taichi as ti
from gpu_arrays import U32, WORKERS, weighted
from gpu_walk import WIDTH, A, gather_put, lane_total, scatter_put, walk_of
from walk import array

BLOCK = 512  # threads that share the sums of a slab of targets, and the bytes of those
SLAB_BYTES = 1 << 15
SOURCE_WORDS = 11  # evops.engine.jnp_reader.Source.words


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is walked and what a synapse weighs: data of the kernels below.

    varied: weights are a + b z, else one for all. draws: None for the exact sampler; for the
    published scheme the words that z takes from a line's stream (0: z comes from a quantile table).
    """

    varied: bool
    draws: int | None = None

    @property
    def chain(self) -> bool:
        return self.draws is not None

    @property
    def parameters(self) -> int:
        return 2 if self.varied else 1

    @property
    def lanes(self) -> int:
        """Threads that share a task."""
        return 1 if self.chain else WIDTH

    @property
    def weighted(self) -> bool:
        """Whether weights are taken synapse by synapse, not for the whole sum at the end."""
        return self.varied or self.chain


KINDS = {
    "constant": Kind(False),
    "quantiles": Kind(True),
    "lfsr": Kind(False, 0),
    "lfsr_quantiles": Kind(True, 0),
    "lfsr_uniform": Kind(True, 1),
    "lfsr_normal": Kind(True, 2),
}


@ti.func
def silent(weight: A, w, varied: ti.template()):
    """Whether all weights of an instance or pair are 0."""
    every = weight[w] == 0
    if ti.static(varied):
        every = every & (weight[w + 1] == 0)
    return every


def product_scatter(element, weight_element, kind: Kind):
    """Kernel: ``y[k] += x[row of k] @ C_k``, with the weights where `kind` says so.

    An item of work, for BLOCK threads, is a share of the spikes and a slab of the targets of one
    instance: `slab_parts` of the `parts` into which a line is cut. Where there are `shared_from`
    spikes or more, the sums of a slab are added up in shared memory (and the handler sees to it
    that they fit), else at once in `y`. Sums of the published scheme cannot be added up in parts:
    they round as one.
    """
    walk = walk_of(kind, scatter_put(element, kind), one_block=True)
    at_once = BLOCK // kind.lanes
    slab_size = SLAB_BYTES // (8 if element == ti.f64 else 4)

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
        rows: U32,
        n_x: U32,
        n_out: U32,
        instances: U32,
        repeat: U32,
        table_size: U32,
        parts: U32,
        slab_parts: U32,
        slabs: U32,
        shares: U32,
        shared_from: U32,
        reader: U32,
        skip: U32,
        s2: U32,
        s3: U32,
        s4: U32,
    ):
        ti.loop_config(block_dim=BLOCK)
        for t in range(WORKERS):
            sums = ti.simt.block.SharedArray((slab_size,), element)
            thread = U32(t) % U32(BLOCK)
            lane = thread % U32(kind.lanes)
            shift = U32(0)
            item = U32(t) // U32(BLOCK)
            while item < instances * slabs * shares:
                share = item % shares
                slab = item // shares % slabs
                k = ti.i32(item // shares // slabs)
                w = ti.static(kind.parameters) * k
                row = (U32(k) // repeat) % rows
                spikes = U32(count[ti.i32(row)])
                first = slab * slab_parts
                here = ti.min(slab_parts, parts - first)
                if not silent(weight, w, kind.varied):
                    begin = slab * U32(slab_size)
                    size = ti.min(n_out - begin, U32(slab_size))
                    shared = False
                    if ti.static(not kind.chain):
                        shared = spikes >= shared_from
                        if shared:
                            i = thread
                            while i < size:
                                sums[ti.i32(i)] = ti.cast(0, element)
                                i += U32(BLOCK)
                            ti.simt.block.sync()
                    # the threads that were left without a task of the last item are first here
                    j = ((thread // U32(kind.lanes) - shift) & U32(at_once - 1)) * shares + share
                    while j < spikes * here:
                        spike = ti.i32(row * n_x + j // here)
                        a = value[spike]
                        b = ti.cast(0, element)
                        if ti.static(kind.varied):
                            b = weight[w + 1] * a
                        if ti.static(kind.weighted):
                            a = weight[w] * a
                        if ti.static(not kind.chain):
                            if shared:
                                walk(
                                    0, lane, active[spike], seed[2 * k], seed[2 * k + 1], n_out,
                                    first + j % here, parts, reader, skip, s2, s3, s4, table,
                                    U32(k) * table_size, sums, quantiles, table, U32(0), U32(0),
                                    U32(0) - begin, a, b, U32(0), U32(0), U32(0), U32(0),
                                )  # fmt: skip
                        if not shared:
                            walk(
                                0, lane, active[spike], seed[2 * k], seed[2 * k + 1], n_out,
                                first + j % here, parts, reader, skip, s2, s3, s4, table,
                                U32(k) * table_size, y, quantiles, table, U32(0), U32(0),
                                U32(k) * n_out, a, b, U32(0), U32(0), U32(0), U32(0),
                            )  # fmt: skip
                        j += U32(at_once) * shares
                    shift += (spikes * here + shares - 1 - share) // shares
                    if ti.static(not kind.chain):
                        if shared:
                            ti.simt.block.sync()
                            i = thread
                            while i < size:
                                sum = sums[ti.i32(i)]
                                if sum != 0:
                                    y[ti.i32(U32(k) * n_out + begin + i)] += sum
                                i += U32(BLOCK)
                item += U32(WORKERS // BLOCK)

    return kernel


def product_gather(x_element, weight_element, kind: Kind):
    """Kernel: ``y[k] = C_k @ x[row of k]`` times the weights; a warp (or thread) sums up a line."""
    element = ti.i32 if x_element == ti.u8 else x_element
    walk = walk_of(kind, gather_put(element, kind))
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
        rows: U32,
        n_x: U32,
        n_out: U32,
        instances: U32,
        repeat: U32,
        table_size: U32,
        reader: U32,
        skip: U32,
        s2: U32,
        s3: U32,
        s4: U32,
    ):
        for t in range(WORKERS):
            lane = U32(t) % U32(kind.lanes)
            j = U32(t) // U32(kind.lanes)
            while j < instances * n_out:
                k = ti.i32(j // n_out)
                row = (U32(k) // repeat) % rows
                w = ti.static(kind.parameters) * k
                a = ti.cast(0, element)
                b = ti.cast(0, element)
                if ti.static(kind.weighted):
                    a = weight[w]
                if ti.static(kind.varied):
                    b = weight[w + 1]
                sum = ti.cast(0, element)
                if not silent(weight, w, kind.varied):
                    sum = walk(
                        sum, lane, j % n_out, seed[2 * k], seed[2 * k + 1], n_x, U32(0), U32(1),
                        reader, skip, s2, s3, s4, table, U32(k) * table_size, x, quantiles, table,
                        U32(0), U32(0), row * n_x, a, b, U32(0), U32(0), U32(0), U32(0),
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
    walk = walk_of(kind, scatter_put(element, kind))
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
        block_of: array(ti.i32),
        line_of: array(ti.i32),
        post_offset: array(ti.i32),
        post_size: array(ti.i32),
        delay_column: array(ti.i32),
        source_of_pair: array(ti.i32),
        starts_at: array(ti.i32),
        sources: array(U32),
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
                block = block_of[neuron]
                pair = block * ti.i32(targets) + target
                source = -1
                if block >= 0:
                    source = source_of_pair[pair] * SOURCE_WORDS
                if source >= 0:
                    w = ti.static(kind.parameters) * pair
                    a = weight[w] * value[spike]
                    b = ti.cast(0, element)
                    if ti.static(kind.varied):
                        if sources[source + 5] != 0:  # a law
                            b = weight[w + 1] * value[spike]
                    column = target
                    line = block
                    width = targets
                    if columns != 0:  # delays for each neuron
                        column = delay_column[target]
                        line = neuron
                        width = columns
                    steps = delay[line * ti.i32(width) + column]
                    # what arrives outside the ring is lost: delays are checked where they are set
                    if (
                        (not silent(weight, w, kind.varied))
                        & (steps >= 0)
                        & (steps < ti.i32(slots))
                        & (post_size[target] > 0)
                    ):
                        late = (U32(step[0]) + U32(steps)) % slots
                        base = U32(post_offset[target])
                        delay_bits = sources[source + 7]
                        if delay_bits == 0:
                            base += late * n_post
                        walk(
                            0, lane, U32(line_of[neuron]), seed[2 * pair], seed[2 * pair + 1],
                            U32(post_size[target]), task % parts, parts, sources[source],
                            sources[source + 1], sources[source + 2], sources[source + 3],
                            sources[source + 4], table, sources[source + 8] + U32(starts_at[pair]),
                            ring, quantiles, delays, sources[source + 9], sources[source + 10],
                            base, a, b, late, slots, n_post, delay_bits,
                        )  # fmt: skip
                spike += ti.i32(U32(tasks_at_once) // of_a_spike)
                task += U32(tasks_at_once) % of_a_spike
                if task >= of_a_spike:
                    task -= of_a_spike
                    spike += 1

    return kernel
