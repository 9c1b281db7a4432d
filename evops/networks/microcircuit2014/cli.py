"""The command ``evops microcircuit2014``.

Source of the model: Potjans & Diesmann (2014), Cereb. Cortex 24:785-806,
doi:10.1093/cercor/bhs358.
"""

import argparse
import dataclasses
import time
from functools import partial
from typing import Any

import jax
import numpy as np

from evops.engine import library
from evops.errors import check_real
from evops.networks.microcircuit2014 import model as microcircuit2014
from evops.networks.microcircuit2014 import report
from evops.networks.microcircuit2014.measure import activity
from evops.networks.microcircuit2014.model import DRIVES, VARIANTS, Model
from evops.networks.shared import options as common
from evops.networks.shared.output import Output, progress
from evops.networks.shared.simulate import Simulator, peak_memory_mb

NAME = "microcircuit2014"


def add(subparsers: Any) -> None:
    """Add the command to an argparse collection of subcommands."""
    parser = common.add_command(
        subparsers,
        NAME,
        help="the cortical microcircuit of Potjans & Diesmann (2014)",
        description="The cortical microcircuit of Potjans & Diesmann (2014), Cereb. Cortex "
        "24:785-806: 77,169 neurons, 298.9 million synapses.",
    )
    add = parser.add_argument
    add("--scale", type=float, default=1.0, help="factor of neurons and in-degrees; weights and "
        "a constant current compensate")  # fmt: skip
    add("--drive", choices=DRIVES, default="poisson", help="background: spikes, or their mean")
    add("--variant", choices=VARIANTS, default="potjans2014", help="whose parameters")
    add("--thalamus", type=float, nargs="?", const=True, default=None, metavar="MS",
        help="a thalamic pulse, MS after settling; in the middle if no MS is given")  # fmt: skip
    add("--duration", type=float, default=1000.0, metavar="MS", help="time that is measured")
    add("--settle", type=float, default=200.0, metavar="MS", help="simulated before it")
    common.add_seeds(parser, "background, pulse and initial potentials", "synapses and delays")
    add("--backend", choices=library.BACKENDS, default=None, help="the fastest if not given")
    common.add_output(parser, NAME)
    common.add_trace(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the model as asked and print the report."""
    model, settle, duration = _checked(options)
    n_steps = model.steps(settle + duration)
    seed, network_seed = common.seeds(options)
    traced = common.trace(options, int(model.neurons.sum()))
    out = Output(NAME, options.out)
    backend = library.choose(options.backend)
    out.say(
        f"{model.variant}, scale {model.scale:g}, {model.drive} drive: "
        f"{model.neurons.sum():,} neurons, {model.synapses.sum():,} synapses, {n_steps} steps of "
        f"{model.dt:g} ms, backend {backend}"
    )
    quiet = _quiet(model)
    if quiet:
        out.say(f"below threshold with a constant drive at this scale, and may fall silent: "
                f"{', '.join(quiet)}")  # fmt: skip
    begin = time.perf_counter()
    parameters, state = jax.block_until_ready(microcircuit2014.setup(model, seed, network_seed))
    setup_seconds = time.perf_counter() - begin
    watch = None
    if traced is not None:
        watch = partial(microcircuit2014.potential, model, neuron=traced)
    step = partial(microcircuit2014.step, model)
    simulator = Simulator.compile(step, parameters, state, watch=watch)
    out.say(f"set up in {setup_seconds:.2f} s, compiled in {simulator.compile_seconds:.2f} s")
    with progress(n_steps) as bar:
        spikes = simulator.run(parameters, state, n_steps, bar)
    spikes = dataclasses.replace(spikes, neurons=model.neuron_of(spikes.neurons))
    found = activity(model, spikes, settle)
    per_second = spikes.run_seconds / (n_steps * model.dt) * 1e3
    measured = {
        "thalamus_ms": None if model.thalamus_ms is None else model.thalamus_ms - settle,
        "settle_ms": settle,
        "duration_ms": duration,
        "seed": seed,
        "network_seed": network_seed,
        "backend": backend,
        "setup_seconds": round(setup_seconds, 3),
        "compile_seconds": round(simulator.compile_seconds, 3),
        "steps_per_second": round(n_steps / spikes.run_seconds, 1),
        "seconds_per_biological_second": round(per_second, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "spikes": len(spikes.steps),
    }
    out.write_json(report.summary(model, found, **measured))
    if spikes.trace is not None:
        out.write_arrays(neuron=traced, dt_ms=model.dt, settle_ms=settle, v_mv=spikes.trace)
    if not options.no_plot:
        out.draw(report.draw, model, spikes, found, settle, traced)
    out.say(report.table(model, found))
    out.say(f"{n_steps / spikes.run_seconds:.0f} steps per second: {per_second:.2f} s for a "
            f"biological second\npeak memory {peak_memory_mb():.0f} MB")  # fmt: skip
    return out.close()


def _checked(options: argparse.Namespace) -> tuple[Model, float, float]:
    """The model, the time to settle and the duration that is measured, in ms."""
    duration, settle = (check_real(k, getattr(options, k)) for k in ("duration", "settle"))
    if not Model().dt <= duration <= 1e6:
        raise ValueError(f"duration must be from one step ({Model().dt} ms) to 1e6 ms, "
                         f"got {duration}")  # fmt: skip
    if not 0 <= settle <= 1e6:
        raise ValueError(f"settle must be from 0 to 1e6 ms, got {settle}")
    onset = options.thalamus
    if onset is not None:
        last = duration - microcircuit2014.published()["thalamus"]["pulse_ms"]
        onset = max(last, 0) / 2 if onset is True else check_real("thalamus", onset)
        if not 0 <= onset <= last:
            raise ValueError(
                f"thalamus must be from 0 ms to the end of the duration less 10 ms, {last:g} ms, "
                f"got {onset:g}"
            )
        onset += settle
    model = Model(
        scale=options.scale,
        drive=options.drive,
        variant=options.variant,
        thalamus_ms=onset,
        backend=options.backend,
    )
    return model, settle, duration


def _quiet(model: Model) -> list[str]:
    """Populations for which a constant drive alone is below threshold (NEST warns likewise)."""
    if model.drive != "dc":
        return []
    p = model.base["neuron"]
    needed = p["c_m_pf"] / p["tau_m_ms"] * (p["v_threshold_mv"] - p["v_rest_mv"])
    return np.array(model.names)[model.constant_current < needed].tolist()
