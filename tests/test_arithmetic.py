"""A number times a matrix, quantities with a unit, and what solvers ask of a matrix."""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator, gmres

import evops

SHAPE = (12, 10)
GRID = (4, 3)


def projection(law=None, **more):
    law = evops.Normal(0.5, 0.2, low=0) if law is None else law
    return evops.Projection(evops.FixedProbability(0.4), law, SHAPE, seed=3, **more)


MATRICES = {
    "constant": lambda: projection(0.5),
    "normal": projection,
    "uniform": lambda: projection(evops.Uniform(-1, 2)),
    "scaled": lambda: 3 * projection(),
    "total": lambda: evops.Projection(evops.FixedTotalNumber(50), 0.5, SHAPE, seed=3),
    "weighted": lambda: projection().with_weights(0.25),
    "csr": lambda: projection().tocsr(),
    "csr with a scale": lambda: evops.CSR(
        np.array([1, -2], np.int8), [3, 4], [0, 1, 2, *[2] * 10], shape=SHAPE, scale=0.1
    ),
    "csc": lambda: projection().tocsc(),
    "transposed": lambda: projection().T,
    "convolution": lambda: evops.Conv2D(jnp.ones((3, 3, 1, 2)), GRID),
}
FACTORS = {
    "int": (3, 3),
    "float": (0.7, 0.7),
    "negative": (-2.5, -2.5),
    "float32": (np.float32(0.7), 0.7),
    "zero axes": (np.array(3.0, np.float32), 3),
    "jax": (jnp.float32(0.7), 0.7),
    "zero": (0, 0),
}


@pytest.mark.thin(5)
@pytest.mark.parametrize("case", MATRICES)
@pytest.mark.parametrize("factor", FACTORS)
def test_a_number_times_a_matrix(case, factor):
    W, (given, number) = MATRICES[case](), FACTORS[factor]
    dense = np.asarray(W.todense(), np.float64)
    for product in (given * W, W * given):
        assert type(product) is type(W) and product.dtype == W.dtype and product.shape == W.shape
        np.testing.assert_allclose(product.todense(), number * dense, rtol=1e-6)
        x = jnp.ones(W.shape[0])
        np.testing.assert_allclose(x @ product, number * (np.ones(W.shape[0]) @ dense), rtol=1e-4)
    if number:
        np.testing.assert_allclose((W / given).todense(), dense / number, rtol=1e-6)
    np.testing.assert_array_equal((-W).todense(), -W.todense())
    assert +W is W


def test_integers_are_scaled_as_jax_scales_them():
    W = evops.Projection(evops.FixedProbability(0.4), np.int32(2), SHAPE, seed=3)
    assert (3 * W).dtype == np.int32 and (0.5 * W).dtype == np.float32
    assert (-W).dtype == np.int32 and (W / 4).dtype == np.float32
    np.testing.assert_array_equal((W / 4).todense(), W.todense() / 4)


@pytest.mark.parametrize("case", ["normal", "constant", "weighted", "csr"])
def test_a_factor_may_be_traced_and_has_a_gradient(case):
    W, x = MATRICES[case](), jnp.ones(SHAPE[0])
    slope = jax.jit(jax.grad(lambda a: (x @ (a * W)).sum()))(2.0)
    np.testing.assert_allclose(slope, (x @ W).sum(), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda W: x @ (2 * W))(W), 2 * (x @ W), rtol=1e-6)


@pytest.mark.parametrize("backend", ["jnp", "native"])
def test_scaled_weights_travel_with_their_delays(backend):
    W = projection(delay=evops.Uniform(1, 4), backend=backend)
    spikes, buffer = jnp.ones(SHAPE[0], bool), evops.DelayBuffer.zeros(SHAPE[1], 4)
    twice = (2 * W).push(spikes, buffer)
    np.testing.assert_allclose(twice.sums, 2 * W.push(spikes, buffer).sums, rtol=1e-6)
    for a, b in zip(W.edges(), (2 * W).edges(), strict=True):
        np.testing.assert_allclose(b, 2 * a if a.dtype == np.float32 else a)


