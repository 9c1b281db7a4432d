"""The published family: one table of weights and kinds of input against the dense matrices."""

import dataclasses
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import evops
import oracle
from evops import inputs

P, SHAPE = 0.1, (40, 60)
WEIGHTS = {"homo": (0.3,), "uniform": (-0.4, 0.6), "normal": (0.2, 1.5)}
FLAGS = [(t, o) for t in (False, True) for o in (False, True)]


@dataclasses.dataclass(frozen=True)
class Case:
    """One published function of a vector, and the matrix it multiplies with."""

    kind: str
    law: str
    transpose: bool
    parallel: bool

    def __str__(self):
        flags = f"{'_t' if self.transpose else ''}{'_parallel' if self.parallel else ''}"
        return f"{self.kind}{self.law}{flags}"

    @property
    def n_in(self):
        return SHAPE[0] if self.transpose else SHAPE[1]

    def call(self, x, *weights, seed=7, p=P, backend=None):
        operator = getattr(evops, f"{self.kind}mv_prob_{self.law}")
        flags = {"transpose": self.transpose, "outdim_parallel": self.parallel}
        return operator(x, *weights, p, seed, shape=SHAPE, **flags, backend=backend)

    def dense(self, *weights, seed=7, backend=None):
        """(n_out, n_in), as `get_*` gives it."""
        get = getattr(evops, f"get_{self.law}_weight_matrix")
        matrix = get(
            *weights, P, seed, shape=SHAPE, outdim_parallel=self.parallel != self.transpose,
            backend=backend,
        )  # fmt: skip
        return matrix.T if self.transpose else matrix

    def draw(self, rng):
        """A vector and weights, float32."""
        x = rng.normal(size=self.n_in).astype(np.float32)
        x[rng.random(self.n_in) < 0.5] = 0
        if self.kind:
            x = (x != 0).astype(np.float32)
        return x, *(np.float32(w) for w in WEIGHTS[self.law])


CASES = [Case(k, law, t, o) for k in ("event_", "") for law in WEIGHTS for t, o in FLAGS]


@pytest.fixture(params=CASES, ids=str)
def case(request):
    return request.param


@pytest.fixture(params=WEIGHTS)
def law(request):
    return request.param


@pytest.mark.thin(7)
def test_equals_product_with_the_matrix(case, backend, rng):
    x, *weights = case.draw(rng)
    x[:4] = -0.0, -2.5, 0.0, 1e30 if case.kind else -7.0
    dense = np.asarray(case.dense(*weights, backend=backend), np.float64)
    expected = dense @ ((x != 0) if case.kind else x)
    y = case.call(x, *weights, backend=backend)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.thin(3)
@pytest.mark.parametrize(("transpose", "parallel"), FLAGS)
def test_matrix_has_the_synapses_of_the_scheme(law, transpose, parallel, backend):
    get = getattr(evops, f"get_{law}_weight_matrix")
    flags = {"shape": SHAPE, "transpose": transpose, "outdim_parallel": parallel}
    matrix = np.asarray(get(*WEIGHTS[law], P, -3, **flags, backend=backend))
    assert matrix.shape == (SHAPE[::-1] if transpose else SHAPE) and matrix.dtype == np.float32
    if law == "homo":
        synapses = oracle.matrix(SHAPE, P, -3, outdim_parallel=parallel)
        expected = synapses.T if transpose else synapses
        np.testing.assert_array_equal(matrix, expected * np.float32(0.3))


def test_weights_follow_their_law(backend):
    flags = {"shape": (1000, 1000), "backend": backend}
    uniform = np.asarray(evops.get_uniform_weight_matrix(2.0, 5.0, P, 1, **flags))
    drawn = uniform[uniform != 0]
    assert drawn.min() >= 2 and drawn.max() <= 5 and abs(drawn.mean() - 3.5) < 0.02
    normal = np.asarray(evops.get_normal_weight_matrix(5.0, 0.5, P, 1, **flags))
    drawn = normal[normal != 0]
    assert abs(drawn.mean() - 5) < 0.01 and abs(drawn.std() - 0.5) < 0.01


@pytest.mark.thin(3)
def test_nan_of_a_vector_reaches_its_targets_only(law, backend):
    for transpose, parallel in FLAGS:
        case = Case("", law, transpose, parallel)
        x = np.ones(case.n_in, np.float32)
        x[3] = np.nan
        y = np.asarray(case.call(x, *WEIGHTS[law], backend=backend))
        hit = np.asarray(case.dense(*WEIGHTS[law]))[:, 3] != 0
        np.testing.assert_array_equal(np.isnan(y), hit)
        event = Case("event_", law, transpose, parallel)
        quiet = np.where(np.isnan(x), 0, x)
        np.testing.assert_array_equal(
            event.call(x, *WEIGHTS[law], backend=backend),
            event.call(quiet, *WEIGHTS[law], backend=backend),
        )


