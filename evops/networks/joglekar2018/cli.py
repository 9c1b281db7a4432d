"""The command ``evops joglekar2018``: the 29-area model, its trials, the notebook's variant.

Source of the model: Joglekar et al. (2018), Neuron 98:222-234, doi:10.1016/j.neuron.2018.02.031.
"""

import argparse
import math
from functools import partial
from typing import Any

import numpy as np

from evops.engine import library
from evops.networks.joglekar2018 import macaque, notebook, report
from evops.networks.joglekar2018 import model as default
from evops.networks.joglekar2018.measure import Trials
from evops.networks.joglekar2018.model import DEFAULT_DURATION_MS, REGIMES, SCHEMES, Model
from evops.networks.shared import options as common
from evops.networks.shared.output import Output, progress
from evops.networks.shared.simulate import Simulator, peak_memory_mb

NAME = "joglekar2018"


def add(subparsers: Any) -> None:
    """Add the command to an argparse collection of subcommands."""
    parser = common.add_command(
        subparsers,
        NAME,
        help="the 29-area macaque model of Joglekar et al. (2018)",
        description="The 29-area macaque model of Joglekar et al. (2018), Neuron 98:222-234.",
    )
    add = parser.add_argument
    add("--regime", choices=REGIMES, default="async_weak", help="coupling and background input")
    add("--duration", type=float, default=DEFAULT_DURATION_MS, metavar="MS", help="simulated time")
    common.add_seeds(parser, "noise and initial potentials", "synapses and delays")
    add("--dt", type=float, default=0.1, metavar="MS", help="time step")
    add("--pulse", type=float, default=None, metavar="MV",
        help="pulse to V1; the regime's if not given")  # fmt: skip
    add("--pulse-ms", type=float, default=None, metavar="MS",
        help="its length; the regime's if not given")  # fmt: skip
    add("--v-initial", type=float, nargs=2, default=None, metavar=("LOW", "HIGH"),
        help="initial potentials in mV; -70 -50 (the authors'), sync regimes -70 -60")  # fmt: skip
    add("--trials", type=int, default=1, help="trials, with seeds from --seed on")
    add("--networks", type=int, default=2,
        help="connectivities that several trials are divided among")  # fmt: skip
    add("--as-published", action="store_true", help="BrainPy's notebook, faults included")
    add("--scheme", choices=tuple(SCHEMES), default="exact", help="synapses of the default model: "
        "exact probability, or the published uniform gaps")  # fmt: skip
    add("--backend", choices=library.BACKENDS, default=None,
        help="the fastest there is if not given")  # fmt: skip
    add("--data", metavar="DIR", default=None,
        help="own connectivity tables, CSV or the published .mat")  # fmt: skip
    common.add_output(parser, NAME)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the model as asked and print the report."""
    model, n_steps, trial_seeds = _checked(options)
    out = Output(NAME, options.out)
    network = notebook if options.as_published else default
    what = "BrainPy's notebook" if options.as_published else "default model"
    out.say(
        f"{what}, {options.regime}: {model.areas} areas of {model.n_exc} + {model.n_inh} neurons, "
        f"{_synapses(model):,} synapses, {n_steps} steps of {model.dt:g} ms, "
        f"backend {library.choose(options.backend)}"
    )
    first = network.setup(model, *trial_seeds[0])
    simulator = Simulator.compile(partial(network.step, model), *first)
    out.say(f"compiled in {simulator.compile_seconds:.2f} s")
    trials = Trials(model)
    for i, trial in enumerate(trial_seeds):
        parameters, state = network.setup(model, *trial) if i else first
        label = f"trial {i + 1}/{len(trial_seeds)}" if len(trial_seeds) > 1 else ""
        with progress(n_steps, label) as bar:
            trials.add(simulator.run(parameters, state, n_steps, bar))
        # After every trial, so that an interrupted command keeps what is finished.
        measured = _measured(options, trials, trial_seeds, simulator)
        out.write_json(report.summary(model, trials.mean(), **measured))
    if not options.no_plot:
        out.draw(report.draw, model, trials.last_run, trials.mean(), len(trials.activities))
    out.say(report.table(model, trials.mean()))
    if len(trial_seeds) > 1:
        out.say(report.trials_table(_rows(trials, trial_seeds)))
    out.say(f"{trials.steps_per_second:.0f} steps per second\n"
            f"compile time {simulator.compile_seconds:.2f} s\n"
            f"peak memory {peak_memory_mb():.0f} MB")  # fmt: skip
    return out.close()


def _checked(options: argparse.Namespace) -> tuple[Model, int, list[tuple[int, int]]]:
    """The model, the number of steps, and (seed, network seed) of every trial."""
    model = Model(
        regime=options.regime,
        scheme=options.scheme,
        dt=options.dt,
        pulse_mv=options.pulse,
        pulse_ms=options.pulse_ms,
        v_initial=None if options.v_initial is None else tuple(options.v_initial),
        backend=options.backend,
        cortex=macaque.load(options.data),
    )
    n_steps = common.duration_in_steps(options.duration, model.dt)
    for name in ("trials", "networks"):
        if not 1 <= getattr(options, name) <= 10_000:
            raise ValueError(f"{name} must be from 1 to 10000, got {getattr(options, name)}")
    seed, network_seed = common.seeds(options)
    library.choose(options.backend)
    # Trials of one network follow each other: few networks, each with several trials.
    per_network = math.ceil(options.trials / min(options.networks, options.trials))
    trial_seeds = [(seed + i, network_seed + i // per_network) for i in range(options.trials)]
    return model, n_steps, trial_seeds


def _synapses(model: Model) -> int:
    """Expected number of synapses."""
    sizes = np.array([model.n_exc, model.n_inh])
    pairs = sizes[None, :, None, None] * sizes
    return round(float(((model.weights() != 0) * pairs).sum()) * model.conn_prob)


def _rows(trials: Trials, trial_seeds: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Rows of the JSON file, one for every trial so far."""
    return [
        report.trial(trials.model, *own, activity)
        for own, activity in zip(trial_seeds, trials.activities, strict=False)
    ]


def _measured(
    options: argparse.Namespace, trials: Trials, trial_seeds: list[tuple[int, int]],
    simulator: Simulator,
) -> dict[str, Any]:  # fmt: skip
    """Results of the trials so far, beside their mean."""
    rows = _rows(trials, trial_seeds)
    return {
        "variant": "BrainPy notebook" if options.as_published else "default",
        "scheme": "published" if options.as_published else options.scheme,
        "seed": rows[-1]["seed"],
        "network_seed": rows[-1]["network_seed"],
        "duration_ms": trials.last_run.n_steps * trials.model.dt,
        "steps_per_second": round(trials.steps_per_second, 1),
        "compile_seconds": round(simulator.compile_seconds, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "trials_planned": len(trial_seeds),
        "trials": rows,
    }
