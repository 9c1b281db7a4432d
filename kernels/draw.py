"""Draw the synapses of blocks: lists of targets for the readers of the exact sampler.

A task is one block of one row: the key words (t0, t1) of its projection, its pre neuron, the
block, the row's post neurons `n`, and where post neuron 0 lies (`origin`). Its synapses are
written as pairs (target = origin + post, owner = index of the task), one task after another, and
their number to ``produced[0]``. A list never outgrows `target`. Readers of the published scheme
take t0 for the seed; two of them also write what they draw from the same stream to `z`.
"""

import taichi as ti

from distances import LEAF, NODE, leaf_bound, node_bound, post_at, probability
from sampler_ti import (
    DELAY,
    SLOTS,
    SYNAPSES_PER_BLOCK,
    TIE,
    WEIGHT,
    array,
    autapse,
    below,
    between,
    both_ways,
    chance,
    counted_rows,
    dense_blocks,
    dense_hit,
    distances,
    equal_rows,
    feistel,
    first_state,
    geometric_gaps,
    grid_offsets,
    leads,
    look_up,
    neighbour,
    next_gap,
    next_state,
    nobody,
    normal,
    permuted,
    remainder,
    slot,
    typed_pairs,
    uniform,
    uniform_gaps,
    variate_key,
    word,
    word88,
)

A = ti.template()
# A block of a row to read: see the module.
Task = ti.types.struct(t0=ti.u32, t1=ti.u32, pre=ti.u32, block=ti.u32, origin=ti.u32, n=ti.u32)


@ti.func
def _emit(target: ti.template(), owner: ti.template(), at, j, origin, post, leave_out):
    """One more synapse, unless it is the autapse that is left out; the new length of the list."""
    after = at
    # The room is looked at here, since a table at run time may be wrong and draw without end.
    if post != leave_out and at < target.shape[0]:
        target[at] = origin + post
        # A byte: a list has at most 64 tasks.
        owner[at] = ti.cast(j, ti.u8)
        after = at + 1
    return after


@ti.func
def _targets(task, block_bits):
    """The first target of a block of 2**block_bits, and how many of them the row has."""
    begin = task.block << block_bits
    return begin, ti.min(ti.u32(1) << block_bits, task.n - begin)