def test_nan_raises_under_debug_nans(case, backend, rng):
    x, *weights = case.draw(rng)
    x[:] = np.nan
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        jax.block_until_ready(case.call(x, *weights, backend=backend))


DTYPES = ["bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_result_of_a_vector_has_its_dtype(law, dtype, backend, rng):
    case = Case("", law, False, True)
    x = jnp.asarray(rng.integers(0, 3, case.n_in)).astype(dtype)
    for weight_dtype in ("float16", "float32"):
        weights = [jnp.asarray(w, weight_dtype) for w in WEIGHTS[law]]
        y = case.call(x, *weights, backend=backend)
        real = jnp.issubdtype(x.dtype, jnp.floating)
        assert y.dtype == (x.dtype if real else jnp.dtype(weight_dtype))
        wide = [w.astype(jnp.float32) for w in weights]
        expected = case.call(x.astype(jnp.float32), *wide, backend=backend)
        step = float(jnp.finfo(y.dtype).eps)
        np.testing.assert_allclose(
            np.asarray(y, np.float32), expected, rtol=2 * step, atol=20 * step
        )


@pytest.mark.thin(9)
@pytest.mark.parametrize("kind", ["event_", "get_"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
def test_result_of_events_has_the_weights_dtype(law, kind, dtype, backend):
    case = Case("event_", law, False, False)
    weights = [jnp.asarray(k, dtype) for k in range(1, len(WEIGHTS[law]) + 1)]
    call = case.dense if kind == "get_" else lambda *w, **o: case.call(np.ones(60, bool), *w, **o)
    y = call(*weights, backend=backend)
    varied = law != "homo"
    assert y.dtype == (jnp.float32 if varied and dtype == "int32" else jnp.dtype(dtype))
    wide = [w.astype(jnp.float32) for w in weights]
    expected = call(*wide, backend=backend)
    np.testing.assert_array_equal(y, expected.astype(y.dtype))


def test_python_numbers_take_the_dtype_of_the_other_weight():
    flags = {"shape": SHAPE}
    for low, high, dtype in [
        (0, 1, np.float32),
        (0.0, 1, np.float32),
        (0.0, jnp.float16(1), np.float16),
        (jnp.int32(0), 1.0, np.float32),
        (np.float32(0), jnp.float16(1), np.float32),
        (jnp.zeros(1), jnp.float32(1), np.float32),
    ]:
        assert evops.get_uniform_weight_matrix(low, high, P, 1, **flags).dtype == dtype
    assert evops.get_homo_weight_matrix(2, P, 1, **flags).dtype == np.int32
    assert evops.mv_prob_homo(np.ones(60, np.int32), 2, P, 1, **flags).dtype == np.int32
    assert evops.mv_prob_homo(np.ones(60, np.float16), 2, P, 1, **flags).dtype == np.float16


@pytest.mark.thin(27)
def test_float64(case, backend, rng):
    x, *_ = case.draw(rng)
    with jax.enable_x64(True):
        wide = [np.float64(w) for w in WEIGHTS[case.law]]
        y = case.call(x.astype(np.float64), *wide, backend=backend)
        dense = case.dense(*wide, backend=backend)
        assert y.dtype == dense.dtype == np.float64
        np.testing.assert_allclose(y, np.asarray(dense) @ x, rtol=1e-12, atol=1e-13)
        if not case.kind:  # a Python number is not rounded to float32 first
            python = case.call(x.astype(np.float64), *WEIGHTS[case.law], backend=backend)
            np.testing.assert_array_equal(python, y)
            assert case.call(x, *wide, backend=backend).dtype == np.float32


@pytest.mark.thin(45)
def test_jit_and_vmap_over_weights_and_seeds(case, backend, rng):
    x, *weights = case.draw(rng)

    def call(x, seed, *weights):
        return case.call(x, *weights, seed=seed, backend=backend)

    expected = call(x, 7, *weights)
    np.testing.assert_allclose(jax.jit(call)(x, 7, *weights), expected, rtol=1e-6, atol=1e-6)
    seeds = np.array([7, -1, 2**31 - 1], np.int32)
    many = [np.stack([w, w + 1, w * 2]) for w in weights]
    xs = np.stack([x, np.roll(x, 1), x[::-1]])
    for axes in [(None, 0), (0, None)]:
        batch = (xs if axes[0] == 0 else x, seeds if axes[1] == 0 else 7)
        y = jax.vmap(call, (*axes, *(0 for _ in weights)))(*batch, *many)
        for k in (0, 2):
            one = [b[k] if a == 0 else b for a, b in zip(axes, batch, strict=True)]
            alone = call(*one, *(m[k] for m in many))
            np.testing.assert_allclose(y[k], alone, rtol=1e-6, atol=1e-6)


@pytest.mark.thin(3)
def test_matrix_under_jit_and_vmap(law, backend):
    case = Case("", law, False, True)
    dense = jax.jit(lambda s, *w: case.dense(*w, seed=s, backend=backend))
    weights = WEIGHTS[law]
    np.testing.assert_allclose(dense(7, *weights), case.dense(*weights), rtol=1e-5, atol=1e-6)
    seeds = np.arange(3)
    batch = jax.vmap(dense, (0, *(None for _ in weights)))(seeds, *weights)
    for s in seeds:
        np.testing.assert_allclose(batch[s], dense(s, *weights), rtol=1e-6, atol=1e-6)


@pytest.mark.thin(45)
def test_gradients_equal_those_of_the_dense_product(case, backend, rng):
    x, *weights = case.draw(rng)
    cotangent = rng.normal(size=SHAPE[1] if case.transpose else SHAPE[0]).astype(np.float32)

    def drawn(x, *weights):
        return case.call(x, *weights, backend=backend) @ cotangent

    def dense(x, *weights):
        return (case.dense(*weights, backend=backend) @ x) @ cotangent

    every = tuple(range(1 + len(weights)))
    for one, other in zip(
        jax.grad(drawn, every)(x, *weights), jax.grad(dense, every)(x, *weights), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.thin(9)
def test_gradients_of_every_order(law, backend, rng):
    case = Case("", law, False, False)
    x, *weights = case.draw(rng)

    def loss(x, *weights):
        return jnp.sin(case.call(x, *weights, backend=backend)).mean()

    check_grads(loss, (x, *weights), order=2, atol=1e-2, rtol=1e-2, eps=1e-2)


GOOD = {"conn_prob": 0.5, "seed": 1, "shape": (6, 8)}
NAMES = {"homo": ("weight",), "uniform": ("w_low", "w_high"), "normal": ("w_mu", "w_sigma")}


@pytest.mark.parametrize("kind", ["event_", "", "get_"])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"conn_prob": 0}, ValueError, r"conn_prob must be in \(0, 1\], got 0"),
        ({"conn_prob": float("nan")}, ValueError, r"conn_prob must be in \(0, 1\], got nan"),
        ({"conn_prob": "a"}, TypeError, "conn_prob must be a real number, got 'a'"),
        ({"shape": (6,)}, ValueError, "shape must have 2 entries"),
        ({"shape": (0, 8)}, ValueError, r"shape\[0\] must be an integer from 1"),
        ({"seed": 1.5}, TypeError, "seed must be an integer"),
        ({"seed": [1, 2]}, ValueError, r"seed must be a scalar or have 1 entry, got shape \(2,\)"),
        ({"backend": "gpu"}, ValueError, "backend must be one of native, jnp, got 'gpu'"),
        ({-1: 1j}, TypeError, "{} must be real or bool, got dtype complex"),
        ({-1: True}, TypeError, "{} must be a number or an array of numbers, got dtype bool"),
        ({-1: [1.0, 2.0]}, ValueError, r"{} must be a scalar or have 1 entry, got shape \(2,\)"),
        ({-1: "1"}, TypeError, "{} must be an array of numbers or bools"),
    ],
)
def test_errors(law, kind, change, error, message):
    operator = getattr(
        evops, f"get_{law}_weight_matrix" if kind == "get_" else f"{kind}mv_prob_{law}"
    )
    name = NAMES[law][-1]
    weights = dict.fromkeys(NAMES[law], 1.0)
    change = {name if key == -1 else key: value for key, value in change.items()}
    arguments = {**weights, **GOOD, **change}
    if kind != "get_":
        arguments["events" if kind else "vector"] = np.ones(8, np.float32)
    with pytest.raises(error, match=message.replace("{}", name)):
        operator(**arguments)