def test_factors_are_multiplied_into_one():
    W = projection()
    assert (2 * (3 * W)).law == evops.Scaled(W.law, jnp.float32(6))
    assert repr(-(2 * W).law.factor) == repr((-(2 * W)).law.factor)
    with pytest.raises(TypeError, match="law must be a weight law"):
        evops.Scaled(0.5, 2)
    with pytest.raises(ValueError, match="factor must be finite"):
        evops.Scaled(W.law, np.inf)
    with pytest.raises(TypeError, match="mean must be a real number"):
        evops.Normal(W.law, 2)


REFUSED = {
    "array": (lambda W: W * np.ones(10), "takes one number as a factor, got shape"),
    "list": (lambda W: [1, 2] * W, r"\(x \* a\) @ W"),
    "matrix": (lambda W: W * W, "no arithmetic but"),
    "sum": (lambda W: W + 1, "no arithmetic but"),
    "difference": (lambda W: 1 - W, "no arithmetic but"),
    "inverse": (lambda W: 1 / W, "no arithmetic but"),
    "absolute": (abs, "no arithmetic but"),
    "complex": (lambda W: 1j * W, "factor must be a real number"),
    "bool": (lambda W: W * True, "factor must be a real number"),
    "text": (lambda W: W * "a", "can't multiply|unsupported operand"),
    "nothing": (lambda W: W * None, "unsupported operand"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("matrix", ["normal", "csr", "weighted"])
def test_other_arithmetic_is_an_error(case, matrix):
    operation, message = REFUSED[case]
    with pytest.raises(TypeError, match=message):
        operation(MATRICES[matrix]())
    with pytest.raises(ValueError, match="factor must be finite"):
        MATRICES[matrix]() * float("nan")
    with pytest.raises(ZeroDivisionError):
        MATRICES[matrix]() / 0


class Quantity:
    """What brainunit and saiunit call so: a number and its unit."""

    def __init__(self, mantissa, unit):
        self.mantissa, self.unit = mantissa, unit

    def __array__(self, dtype=None, copy=None):
        raise TypeError("only numbers without a unit are arrays")

    def __repr__(self):
        return f"Quantity({self.mantissa}, {self.unit.name!r})"


class Unit:
    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name

    def __mul__(self, value):
        return Quantity(value, self)

    __rmul__ = __mul__
    __array_ufunc__ = None

    def __rtruediv__(self, value):
        return Quantity(value, Unit(f"1 / {self.name}"))


MS, MV = Unit("mS"), Unit("mV")


@pytest.mark.parametrize("case", ["normal", "csr", "transposed"])
def test_quantities(case):
    W = MATRICES[case]()
    x, v = jnp.ones(W.shape[0]), jnp.ones(W.shape[1])
    for made in (W * MS, MS * W, W * Quantity(1, MS), Quantity(1, MS) * W):
        assert made.unit.name == "mS" and isinstance(made.mantissa, type(W))
    np.testing.assert_array_equal((W * Quantity(0.5, MS)).mantissa.todense(), (W / 2).todense())
    np.testing.assert_array_equal((W / Quantity(2, MS)).mantissa.todense(), (W / 2).todense())
    assert (W / Quantity(2, MS)).unit.name == "1 / mS"
    for found, wanted in (
        (W(Quantity(x, MV)), x @ W),
        (Quantity(x, MV) @ W, x @ W),
        (W @ Quantity(v, MV), W @ v),
    ):
        assert found.unit is MV
        np.testing.assert_array_equal(found.mantissa, wanted)


REFUSED_QUANTITIES = {
    "mean": lambda q: evops.Normal(q, 0.1),
    "law": lambda q: evops.Projection(evops.FixedProbability(0.4), q, SHAPE, seed=3),
    "delay": lambda q: projection(delay=q),
    "data": lambda q: evops.CSR(q, [0], [0, 1], shape=(1, 2)),
    "values": lambda q: projection().with_weights(q),
    "kernel": lambda q: evops.Conv2D(q, GRID),
    "dt": lambda q: evops.PoissonInput(10, 8.0, 1.0, size=7, dt=q, seed=1),
    "rate": lambda q: evops.PoissonInput(10, q, 1.0, size=7, dt=0.1, seed=1),
    "p": evops.FixedProbability,
    "sigma": evops.Gaussian,
    "spikes": lambda q: projection(delay=2).push(q, evops.DelayBuffer.zeros(SHAPE[1], 4)),
    "factor": lambda q: evops.Scaled(evops.Constant(0.5), q),
}


@pytest.mark.parametrize("case", REFUSED_QUANTITIES)
def test_other_quantities_are_refused_with_what_to_write(case):
    wanted = f"{case} must be .*got a quantity in mS: .*W \\* unit.*time step"
    with pytest.raises(TypeError, match=wanted) as error:
        REFUSED_QUANTITIES[case](Quantity(np.ones(1000), MS))
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("case", ["normal", "csr", "weighted", "transposed", "total"])
def test_solvers_of_scipy(case):
    W = MATRICES[case]()
    dense, operator = np.asarray(W.todense()), aslinearoperator(W)
    u, v = np.ones(W.shape[0], np.float32), np.ones(W.shape[1], np.float32)
    assert operator.shape == W.shape and operator.dtype == W.dtype
    np.testing.assert_allclose(operator @ v, dense @ v, rtol=1e-5)
    np.testing.assert_allclose(operator.H @ u, dense.T @ u, rtol=1e-5)
    np.testing.assert_allclose(
        operator @ np.ones((W.shape[1], 3)), dense @ np.ones((W.shape[1], 3)), rtol=1e-5
    )
    for vector, product in ((v, W.matvec), (u, W.rmatvec)):
        assert isinstance(product(vector), np.ndarray) and product(vector).flags.writeable
        assert isinstance(product(jnp.asarray(vector)), jax.Array)
        assert isinstance(jax.jit(lambda f=product, x=vector: f(x))(), jax.Array)


def test_solvers_solve_the_system_and_not_its_transpose():
    W = evops.Projection(evops.FixedProbability(0.9), evops.Normal(0.5, 1.0), (12, 12), seed=4)
    dense, b = np.asarray(W.todense()), np.arange(1, 13, dtype=np.float32)
    found, _ = gmres(aslinearoperator(W), b, rtol=1e-6)
    np.testing.assert_allclose(dense @ found, b, atol=1e-3)
    found, _ = jax.scipy.sparse.linalg.gmres(W.matvec, b, tol=1e-6, restart=12, maxiter=50)
    np.testing.assert_allclose(dense @ found, b, atol=1e-3)


def test_an_operator_of_lineax(monkeypatch):
    """With a stand-in: the recipe of lineax runs the real one."""
    made = {}

    def operator(function, entries, tags):
        made.update(function=function, entries=entries, tags=tags)
        return made

    module = types.SimpleNamespace(FunctionLinearOperator=operator)
    monkeypatch.setitem(sys.modules, "lineax", module)
    W, v = projection(), jnp.ones(SHAPE[1])
    assert W.as_linear_operator("tag") is made
    assert made["tags"] == "tag" and made["entries"].shape == v.shape
    np.testing.assert_array_equal(made["function"](v), W @ v)
    assert jax.tree.leaves(made["function"])


def test_edges_as_arrays_of_numpy():
    edges = projection(delay=2).edges()
    plain = edges.numpy()
    for a, b in zip(edges, plain, strict=True):
        assert type(b) is np.ndarray
        np.testing.assert_array_equal(a, b)
    assert projection().edges().numpy().delay is None
