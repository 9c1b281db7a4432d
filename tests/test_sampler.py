"""One definition, the same lines everywhere; what the published scheme draws."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import evops
import oracle
from chance import check_normal, check_spread
from evops.braintaichi.streams import streams
from evops.connectivity import sampler
from evops.connectivity.rules import LfsrGaps

WORD = st.integers(0, 2**32 - 1)


def first_words(xp, seeds, start, n=5):
    state = start(xp.asarray(seeds, dtype=xp.uint32))
    out = []
    for _ in range(n):
        state = sampler.next_state(*state)
        out.append(np.asarray(sampler.word88(*state)))
    return np.stack(out, 1)


@given(st.lists(WORD, min_size=1, max_size=8))
@example([0, 1, 2**32 - 1, 2**31, 2**32 - 7, 2**32 - 15])
@settings(max_examples=30, deadline=None)
def test_words_equal_on_numpy_jnp_and_oracle(seeds):
    for hashed, start in ((False, sampler.line_state), (True, sampler.hashed_line_state)):
        expected = []
        for seed in seeds:
            generator = oracle.Lfsr88(seed, hashed)
            expected.append([generator.next() for _ in range(5)])
        for xp in (np, jnp):
            words = first_words(xp, seeds, start)
            np.testing.assert_array_equal(words, np.array(expected, np.uint32), strict=True)


@pytest.mark.parametrize("p", [1.0, 0.9, 0.5, 0.4, 0.1, 0.02, 1 / 49, 1e-4, 1e-7, 1e-9, 1e-12])
def test_clen_equals_specification(p):
    assert LfsrGaps(p).clen == oracle.clen(p)


@pytest.mark.filterwarnings("ignore::evops.EvopsConnectivityWarning")
@given(seed=WORD, p=st.one_of(st.floats(0.003, 1.0), st.sampled_from([1.0, 0.5, 1e-9])))
@settings(max_examples=40, deadline=None)
def test_native_lines_equal_oracle(seed, p):
    n = 300
    for parallel in (True, False):
        shape = (n, 3) if not parallel else (3, n)
        expected = oracle.matrix(shape, p, seed, False, parallel)
        got = [
            evops.event_mv_prob_homo(e, 1.0, p, seed, shape=shape, outdim_parallel=parallel)
            for e in np.eye(shape[1], dtype=bool)[: (3 if not parallel else 20)]
        ]
        np.testing.assert_array_equal(np.stack(got, 1), expected[:, : len(got)])


@given(word=WORD, clen=st.integers(1, 2**31 - 1))
@example(word=2**32 - 1, clen=1)
@example(word=2**32 - 1, clen=2**31 - 1)
@example(word=0, clen=1)
@settings(max_examples=500, deadline=None)
def test_multiplier_divides_every_word(word, clen):
    """The kernels' remainder (kernels/walk.py), step by step."""
    multiplier = min(2**32 // clen, 2**32 - 1)
    r = (word - (word * multiplier >> 32) * clen) % 2**32
    assert min(r, (r - clen) % 2**32) == word % clen


def density(p, hashed, n=2000):
    rule = LfsrGaps(p, hashed)
    lines = oracle.lines(12345, n, n, rule.p, hashed)
    return lines


@pytest.mark.thin(3)
@pytest.mark.parametrize("p", [0.9, 0.4, 0.1, 0.02])
def test_realised_density(p):
    """Mean of 2000 independent renewal lines, less half a synapse: that of the first position."""
    lines = density(p, hashed=True)
    per_line = lines.sum(1)
    expected = LfsrGaps(p).density * lines.shape[1]
    error = max(abs(per_line.mean() - expected) - 0.5, 0)
    check_normal(error * len(lines) ** 0.5 / per_line.std())


def test_published_lines_come_in_twins_and_hashed_lines_do_not():
    published, hashed = density(0.1, False), density(0.1, True)
    assert len(np.unique(published, axis=0)) == 1000
    assert len(np.unique(hashed, axis=0)) == 2000


def test_in_degree_variance():
    """Binomial for hashed lines, more than twice that as published."""
    ideal = 2000 * 0.1 * 0.9
    settled = slice(19, None)  # the first clen positions have another density
    hashed = density(0.1, True).sum(0)[settled].var(ddof=1) / ideal
    published = density(0.1, False).sum(0)[settled].var(ddof=1) / ideal
    check_spread(hashed * 1980, 1980)
    assert published > 1.8


def test_streams_keep_apart_and_depend_on_the_whole_seed():
    drawn = {}
    for seed in (0, 1, 2**32, 2**63, 2**64 - 1):
        firsts = streams(seed, 1000, 1600)
        assert firsts.dtype == np.uint32 and len(firsts) == 1000
        ordered = np.sort(firsts.astype(np.int64))
        assert np.diff(ordered).min() >= 1600 and ordered[0] > 0 and ordered[-1] + 1600 < 2**32
        drawn[seed] = firsts
    assert len({tuple(s) for s in drawn.values()}) == len(drawn)


def test_streams_of_a_hundred_areas():
    """Two populations an area: 40,000 matrices."""
    ordered = np.sort(streams(3, 40_000, 1600).astype(np.int64))
    assert np.diff(ordered).min() >= 1600 and ordered[0] > 0 and ordered[-1] + 1600 < 2**32


def test_streams_refuse_what_cannot_be_kept_apart():
    with pytest.raises(ValueError, match=r"100000 matrices of 100000 lines"):
        streams(1, 100_000, 100_000)
