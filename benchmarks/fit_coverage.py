"""Do the intervals of `invdesign fit` hold the truth as often as they say, and what does a fit cost?

    python benchmarks/fit_coverage.py [--repetitions 120] [--skip-timing]

Coverage: curves of a silicon junction on a coarse mesh (dark J-V and C-V) get new noise again and again; each set is
fitted from the same start, and the 68 % and 95 % intervals are asked whether they hold the numbers behind the curves,
linearised and by profile. Of N repetitions the share found has a standard deviation of sqrt(p (1 - p)/N).

Timing: ten numbers of the quantum-dot photodiode from dark and lit J-V, EQE and noise (the packaged data), with exact
Jacobians and with finite differences in scipy.optimize.least_squares, from the same start. Times are those of the
process, in CPU seconds, so that a busy machine does not change them much.
"""

import argparse
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np
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


def timing() -> None:
    settings = load_settings("fit", "device=qdip_photodiode")
    problem = FitProblem(settings)
    begun = time.process_time()
    residuals = problem.compile()
    print(f"timing: {len(problem.measured.y)} points, {len(problem.space.names)} parameters; compilation with the")
    print(f"Jacobian {time.process_time() - begun:.0f} CPU s")
    start = problem.space.baseline
    residuals(start)
    begun = time.process_time()
    for _ in range(3):
        residuals(start)
    with_jacobian = (time.process_time() - begun) / 3
    begun, residuals.evaluations = time.process_time(), 0
    best = solve(residuals, start, settings.fitter)
    exact = time.process_time() - begun
    print(f"exact Jacobian: chi^2 = {best.evaluation.chi2:.2f}, {residuals.evaluations} evaluations, {exact:.1f} CPU s")

    def plain(z):
        values, solved = problem.model(z)
        return whiten(values, solved, problem.measured)

    compiled = jax.jit(plain).lower(jnp.asarray(start)).compile()

    def count(z):
        count.calls += 1
        return np.asarray(compiled(jnp.asarray(z)))

    count.calls = 0
    count(start)
    begun = time.process_time()
    for _ in range(3):
        count(start)
    without = (time.process_time() - begun) / 3
    print(f"one evaluation: {1e3 * without:.0f} CPU ms, with its Jacobian {1e3 * with_jacobian:.0f} CPU ms")
    begun, count.calls = time.process_time(), 0
    inside = np.clip(start, 1e-6, 1 - 1e-6)
    tolerance = settings.fitter.tolerance
    found = least_squares(
        count, inside, bounds=(0.0, 1.0), x_scale="jac", ftol=tolerance, xtol=tolerance, max_nfev=60
    )  # 2-point differences
    differences = time.process_time() - begun
    print(f"finite differences: chi^2 = {2 * found.cost:.2f}, {count.calls} evaluations, {differences:.1f} CPU s")
    linear = linearise(best, [bound is not None for bound in at_bounds(best, settings.fitter)], settings.fitter)
    print("found, in parts of the box, with standard errors:")
    for name, z, error in zip(problem.space.names, best.z, linear.sigma, strict=True):
        print(f"  {name}: {z:.4f} ± {error:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=120)
    parser.add_argument("--skip-timing", action="store_true")
    arguments = parser.parse_args()
    coverage(arguments.repetitions)
    if not arguments.skip_timing:
        timing()


if __name__ == "__main__":
    main()
