"""A checkpoint of Orbax: the matrix as JSON, and its trained weight law as arrays.

From both comes the matrix back, without the program that made it.
"""

import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

import evops

W = evops.Projection(
    evops.FixedTotalNumber(20_000), evops.Normal(0.5, 0.1), (1000, 800), seed=42, delay=15
)
law = jax.tree.map(lambda parameter: 1.1 * parameter, W.law)  # as if trained

with tempfile.TemporaryDirectory() as folder, ocp.CheckpointManager(folder) as manager:
    parts = {"network": ocp.args.JsonSave(W.to_dict()), "law": ocp.args.StandardSave(law)}
    manager.save(100, args=ocp.args.Composite(**parts))
    manager.wait_until_finished()
    network = ocp.args.Composite(network=ocp.args.JsonRestore())
    again = evops.Projection.from_dict(manager.restore(100, args=network).network)
    weights = ocp.args.Composite(law=ocp.args.StandardRestore(again.law))
    again = again.replace(law=manager.restore(100, args=weights).law)

print(f"Orbax: {again}")
np.testing.assert_array_equal(again.todense(), W.replace(law=law).todense())
assert jnp.array_equal(again.key, W.key) and again.delay == W.delay