@pytest.mark.parametrize(
    ("vector", "error", "message"),
    [
        (np.ones(7), ValueError, r"vector must have shape \(n_in = 8\), got \(7,\)"),
        (np.ones(8, np.complex64), TypeError, "vector must be real or bool, got dtype complex64"),
        (None, TypeError, "vector must be an array of numbers or bools"),
    ],
)
def test_errors_of_vectors(vector, error, message):
    with pytest.raises(error, match=message):
        evops.mv_prob_normal(vector, 0.0, 1.0, **GOOD)


def test_constant_events_under_jit(law, backend):
    for n in (1, 3) if law == "homo" else (1,):
        call = getattr(evops, f"event_mv_prob_{law}")
        flags = {"shape": (n, 60), "transpose": True, "outdim_parallel": False, "backend": backend}
        one = jax.jit(
            lambda call=call, n=n, flags=flags: call(jnp.ones(n), *WEIGHTS[law], P, 7, **flags)
        )
        expected = call(jnp.ones(n), *WEIGHTS[law], P, 7, **flags)
        np.testing.assert_allclose(one(), expected, rtol=1e-5, atol=1e-6)


def test_matrix_too_large_and_traced_statics_are_refused():
    with pytest.raises(ValueError, match="shape must have at most 2147483647 entries"):
        evops.get_homo_weight_matrix(1.0, 0.5, 1, shape=(2**16, 2**15))
    with pytest.raises(TypeError, match="conn_prob must be known before compilation"):
        jax.jit(lambda p: evops.get_homo_weight_matrix(1.0, p, 1, shape=(6, 8)))(0.5)


