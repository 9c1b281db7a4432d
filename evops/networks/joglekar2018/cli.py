"""The command ``evops joglekar2018``."""

import argparse
import dataclasses
import math
from functools import partial
from typing import Any

import numpy as np

from evops.engine import bridge
from evops.networks.joglekar2018 import macaque, measure, notebook, report
from evops.networks.joglekar2018 import model as default
from evops.networks.joglekar2018.model import DEFAULT_DURATION_MS, REGIMES, SCHEMES, Model
from evops.networks.shared import options as shared
from evops.networks.shared.output import Output
from evops.networks.shared.simulate import Simulator, peak_memory_mb

SHOWN = ("V1", "V2", "V4", "DP", "MT", "TEO", "TEpd")


def add(commands) -> None:
    """Add the subcommand to an argparse collection of subcommands."""
    parser = commands.add_parser(
        "joglekar2018",
        help="the 29-area macaque model of Joglekar et al. (2018)",
        description="The 29-area macaque model of Joglekar et al. (2018), Neuron 98:222-234.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--regime", choices=REGIMES, default="async_weak", help="coupling and background input")
    add("--duration", type=float, default=DEFAULT_DURATION_MS, metavar="MS", help="simulated time")
    add("--seed", type=int, default=1, help="noise and initial potentials")
    add("--network-seed", type=int, default=None, help="synapses and delays; --seed if not given")
    add("--dt", type=float, default=0.1, metavar="MS", help="time step")
    add(
        "--pulse",
        type=float,
        default=None,
        metavar="MV",
        help="pulse to V1; the regime's if not given",
    )
    add(
        "--pulse-ms",
        type=float,
        default=None,
        metavar="MS",
        help="its length; the regime's if not given",
    )
    add("--v-initial", type=float, nargs=2, default=None, metavar=("LOW", "HIGH"),
        help="initial potentials in mV; -70 -50 (the authors'), sync regimes -70 -60")  # fmt: skip
    add("--trials", type=int, default=1, help="trials, with seeds from --seed on")
    add(
        "--networks",
        type=int,
        default=2,
        help="connectivities that several trials are divided among",
    )
    add("--as-published", action="store_true", help="BrainPy's notebook, faults included")
    add(
        "--scheme",
        choices=tuple(SCHEMES),
        default="exact",
        help="synapses of the default model: exact probability, or the published uniform gaps",
    )
    add(
        "--backend", choices=bridge.BACKENDS, default=None, help="the fastest there is if not given"
    )
    add(
        "--data",
        metavar="DIR",
        default=None,
        help="own connectivity tables, CSV or the published .mat",
    )
    add(
        "--out",
        metavar="DIR",
        default=None,
        help="write joglekar2018.json and joglekar2018.png there",
    )
    add("--no-plot", action="store_true", help="no picture")
    parser.set_defaults(run=run)