@ti.func
def _geometric_gaps(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
    gaps = geometric_gaps(scheme)
    k0, k1 = feistel(task.pre, task.block, task.t0, task.t1)
    begin, size = _targets(task, gaps.block_bits)
    leave_out = autapse(task.pre, scheme)
    c = ti.u32(0)
    i = ti.u32(0)
    found = False
    while c < size:
        i, c, found = next_gap(k0, k1, i, c, gaps, table)
        if found:
            if c < size:
                at = _emit(target, owner, at, j, task.origin, begin + c, leave_out)
            c += ti.u32(1)
    return at


@ti.func
def _dense_blocks(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
    dense = dense_blocks(scheme)
    k0, k1 = feistel(task.pre, task.block, task.t0, task.t1)
    begin, size = _targets(task, dense.block_bits)
    leave_out = autapse(task.pre, scheme)
    for c in range(ti.i32(size)):
        post = ti.u32(c)
        w = word(k0, k1, post >> 2)
        tie = word(k0 + ti.u32(TIE), k1, post)
        if dense_hit(w, post, tie, dense.threshold, dense.tie_threshold):
            at = _emit(target, owner, at, j, task.origin, begin + post, leave_out)
    return at


@ti.func
def _equal_rows(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
    k0, k1 = feistel(task.pre, ti.u32(0), task.t0, task.t1)
    begin = task.block * ti.u32(SYNAPSES_PER_BLOCK)
    rows = equal_rows(scheme)
    for s in range(ti.i32(ti.min(ti.u32(SYNAPSES_PER_BLOCK), rows.k - begin))):
        i = begin + ti.u32(s)
        post = i
        if rows.low_bits == 0:
            post = below(word(k0, k1, i), task.n)
        else:
            post = permuted(k0, k1, i, rows.high_count, rows.low_bits)
            while post >= task.n:
                post = permuted(k0, k1, post, rows.high_count, rows.low_bits)
        at = _emit(target, owner, at, j, task.origin, post, nobody())
    return at


@ti.func
def _counted_rows(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
    start, count = table[2 * j], table[2 * j + 1]
    rows = counted_rows(scheme)
    # Slots of the permutation are numbered over all post neurons; modulo n they are targets.
    slots = rows.slots * task.n
    begin = task.block * ti.u32(SYNAPSES_PER_BLOCK)
    k0, k1 = feistel(task.pre, ti.u32(0), task.t0, task.t1)
    if rows.low_bits != 0:
        k0, k1 = feistel(ti.u32(0), ti.u32(SLOTS), task.t0, task.t1)
    for s in range(ti.i32(ti.min(ti.u32(SYNAPSES_PER_BLOCK), count - begin))):
        i = begin + ti.u32(s)
        post = i
        if rows.low_bits == 0:
            post = below(word(k0, k1, i), task.n)
        else:
            place = ti.min(start + i, slots - ti.u32(1))
            post = permuted(k0, k1, place, rows.high_count, rows.low_bits)
            while post >= slots:
                post = permuted(k0, k1, post, rows.high_count, rows.low_bits)
            post = post % task.n
        at = _emit(target, owner, at, j, task.origin, post, nobody())
    return at


@ti.func
def _diagonal(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
    if task.pre < task.n:
        at = _emit(target, owner, at, j, task.origin, task.pre, nobody())
    return at


@ti.func
def _grid_offsets(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
    grid = grid_offsets(scheme)
    begin = task.block * ti.u32(SYNAPSES_PER_BLOCK)
    for s in range(ti.i32(ti.min(ti.u32(SYNAPSES_PER_BLOCK), grid.offsets - begin))):
        post = neighbour(task.pre, begin + ti.u32(s), task.n, grid, table, ti.u32(0))
        if post < task.n:
            at = _emit(target, owner, at, j, task.origin, post, nobody())
    return at


@ti.func
def _distances(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
    k0, k1 = feistel(task.pre, ti.u32(0), task.t0, task.t1)
    leave_out = autapse(task.pre, scheme)
    d = distances(scheme)
    for node in range(ti.i32((d.n_post + ti.u32(NODE - 1)) // ti.u32(NODE))):
        if node_bound(d, task.pre, ti.u32(node), table) > table[0]:
            for k in range(LEAF):
                leaf = ti.u32(node * LEAF + k)
                most = leaf_bound(d, task.pre, leaf, table)
                for i in range(LEAF if most > table[0] else 0):
                    place = leaf * ti.u32(LEAF) + ti.u32(i)
                    post = post_at(d, place, table)
                    w = word(k0, k1, post) >> 1
                    if (w < chance(most)) & (post < task.n):
                        if w < chance(probability(d, task.pre, place, table)):
                            at = _emit(target, owner, at, j, task.origin, post, leave_out)
    return at


@ti.func
def _typed_pairs(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
    leave_out = autapse(task.pre, scheme)
    d = typed_pairs(scheme)
    k0, k1 = feistel(task.pre, ti.u32(0), task.t0, task.t1)
    kinds = d.pre_types * d.post_types
    row = ti.u32(0)
    if kinds > 1:
        own = table[ti.i32(kinds + ti.min(task.pre, d.n_pre - 1))]
        row = ti.min(own, d.pre_types - 1) * d.post_types
    for c in range(ti.i32(ti.min(task.n, d.n_post))):
        post = ti.u32(c)
        kind = row
        if kinds > 1:
            kind += ti.min(table[ti.i32(kinds + d.n_pre + post)], d.post_types - 1)
        w, way = word(k0, k1, post), True
        if d.ways > 0:
            w, side = both_ways(task.pre, post, task.t0, task.t1)
            way = (d.ways == 1) | leads(task.pre, post, side)
        if way & ((w >> 1) < chance(table[ti.i32(kind)])):
            at = _emit(target, owner, at, j, task.origin, post, leave_out)
    return at


def _uniform_gaps(draws: int):
    """Reader of a row of the braintaichi scheme that draws 0 to 2 words for every synapse."""

    @ti.func
    def reader(j, task, scheme: A, table: A, target: A, owner: A, z: A, at):
        gaps = uniform_gaps(scheme)
        s1, s2, s3 = first_state(task.t0 + task.pre, gaps.hashed)
        s1, s2, s3 = next_state(s1, s2, s3)
        post = remainder(word88(s1, s2, s3), gaps)
        while post < task.n:
            if at < target.shape[0]:
                target[at] = task.origin + post
                owner[at] = ti.cast(j, ti.u8)
                if ti.static(draws > 0):
                    s1, s2, s3 = next_state(s1, s2, s3)
                    u = uniform(word88(s1, s2, s3))
                    if ti.static(draws == 2):
                        s1, s2, s3 = next_state(s1, s2, s3)
                        u = normal(u, uniform(word88(s1, s2, s3)))
                    z[at] = u
                at += 1
            s1, s2, s3 = next_state(s1, s2, s3)
            post += remainder(word88(s1, s2, s3), gaps) + ti.u32(1)
        return at

    return reader


READERS = {
    "geometric_gaps": _geometric_gaps,
    "dense_blocks": _dense_blocks,
    "equal_rows": _equal_rows,
    "diagonal": _diagonal,
    "counted_rows": _counted_rows,
    "grid_offsets": _grid_offsets,
    "distances": _distances,
    "typed_pairs": _typed_pairs,
    "uniform_gaps": _uniform_gaps(0),
    "uniform_gaps_uniform": _uniform_gaps(1),
    "uniform_gaps_normal": _uniform_gaps(2),
}


def draw(name: str):
    """Kernel that runs one reader over all tasks; see the module."""
    reader = READERS[name]

    @ti.kernel
    def kernel(
        t0: array(ti.u32),
        t1: array(ti.u32),
        pre: array(ti.u32),
        block: array(ti.u32),
        origin: array(ti.u32),
        n: array(ti.u32),
        scheme: array(ti.u32),
        table: array(ti.u32),
        target: array(ti.u32),
        owner: array(ti.u8),
        z: array(ti.f32),
        produced: array(ti.i32),
    ):
        at = 0
        ti.loop_config(serialize=True)
        for j in range(n.shape[0]):
            task = Task(t0[j], t1[j], pre[j], block[j], origin[j], n[j])
            at = reader(j, task, scheme, table, target, owner, z, at)
        produced[0] = at

    return kernel


@ti.func
def _variate_word(s, role, t0: A, t1: A, pre: A, shift: A, by_rank: A, target: A, owner: A):
    """Word behind a variate of synapse s of a list; see `variate`."""
    j = ti.i32(owner[s])
    counter = target[s]
    if by_rank[0] != 0:
        counter = ti.u32(s)
    k0, k1 = variate_key(pre[j], t0[j], t1[j])
    return word(k0 + ti.u32(role), k1, counter - shift[j])


def variate():
    """Kernel of the variate of every synapse in a list, a whole number: ``z[s]``.

    The counter behind it is the synapse's target, or with `by_rank` its place in the list, less
    ``shift`` of its task.
    """

    @ti.kernel
    def kernel(
        t0: array(ti.u32),
        t1: array(ti.u32),
        pre: array(ti.u32),
        shift: array(ti.u32),
        by_rank: array(ti.u32),
        target: array(ti.u32),
        owner: array(ti.u8),
        quantiles: array(ti.i32),
        z: array(ti.f32),
    ):
        ti.loop_config(serialize=True)
        for s in range(target.shape[0]):
            w = _variate_word(s, WEIGHT, t0, t1, pre, shift, by_rank, target, owner)
            at, part = slot(w)
            a = ti.cast(quantiles[ti.i32(at)], ti.u32)
            b = ti.cast(quantiles[ti.i32(at) + 1], ti.u32)
            z[s] = ti.cast(ti.cast(between(a, b, part), ti.i32), ti.f32)

    return kernel


def delay():
    """Kernel of the delay that every synapse in a list draws from an alias table; see `variate`."""

    @ti.kernel
    def kernel(
        t0: array(ti.u32),
        t1: array(ti.u32),
        pre: array(ti.u32),
        shift: array(ti.u32),
        by_rank: array(ti.u32),
        target: array(ti.u32),
        owner: array(ti.u8),
        table: array(ti.u32),
        bits: array(ti.u32),
        steps: array(ti.u32),
    ):
        right = ti.u32(32) - bits[0]
        ti.loop_config(serialize=True)
        for s in range(target.shape[0]):
            w = _variate_word(s, DELAY, t0, t1, pre, shift, by_rank, target, owner)
            steps[s] = look_up(table[ti.i32(w >> right)], w, right)

    return kernel