USES = {
    "events": lambda p: evops.event_mv_prob_homo(np.ones(8), 1.0, p, 1, shape=(6, 8)),
    "vector": lambda p: evops.mv_prob_uniform(np.ones(8), 0.0, 1.0, p, 1, shape=(6, 8)),
    "matrix": lambda p: evops.get_normal_weight_matrix(0.0, 1.0, p, 1, shape=(6, 8)),
    "areas": lambda p: evops.multi_area_event_mv_prob_homo_E(
        np.ones(8), np.ones(1), np.ones(1, int), p, shape=(8, 6), area_num=1
    ),
    "projection": lambda p: evops.Projection(evops.LfsrGaps(p), 1.0, (8, 6), seed=1),
    "multi_area": lambda p: evops.MultiAreaProjection(
        evops.LfsrGaps(p), np.ones((1, 1), np.float32), 1, pre=8, post=6, seed=1
    ),
}


@pytest.mark.parametrize("use", USES)
def test_density_that_is_off_warns_once(use, monkeypatch):
    monkeypatch.setattr(inputs, "_warned", set())
    with pytest.warns(evops.EvopsConnectivityWarning) as caught:
        USES[use](0.15)
    [warning] = caught
    message = str(warning.message)
    assert "0.142857" in message and "0.15" in message and "evops.FixedProbability" in message
    assert warning.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for again in USES.values():
            again(0.15)
        with pytest.raises(evops.EvopsConnectivityWarning):
            USES[use](0.9)


@pytest.mark.parametrize("p", [1, 0.5, 1 / 3, 0.1, 1 / 49, 0.01, 0.00999, 1e-4])
def test_density_that_is_right_does_not_warn(p, monkeypatch):
    monkeypatch.setattr(inputs, "_warned", set())
    for use in USES.values():
        use(p)


def test_fixed_probability_does_not_warn(monkeypatch):
    monkeypatch.setattr(inputs, "_warned", set())
    evops.Projection(evops.FixedProbability(0.15), 1.0, (8, 6), seed=1)
    evops.MultiAreaProjection(0.15, np.ones((1, 1), np.float32), 1, pre=8, post=6, seed=1)


@pytest.mark.parametrize("p", [1, 0.9, 0.5, 0.4, 1 / 3, 0.3, 0.15, 0.1, 1 / 49, 0.02])
def test_realised_probability_is_the_density_drawn(p):
    expected = 2 / (oracle.clen(p) + 1)
    assert evops.realised_probability(p) == expected
    rule = evops.LfsrGaps(p, hashed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", evops.EvopsConnectivityWarning)
        drawn = evops.Projection(rule, 1, (500, 5000), seed=3).in_degree()
    assert np.asarray(drawn[500:]).mean() / 500 == pytest.approx(expected, rel=0.01)


def test_realised_probability_checks_its_argument():
    with pytest.raises(ValueError, match=r"p must be in \(0, 1\], got 2"):
        evops.realised_probability(2)


def test_programs_see_the_warning_at_their_own_line():
    code = "import evops\nfor _ in range(3):\n    evops.get_homo_weight_matrix(1., .9, 1, shape=(3, 3))"
    out = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], check=True, capture_output=True, text=True
    )
    assert out.stderr.count("EvopsConnectivityWarning") == 1 and "<string>:3" in out.stderr