def run(options) -> int:
    """Run the model as asked and print the report."""
    model, n_steps = _model(options)
    out = Output("joglekar2018", options.out)
    network = notebook if options.as_published else default
    seeds = _seeds(options)
    what = "BrainPy's notebook" if options.as_published else "default model"
    out.say(
        f"{what}, {options.regime}: {model.areas} areas of {model.n_exc} + {model.n_inh} neurons, "
        f"{_synapses(model):,} synapses, {n_steps} steps of {model.dt:g} ms, "
        f"backend {bridge.choose(options.backend)}"
    )
    parameters, state = network.setup(model, *seeds[0])
    simulator = Simulator.compile(partial(network.step, model), parameters, state)
    out.say(f"compiled in {simulator.compile_seconds:.2f} s")
    counts, seconds, finished = 0, 0.0, []
    while True:
        with shared.progress(
            n_steps, f"trial {len(finished) + 1}/{len(seeds)}" if len(seeds) > 1 else ""
        ) as bar:
            spikes = simulator.run(parameters, state, n_steps, bar)
        found = measure.rates(model, spikes)
        counts, seconds = counts + found.counts, seconds + spikes.run_seconds
        finished.append(dataclasses.replace(found, counts=counts[:0]))  # MB each
        rates = dataclasses.replace(measure.mean(finished), counts=counts / len(finished))
        trials = [_trial(model, *s, r) for s, r in zip(seeds, finished, strict=False)]
        speed = n_steps * len(finished) / seconds
        measured = {
            "variant": "BrainPy notebook" if options.as_published else "default",
            "scheme": "published" if options.as_published else options.scheme,
            "seed": trials[-1]["seed"],
            "network_seed": trials[-1]["network_seed"],
            "duration_ms": n_steps * model.dt,
            "steps_per_second": round(speed, 1),
            "compile_seconds": round(simulator.compile_seconds, 3),
            "peak_memory_mb": round(peak_memory_mb(), 1),
            "trials_planned": len(seeds),
            "trials": trials,
        }
        out.write_json(report.summary(model, rates, **measured))  # of the trials so far
        if len(finished) == len(seeds):
            break
        parameters, state = network.setup(model, *seeds[len(finished)])
    if not options.no_plot:
        out.draw(report.draw, model, spikes, rates, len(trials))
    out.say(report.table(model, rates))
    if len(trials) > 1:
        out.say(_trials_table(trials))
    out.say(f"{speed:.0f} steps per second\ncompile time {simulator.compile_seconds:.2f} s\n"
            f"peak memory {peak_memory_mb():.0f} MB")  # fmt: skip
    return out.close()


def _model(options) -> tuple[Model, int]:
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
    n_steps = shared.steps(options.duration, model.dt)
    for name in ("trials", "networks"):
        if not 1 <= getattr(options, name) <= 10_000:
            raise ValueError(f"{name} must be from 1 to 10000, got {getattr(options, name)}")
    shared.check_seeds(options)
    bridge.choose(options.backend)
    return model, n_steps


def _seeds(options) -> list[tuple[int, int]]:
    """(seed, network seed) of every trial; one trial has one connectivity."""
    first = options.seed if options.network_seed is None else options.network_seed
    per_network = math.ceil(options.trials / min(options.networks, options.trials))
    return [(options.seed + t, first + t // per_network) for t in range(options.trials)]


def _synapses(model: Model) -> int:
    sizes = np.array([model.n_exc, model.n_inh])
    pairs = sizes[None, :, None, None] * sizes
    return round(float(((model.weights() != 0) * pairs).sum()) * model.conn_prob)


def _trial(model: Model, seed: int, network_seed: int, rates: measure.Rates) -> dict[str, Any]:
    shown = {
        a: round(float(r), 2) for a, r in zip(model.cortex.areas, rates.response_hz, strict=True)
    }
    return {
        "seed": seed,
        "network_seed": network_seed,
        "response_hz": {a: shown[a] for a in SHOWN if a in shown},
        "responding_areas": rates.responding,
        "baseline_hz": round(rates.baseline_hz, 3),
        "ignition_before_stimulus": rates.ignition,
        "runaway": rates.runaway,
    }


def _trials_table(trials: list[dict[str, Any]]) -> str:
    areas = list(trials[0]["response_hz"])
    lines = ["\nseed  network  " + "".join(f"{a:>7}" for a in areas) + "  responding  baseline"]
    for t in trials:
        marks = (
            "  runaway" * t["runaway"]
            + "  ignition before the stimulus" * t["ignition_before_stimulus"]
        )
        peaks = "".join(f"{t['response_hz'][a]:7.1f}" for a in areas)
        lines.append(f"{t['seed']:>4}  {t['network_seed']:>7}  {peaks}  {t['responding_areas']:>10}"
                     f"  {t['baseline_hz']:8.2f}{marks}")  # fmt: skip
    runaways = sum(t["runaway"] for t in trials)
    ignitions = sum(t["ignition_before_stimulus"] for t in trials)
    return "\n".join(
        [*lines, f"{runaways} of {len(trials)} trials run away; {ignitions} ignite before the "
         "stimulus"]
    )  # fmt: skip
