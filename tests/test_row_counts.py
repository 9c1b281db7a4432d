"""How counted rules divide their synapses among rows: the same on every path, and multinomial."""

import ctypes
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import evops
import oracle_exact
from chance import check_chi2, check_normal, check_spread
from evops import inputs
from evops.engine import library, ops
from evops.projection import key_of


def key(seed):
    return key_of(inputs.seed_words("seed", seed))


def counts(seed, total, n, backend="native"):
    """By a program of XLA, whose key is traced."""
    found = ops.draw_indptr(jnp.asarray(key(seed)), total=total, n_pre=n, backend=backend)
    return np.diff(np.asarray(found).astype(np.int64))


SIZES = [
    *((1, 5), (2, 7), (3, 0), (3, 31), (4, 32), (5, 100), (7, 1000), (8, 33), (20, 65)),
    *((64, 3), (100, 5000), (1000, 777)),
]


@pytest.mark.parametrize(("n", "total"), SIZES)
def test_every_path_divides_alike(n, total):
    for seed in (0, 5, 2**40 + 3):
        want = [0] * n
        oracle_exact.divide(seed, 0, n, total, want)
        assert sum(want) == total
        for backend in ("native", "jnp"):
            assert counts(seed, total, n, backend).tolist() == want, backend
        host = library.count_rows(key(seed), total, n)
        assert np.diff(host.astype(np.int64)).tolist() == want and host[0] == 0
        W = evops.Projection(evops.FixedTotalNumber(total), 1.0, (n, 3), seed=seed)
        assert W.out_degree().tolist() == want


def test_every_level_divides_alike():
    active = library.loaded().evops_level()
    try:
        found = []
        for level in library.levels():
            assert library.loaded().evops_select(level.encode()) == 0
            found.append(library.count_rows(key(3), 12_345_678, 5000))
    finally:
        library.loaded().evops_select(active)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_large_numbers_are_divided_on_threads():
    """As one after another: the kernel itself takes every node of a size at once."""
    total, n = 2**31 - 1, 3 * 2**12 + 5
    threads = np.diff(library.count_rows(key(1), total, n).astype(np.int64))
    assert threads.sum() == total
    check_spread(((threads - total / n) ** 2 / (total / n)).sum(), n - 1)
    np.testing.assert_array_equal(counts(1, total, n), threads)


@pytest.mark.parametrize(("n", "total"), [(2, 6), (3, 4), (4, 3), (5, 3)])
def test_small_numbers_are_multinomial(n, total):
    """Every outcome has its probability, exactly."""
    outcomes = {
        c: math.factorial(total) / math.prod(map(math.factorial, c)) / n**total
        for c in itertools.product(range(total + 1), repeat=n)
        if sum(c) == total
    }
    seeds = 20_000
    found = dict.fromkeys(outcomes, 0)
    for seed in range(seeds):
        found[tuple(np.diff(library.count_rows(key(seed), total, n).astype(int)).tolist())] += 1
    rare = {c for c, p in outcomes.items() if p * seeds < 60}
    common = [c for c in outcomes if c not in rare]
    observed = [found[c] for c in common] + [sum(found[c] for c in rare)] * bool(rare)
    expected = [outcomes[c] * seeds for c in common]
    expected += [sum(outcomes[c] for c in rare) * seeds] * bool(rare)
    if expected[-1] < 60:  # too rare even together
        observed, expected = observed[:-1], expected[:-1]
    check_chi2(observed, np.array(expected) * sum(observed) / sum(expected))


@pytest.mark.parametrize(("n", "total"), [(1000, 2_000_000), (1023, 3_000), (20_683, 45_499_806)])
def test_degrees_spread_as_those_of_single_draws(n, total):
    """Variance, and correlation of neighbours, of parts of every size."""
    c = np.diff(library.count_rows(key(11), total, n).astype(np.int64)).astype(float)
    mean = total / n
    squares = ((c - mean) ** 2 / mean).sum()
    # a chi-square of n - 1 degrees; its variance has a term of the rarest counts
    check_normal((squares - (n - 1)) / math.sqrt(2 * (n - 1) * (1 + 1 / (2 * mean))))
    for size in (2, 4, 64, 256):
        parts = c[: n // size * size].reshape(-1, size).sum(1)
        p = size / n
        z = (parts - total * p) / math.sqrt(total * p * (1 - p))
        worst = np.abs(z).max()  # of so many about normal numbers
        check_normal(stats.norm.isf(min(0.5, z.size * stats.norm.sf(worst))))


def test_seeds_may_be_traced(backend):
    def degrees(seed):
        rule = evops.FixedTotalNumber(500)
        return evops.Projection(rule, 1.0, (30, 4), seed=seed, backend=backend).out_degree()

    traced = jax.jit(jax.vmap(degrees))(jnp.arange(3))
    for seed in range(3):
        np.testing.assert_array_equal(traced[seed], degrees(seed))


def test_no_program_is_compiled_for_known_seeds():
    made = evops.Projection(evops.FixedInDegree(3), 1.0, (77, 12), seed=1)
    program = jax.make_jaxpr(
        lambda: evops.Projection(evops.FixedInDegree(3), 1.0, (77, 12), seed=1).indptr
    )()
    assert "evops_indptr" not in str(program) and made.indptr.shape == (78,)


def test_arguments_of_the_library_are_checked():
    words = (ctypes.c_uint32 * 2)()
    room = (ctypes.c_uint32 * 4)()
    call = library.loaded().evops_count_rows
    for key_, total, n, out in (
        (None, 3, 3, room),
        (words, 3, 3, None),
        (words, -1, 3, room),
        (words, 2**31, 3, room),
        (words, 3, 0, room),
        (words, 3, -5, room),
        (words, 3, 2**31, room),
    ):
        assert call(key_, ctypes.c_int64(total), ctypes.c_int64(n), out) == 1
    assert call(words, ctypes.c_int64(3), ctypes.c_int64(3), room) == 0 and room[3] == 3
    with pytest.raises(ValueError, match="counts of -1 synapses in 3 rows are out of range"):
        library.count_rows(np.zeros(2, np.uint32), -1, 3)
