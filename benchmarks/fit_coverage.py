"""Do the intervals of `invdesign fit` hold the truth as often as they say, and what does a fit cost?

    python benchmarks/fit_coverage.py [--repetitions 120] [--skip-coverage] [--skip-timing]

Coverage: curves of a silicon junction on a coarse mesh (dark J-V and C-V) get new noise again and again; each set is
fitted from the same start, and the 68 % and 95 % intervals are asked whether they hold the numbers behind the curves,
linearised and by profile. Of N repetitions the share found has a standard deviation of sqrt(p (1 - p)/N).

Timing: fits of the quantum-dot photodiode with exact Jacobians and with finite differences, both in
scipy.optimize.least_squares and from the device's own numbers: ten numbers from dark and lit J-V, EQE and noise, three
from traces in time (the packaged data), and eight from the numbers of the paper, with mobile ions. Times are those of
the process, in CPU seconds, so that a busy machine does not change them much.
"""

import argparse
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np
from paper_ladder import MODELS
from scipy.optimize import least_squares

from invdesign.config import load_settings
from invdesign.fitting.least_squares import at_bounds, solve
from invdesign.fitting.residuals import Measured, whiten
from invdesign.fitting.uncertainty import LEVELS, linearise, profiles
from invdesign.jobs.fit import FitProblem

JUNCTION = [
    "device.layers.p.edges=16",
    "device.layers.n.edges=24",
    *(f"~dataset.curves.{name}" for name in ("lit", "eqe", "responsivity", "noise", "photoresponse", "bandwidth")),
    "~dataset.curves.capacitance_frequency",
    "~parameters.p_mobility",
    "~parameters.p_lifetime",
    "parameters.series={path: device.terminals.series_resistance_ohm, lower_ohm: 0, upper_ohm: 200}",
]
TRUTH = {"n_lifetime": 4e-7, "n_doping": 6e15, "series": 60.0}
START = np.array([0.5, 0.5, 0.5])
EXAMPLES = {
    "curves": ["device=qdip_photodiode"],
    "traces in time": ["device=qdip_photodiode", "dataset=qdip_transients", "parameters=qdip_transients"],
    "the paper, mobile ions": [
        *("device=qdip_literature", "dataset=qdip_paper", "parameters=qdip_paper", "fitter.evaluations=200"),
        *MODELS["mobile ions"],
    ],
}


def coverage(repetitions: int) -> None:
    settings = load_settings("fit", *JUNCTION)
    problem = FitProblem(settings)
    residuals = problem.compile()
    space, fitter = problem.space, settings.fitter
    truth = np.array([float(space.parameters[name].place(TRUTH[name])) for name in space.names])
    exact = residuals(truth).values
    sigma = 0.02 * np.abs(exact)
    rng = np.random.default_rng(0)
    inside = {(kind, level): np.zeros(len(truth)) for kind in ("linearised", "profile") for level in LEVELS}
    kept, chi2, begun = 0, [], time.process_time()
    for _ in range(repetitions):
        noisy = exact + sigma * rng.standard_normal(len(exact))
        one = residuals.of(Measured(noisy, sigma, problem.measured.log))
        best = solve(one, START, fitter)
        if not best.converged or any(at_bounds(best, fitter)):
            continue
        kept += 1
        chi2.append(best.evaluation.chi2)
        linear = linearise(best, [False] * len(truth), fitter)
        followed = profiles(one, best, linear, fitter)
        for place, sigma_z in enumerate(linear.sigma):
            for level, width in LEVELS.items():
                inside["linearised", level][place] += abs(best.z[place] - truth[place]) <= width * sigma_z
                low, high = followed[place].intervals[level]
                above = low is None or truth[place] >= low
                below = high is None or truth[place] <= high
                inside["profile", level][place] += above and below
    spent = time.process_time() - begun
    freedom = len(exact) - len(truth)
    print(f"coverage: {kept} of {repetitions} fits converged inside the box, {spent / repetitions:.2f} CPU s each with")
    print(f"profiles; mean chi^2 {np.mean(chi2):.2f} for {freedom} degrees of freedom")
    for (kind, level), counts in inside.items():
        shares = ", ".join(f"{name} {100 * count / kept:.1f}" for name, count in zip(space.names, counts, strict=True))
        error = 100 * np.sqrt(0.01 * float(level) * (1 - 0.01 * float(level)) / kept)
        mean = 100 * counts.mean() / kept
        print(f"  {level} % intervals, {kind}: {shares}; all {mean:.1f} (± {error:.1f} each)")


def against_differences(name: str, *overrides: str) -> None:
    """One fit from the device's own numbers, with exact Jacobians and with 2-point differences."""
    settings = load_settings("fit", *overrides)
    problem = FitProblem(settings)
    begun = time.process_time()
    residuals = problem.compile()
    print(f"{name}: {len(problem.measured.y)} points, {len(problem.space.names)} parameters")
    print(f"  compilation with the Jacobian {time.process_time() - begun:.0f} CPU s")
    start, fitter = problem.space.baseline, settings.fitter

    def plain(z):
        values, solved = problem.model(z)
        return jnp.concatenate([whiten(values, solved, problem.measured), problem.space.prior_residuals(z)])

    compiled = jax.jit(plain).lower(jnp.asarray(start)).compile()

    def count(z):
        count.calls += 1
        return np.asarray(compiled(jnp.asarray(z)))

    count.calls = 0
    for what, function in (("one evaluation", count), ("with its Jacobian", residuals)):
        function(start)
        begun = time.process_time()
        for _ in range(3):
            function(start)
        print(f"  {what}: {1e3 * (time.process_time() - begun) / 3:.0f} CPU ms")
    begun, residuals.evaluations = time.process_time(), 0
    best = solve(residuals, start, fitter)
    exact = time.process_time() - begun
    report = "  {}: chi^2 = {:.6g} ({}), {} evaluations, {:.1f} CPU s"
    print(report.format("exact Jacobian", best.evaluation.chi2, best.message, residuals.evaluations, exact))
    begun, count.calls = time.process_time(), 0
    found = least_squares(
        count,
        np.clip(start, 1e-6, 1 - 1e-6),
        bounds=(0.0, 1.0),
        x_scale="jac",
        ftol=fitter.tolerance,
        xtol=fitter.tolerance,
        gtol=1e-12,
        max_nfev=fitter.evaluations,
    )
    spent = time.process_time() - begun
    ended = "converged" if found.status > 0 else "out of evaluations"
    print(report.format("differences", 2 * found.cost, ended, count.calls, spent), flush=True)
    linear = linearise(best, [bound is not None for bound in at_bounds(best, fitter)], fitter)
    print("  found, in parts of the box, with standard errors:")
    for parameter, z, error in zip(problem.space.names, best.z, linear.sigma, strict=True):
        print(f"    {parameter}: {z:.4f} ± {error:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=120)
    parser.add_argument("--skip-coverage", action="store_true")
    parser.add_argument("--skip-timing", action="store_true")
    arguments = parser.parse_args()
    if not arguments.skip_coverage:
        coverage(arguments.repetitions)
    if not arguments.skip_timing:
        for name, overrides in EXAMPLES.items():
            against_differences(name, *overrides)


if __name__ == "__main__":
    main()
