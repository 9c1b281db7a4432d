"""Numbers that do not fit: the right value, or an error that names the argument."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import evops

N = 4
BIG = 2**40
EYE = np.arange(N), np.arange(N + 1)


def project(law=1.0, **options):
    return evops.Projection(
        evops.OneToOne(), law, (N, N), **{"seed": 1, "backend": "jnp", **options}
    )


def stored(data=1.0, indices=EYE[0], indptr=EYE[1]):
    return evops.CSR(data, indices, indptr, shape=(N, N), backend="jnp")


def published(weight=1.0, seed=1, **options):
    arguments = {"shape": (N, N), "backend": "jnp", **options}
    return evops.mv_prob_homo(np.ones(N, bool), weight, 1.0, seed, **arguments)


def areas(weight=1.0, delay=1, **options):
    return evops.MultiAreaProjection(1.0, [[weight]], delay, pre=N, post=N, seed=1, **options)


ONE = np.ones(N, bool)
# argument, call that takes it, what integers it may hold: None for those that must be small
CALLS = {
    "x": lambda v: v[None].repeat(N, 0) @ project() if hasattr(v, "dtype") else [v] * N @ project(),
    "v": lambda v: stored() @ np.array([v] * N),
    "law": lambda v: ONE @ project(v),
    "mean": lambda v: project(evops.Normal(v, 0.0)),
    "data": lambda v: ONE @ stored(v),
    "indices": lambda v: stored(indices=[0, 1, 2, v]),
    "indptr": lambda v: stored(indptr=[0, 1, 2, 3, v]),
    "weight": lambda v: published(v),
    "delay": lambda v: areas(delay=v),
    "seed": lambda v: ONE @ project(seed=v),
    "vector": lambda v: evops.mv_prob_homo([v] * N, 1.0, 1.0, 1, shape=(N, N), backend="jnp"),
    "spikes": lambda v: project(delay=1).push([v] * N, evops.DelayBuffer.zeros(N, 1)),
    "k": lambda v: evops.FixedOutDegree(v),
    "p": lambda v: evops.FixedProbability(v),
    "max_delay": lambda v: evops.DelayBuffer.zeros(N, v),
}
VALUES = {
    "int64": np.int64(BIG),
    "uint64": np.uint64(2**63 + 1),
    "int": BIG,
    "negative": -BIG,
    "huge": 2**70,
    "beyond floats": 10**400,
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", CALLS)
def test_integers_beyond_their_type(name, value):
    """Never a wrong number, no error without a name."""
    given = VALUES[value]
    try:
        y = CALLS[name](given)
    except (ValueError, TypeError) as error:
        assert str(error).startswith(name) or f" {name}" in str(error), error
        assert isinstance(error, ValueError) or name in ("k", "max_delay"), error
        return
    if isinstance(y, jax.Array) and name != "seed":
        want = N * float(given) if name in ("weight", "vector") else float(given)
        np.testing.assert_allclose(np.asarray(y, np.float64), np.full(N, want), rtol=1e-6)


def test_integers_of_64_bits_under_x64():
    with jax.enable_x64(True):
        np.testing.assert_array_equal(np.full(N, BIG) @ project(), np.full(N, float(BIG)))
        np.testing.assert_array_equal(ONE @ project(np.int64(BIG)), np.full(N, BIG))
        with pytest.raises(ValueError, match="x must be within .*int32"):
            np.full(N, BIG) @ project(np.int32(1))
        with pytest.raises(ValueError, match="x must be within .*int32"):
            jnp.full(N, BIG) @ stored(np.int32(1))

        # what is traced is settled by its dtype
        @jax.jit
        def weight(w):
            return ONE @ project(w)

        y = weight(np.int64(BIG))
        assert y.dtype == np.int64
        np.testing.assert_array_equal(y, np.full(N, BIG))
        with pytest.raises(TypeError, match="data must be floats or integers of up to 32 bits"):
            jax.jit(stored)(np.int64(3))
        with pytest.raises(TypeError, match="the buffer holds int32, weights are int64"):
            buffer = evops.DelayBuffer.zeros(N, 1, np.int32)
            project(np.int64(3), delay=1).push(ONE, buffer)
        index = jax.jit(lambda i: ONE @ stored(indices=i))(np.int64([0, 1, 2, 2**32 + 1]))
        assert np.isnan(index).all()


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "int4", "uint4", "complex64"])
def test_dtypes_that_are_refused_by_name(dtype):
    kind = np.dtype(getattr(ml_dtypes, dtype, None) or dtype)
    x, one = np.ones(N).astype(kind), np.ones(()).astype(kind)
    for name, call in {
        "x": lambda: x @ project(),
        "v": lambda: stored() @ x,
        "w": lambda: project(evops.Constant(one)),
        "data": lambda: stored(x),
        "weight": lambda: published(one),
        "vector": lambda: evops.mv_prob_homo(x, 1.0, 1.0, 1, shape=(N, N)),
        "events": lambda: evops.event_mv_prob_homo(x, 1.0, 1.0, 1, shape=(N, N)),
        "spikes": lambda: project(delay=1).push(x, evops.DelayBuffer.zeros(N, 1)),
        "sums": lambda: evops.DelayBuffer(np.ones((N, N)).astype(kind)),
    }.items():
        with pytest.raises(TypeError, match=f"{name}.*(must|real|float32).*"):
            call()
        if name in ("x", "vector", "events"):
            traced = {"x": lambda x: x @ project()}.get(name)
            if traced:
                with pytest.raises(TypeError, match=f"x must.*{dtype}"):
                    jax.jit(traced)(x)


def test_floats_beyond_their_type():
    for name, call in {
        "w": lambda: project(1e300),
        "mean": lambda: project(evops.Normal(-1e300, 1.0)),
        "data": lambda: stored(1e300),
        "weight": lambda: published(1e300),
        "x": lambda: np.full(N, 1e300) @ project(),
        "w_mu": lambda: evops.mv_prob_normal(ONE, 1e300, 1.0, 1.0, 1, shape=(N, N)),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must be within ±3.403e.38 for float32"):
            call()
    with pytest.raises(ValueError, match="weight must be within"):
        areas(1e300)
    with pytest.raises(ValueError, match="high must be within ±6.55e.04 for float16"):
        project(evops.Uniform(np.float16(0), 1e5))
    assert np.isinf(np.full(N, np.inf) @ project()).all()


def test_flags_are_flags():
    for flag in ("transpose", "outdim_parallel"):
        for call in (published, evops.get_homo_weight_matrix):
            arguments = (1.0, 1) if call is published else (1.0, 1.0, 1)
            with pytest.raises(TypeError, match=f"{flag} must be True or False, got 'False'"):
                call(*arguments, **{"shape": (N, N), flag: "False"})


def test_a_law_whose_quantiles_are_one_number():
    for constant in (0.0, 1.0, -2):

        class Same(evops.Law):
            m: float
            unit_quantile = staticmethod(lambda u, c=constant: c)

            def loc_scale(self):
                return self.m, 1.0

        with pytest.raises(ValueError, match="unit_quantile of Same must rise from 0 to 1"):
            project(Same(0.5))


def test_a_fraction_beside_whole_numbers_is_not_cut_off():
    class Sum(evops.Law):
        a: float
        b: float

        def loc_scale(self):
            return self.a + self.b, 0

    np.testing.assert_array_equal(ONE @ project(Sum(np.int32(1), 0.5)), np.full(N, 1.5))
