"""Every primitive inside `jax.shard_map`: values and derivatives beside dense matrices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec
from manual_axes import CUTS, DEVICES, OPERATORS, TRANSFORMS, dense, of_one, sharded

import evops

ALL = list(itertools.product(OPERATORS, CUTS, TRANSFORMS, ("native", "jnp"), (True, False)))
# One in seven of them, so that every pair of choices is among them.
SOME = [case for k, case in enumerate(ALL) if k % 7 == 0]


@pytest.fixture(scope="module")
def mesh():
    return Mesh(np.array(jax.devices("cpu")[:DEVICES]), ("device",))


def check(name, cut, transform, backend, check_vma):
    x, w, _ = map(jnp.asarray, of_one(name, cut))
    ask = TRANSFORMS[transform][1]
    function = sharded(name, cut, transform, backend, check_vma)
    found = jax.jit(lambda x, w: ask(function, x, w))(x, w)
    expected = ask(dense(name, cut, transform), x, w)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), found, expected
    )


@pytest.mark.parametrize("name, cut, transform, backend, check_vma", SOME)
def test_primitives_in_shard_map_equal_dense(name, cut, transform, backend, check_vma):
    check(name, cut, transform, backend, check_vma)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, cut, transform, backend, check_vma", [case for case in ALL if case not in SOME]
)
def test_all_primitives_in_shard_map_equal_dense(name, cut, transform, backend, check_vma):
    check(name, cut, transform, backend, check_vma)


def test_some_has_every_pair_of_choices():
    for i, j in itertools.combinations(range(5), 2):
        assert {(c[i], c[j]) for c in SOME} == {(c[i], c[j]) for c in ALL}
