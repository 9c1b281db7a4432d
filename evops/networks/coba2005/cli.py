"""The command ``evops coba2005``.

Source of the network: Vogels & Abbott (2005), J. Neurosci. 25:10786-10795,
doi:10.1523/JNEUROSCI.3508-05.2005.
"""

import argparse
from functools import partial
from typing import Any

from evops.engine import library
from evops.networks.coba2005 import model as coba2005
from evops.networks.coba2005 import report
from evops.networks.coba2005.measure import activity
from evops.networks.coba2005.model import DEFAULT_DURATION_MS, Model
from evops.networks.shared import options as common
from evops.networks.shared.output import Output, progress
from evops.networks.shared.simulate import CHUNK, Simulator, peak_memory_mb

NAME = "coba2005"
# A record has a byte for every neuron and step. Chunks of large networks are shorter, so that it
# stays below this size.
RECORD_BYTES = 20_000_000


def add(subparsers: Any) -> None:
    """Add the command to an argparse collection of subcommands."""
    parser = common.add_command(
        subparsers,
        NAME,
        help="the COBA network of Vogels and Abbott (2005), as benchmarked by Brette et al. (2007)",
        description="The conductance-based network of Vogels and Abbott (2005), J. Neurosci. "
        "25:10786-10795; benchmark of Brette et al. (2007), J. Comput. Neurosci. 23:349-398.",
    )
    add = parser.add_argument
    add("--size", type=int, default=4000, metavar="N", help="neurons, 80 %% excitatory")
    add("--synapses", type=int, default=80, metavar="K",
        help="mean synapses of a neuron; weights are scaled by 80 / K")  # fmt: skip
    add("--duration", type=float, default=DEFAULT_DURATION_MS, metavar="MS",
        help="simulated time; rates leave out the first 100 ms")  # fmt: skip
    common.add_seeds(parser, "initial potentials", "synapses")
    add("--dt", type=float, default=0.1, metavar="MS", help="time step")
    add("--backend", choices=library.BACKENDS, default=None,
        help="the fastest there is if not given")  # fmt: skip
    common.add_output(parser, NAME)
    common.add_trace(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the network as asked and print the report."""
    model = Model(options.size, options.synapses, options.dt, backend=options.backend)
    n_steps = common.duration_in_steps(options.duration, model.dt)
    seed, network_seed = common.seeds(options)
    traced = common.trace(options, model.size)
    out = Output(NAME, options.out)
    out.say(
        f"COBA network: {model.n_exc} + {model.n_inh} neurons, about "
        f"{model.size * model.synapses:,} synapses, {n_steps} steps of {model.dt:g} ms, "
        f"backend {library.choose(options.backend)}"
    )
    parameters, state = coba2005.setup(model, seed, network_seed)
    simulator = Simulator.compile(
        partial(coba2005.step, model),
        parameters,
        state,
        chunk_steps=max(1, min(CHUNK, RECORD_BYTES // model.size)),
        split_updates=False,
        watch=None if traced is None else lambda state: state.v[traced],
    )
    out.say(f"compiled in {simulator.compile_seconds:.2f} s")
    with progress(n_steps) as bar:
        spikes = simulator.run(parameters, state, n_steps, bar)
    found = activity(model, spikes)
    per_second = spikes.run_seconds / (n_steps * model.dt / 1e3)
    measured = {
        "seed": seed,
        "network_seed": network_seed,
        "duration_ms": n_steps * model.dt,
        "spikes": len(spikes.steps),
        "steps_per_second": round(n_steps / spikes.run_seconds, 1),
        "seconds_per_biological_second": round(per_second, 4),
        "compile_seconds": round(simulator.compile_seconds, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
    out.write_json(report.summary(model, found, **measured))
    if spikes.trace is not None:
        out.write_arrays(neuron=traced, dt_ms=model.dt, v_mv=spikes.trace)
    if not options.no_plot:
        out.draw(report.draw, model, spikes, found, traced)
    out.say(report.table(model, found))
    out.say(
        f"{n_steps / spikes.run_seconds:.0f} steps per second, {per_second:.3f} s per second of "
        f"biology\ncompile time {simulator.compile_seconds:.2f} s\n"
        f"peak memory {peak_memory_mb():.0f} MB"
    )
    return out.close()
