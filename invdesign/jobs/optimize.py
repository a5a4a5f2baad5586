"""invdesign optimize: the design with the best figure of merit inside its bounds and constraints, with its reasons."""

import dataclasses
import shlex
import time
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from rich.console import Console

from invdesign.analyses.readout import Noiseless
from invdesign.design.problem import Configuration, DesignProblem
from invdesign.figures.registry import FIGURES, Characterisation, evaluate_figures
from invdesign.jobs import data, error_bars
from invdesign.jobs.settings import OptimizeSettings
from invdesign.optimize.along import Along, best_along
from invdesign.optimize.batches import available_cores, compile_for
from invdesign.optimize.maximise import maximise
from invdesign.optimize.polish import BOUND_TOLERANCE, Optimum
from invdesign.optimize.result import Progress, Result
from invdesign.optimize.settings import build_optimizer
from invdesign.report.html import write as write_report
from invdesign.results import Status
from invdesign.run.folder import RunFolder
from invdesign.run.progress import Reporter, duration
from invdesign.schema import InputError, write

SCHEMA = "invdesign/result/1"
STATE = "search.npz"
LIMIT_STEP = 0.1
"""Shadow prices are given for a limit that is larger by this part."""
FEASIBLE = 1e-4
"""A constraint holds if its slack is not below minus this."""
SLICE_POINTS = 15
COMPILATION_S = 100
"""Of the programs of the search and of the report, two cores, nothing cached."""
FIGURE_STEP = 1e-4
"""Step of the differences that split a gradient into its contributions and price a limit, as part of a range or
limit."""


def check(settings: OptimizeSettings) -> None:
    """Raise `InputError` for what the keys do not say one by one.

    That is light outside the device's n,k tables, a baseline outside the bounds, or an optimiser that cannot be built.
    """
    data.require(settings.device, {"objective": settings.objective.wavelengths_nm})
    problem = _problem(settings)
    for name in problem.names:
        value, variable = float(problem.value(name)), problem.variables[name]
        if not float(variable.lower) <= value <= float(variable.upper):
            raise InputError(
                f"{variable.path}={value:g}: the baseline must lie inside the bounds of design.{name}, "
                f"{float(variable.lower):g} to {float(variable.upper):g}"
            )
    build_optimizer(settings.optimizer)


def _problem(settings: OptimizeSettings) -> DesignProblem:
    return DesignProblem(
        Configuration(settings.device, settings.reverse_bias_V),
        settings.objective,
        settings.constraints,
        settings.design,
        settings.load_ohm,
        order=tuple(settings.design),
        readout=settings.readout,
    )


def run(settings: OptimizeSettings, folder: RunFolder | None, console: Console) -> int:
    """Optimise, verify and report. `folder` is None for a dry run. Returns 0 if the optimum is feasible and verified,
    else 1."""
    begun = time.monotonic()
    problem = _problem(settings)
    configuration = problem.baseline
    console.print(f"compiling and simulating the baseline, {settings.device.name}")
    simulate = Simulation(problem)
    baseline = simulate(configuration)
    if not baseline.converged:
        raise InputError(f"device={settings.device.name}: the baseline cannot be simulated: {baseline.status.message}")
    problem = dataclasses.replace(problem, warm=baseline.state)
    _print_baseline(problem, baseline, console)
    if folder is None:
        console.print(f"estimated time: {_estimate(simulate, configuration, settings)}; nothing was written")
        return 0

    start = problem.point({name: problem.value(name) for name in problem.names})
    with Reporter(console, "optimise", 100) as reporter:
        result = maximise(
            problem,
            start,
            settings.optimizer,
            state_path=folder.path / STATE,
            resume=folder.resumed and (folder.path / STATE).exists(),
            identity={"config": write(settings)},
            on_progress=lambda progress: _show(progress, reporter, settings),
        )
    if result.best is None:
        folder.write_json(
            "result.json",
            {"schema": SCHEMA, "job": "optimize", "status": result.status.value, "message": result.message},
        )
        console.print(result.message)
        return 1
    console.print("verifying on a mesh twice as fine and gathering the reasons")
    report = _report(problem, result, simulate, baseline, settings, folder, time.monotonic() - begun)
    folder.write_json("result.json", report)
    folder.update_manifest(sources=data.sources(settings.device))
    write_report(folder)
    _print_optimum(report, console)
    return 0 if report["status"] == "feasible" and report["verification"]["passed"] else 1


# --- one configuration -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Everything that is reported about one configuration."""

    objective: float
    figures: dict[str, float]
    factors: dict[str, float]
    """log10 of what the figure is a product of, averaged as the objective is; the noise is split in `noise`."""
    noise: dict[str, float]
    limits: dict[str, dict[str, Any]]
    status: Status
    state: Any

    @property
    def converged(self) -> bool:
        return self.status == Status.CONVERGED

    @property
    def violations(self) -> dict[str, float]:
        """Slacks of the limits that are not kept."""
        return {name: limit["slack"] for name, limit in self.limits.items() if not limit["satisfied"]}


class Simulation:
    """Configurations of one problem, simulated cold by one compiled function."""

    def __init__(self, problem: DesignProblem) -> None:
        self.problem = dataclasses.replace(problem, warm=None)
        self.labels: list[tuple[str, str, bool]] = []

        def numbers(problem: DesignProblem, configuration: Configuration, scale: Array, margins: Array) -> tuple:
            c: Characterisation = problem.characterise(configuration)
            limits = problem.constraints.with_margins(margins).limits(c, scale)
            self.labels = [(limit.name, limit.unit, limit.upper) for limit in limits]
            terms = [(limit.limit, limit.value, limit.slack) for limit in limits]
            return (
                problem.objective.value(c),
                evaluate_figures(c),
                {
                    "absorptance": problem.objective.mean_log10(c.absorptance),
                    "yield": problem.objective.mean_log10(c.eqe / c.absorptance),
                },
                c.noise_by_process,
                terms,
                c.point.status,
                c.point.state,
            )

        self._compiled, _ = compile_for(self.problem, numbers, problem.baseline, jnp.ones(()), jnp.ones(()))

    def __call__(self, configuration: Configuration, scale: float = 1.0, margins: float = 1.0) -> Numbers:
        """Simulate; `scale` multiplies all limits, `margins` their margins."""
        objective, figures, factors, noise, terms, status, state = self._compiled(
            configuration, jnp.asarray(scale), jnp.asarray(margins)
        )
        limits = {}
        for (name, unit, upper), (limit, value, slack) in zip(self.labels, terms, strict=True):
            limits[name] = {
                "value": float(figures["bandwidth_Hz"] if value is None else value),
                "limit": float(limit),
                "unit": unit,
                "kind": "upper" if upper else "lower",
                "satisfied": bool(slack >= -FEASIBLE),
                "slack": float(slack),
            }
        ordered = {figure.name: float(figures[figure.name]) for figure in FIGURES}
        return Numbers(
            float(objective),
            ordered,
            {name: float(value) for name, value in factors.items()},
            {name: float(value) for name, value in noise.items()},
            limits,
            Status(int(status)),
            state,
        )


def _estimate(simulate: Simulation, configuration: Configuration, settings: OptimizeSettings) -> str:
    """How long the search will take, from the time of a simulation (as long as some 4 steps of it, in a batch)."""
    seconds = []
    for _ in range(3):
        begun = time.monotonic()
        simulate(configuration)
        seconds.append(time.monotonic() - begun)
    search = settings.optimizer
    steps = search.starts * search.steps + search.polish_count * search.polish_steps
    return f"{duration(COMPILATION_S + steps * min(seconds) / 4 / available_cores())}, compilation included"


# --- the report --------------------------------------------------------------------------------------------------


def _report(
    problem: DesignProblem,
    result: Result,
    simulate: Simulation,
    baseline: Numbers,
    settings: OptimizeSettings,
    folder: RunFolder,
    wall_s: float,
) -> dict[str, Any]:
    assert result.best is not None
    best = dataclasses.replace(result.best, z=_on_bounds(result.best.z))
    chosen = problem.configuration(problem.values(jnp.asarray(best.z)))
    optimum = simulate(chosen)
    verification = _verify(problem, chosen, optimum)
    alone = _bias_only(problem, simulate)
    folder.write_table("slices", _slices(problem, simulate, best))
    folder.write_table("starts", result.starts_table())
    repeat = _repeat(settings, chosen)
    comment = f"The optimum of {settings.device.name}. Its figures again, from the folder of this file:\n{repeat}"
    known = error_bars.open_numbers(problem)
    folder.write_yaml("optimum.yaml", write(dataclasses.replace(chosen.device, uncertainty=known)), comment)
    convergence = {
        "starts": len(result.starts.status),
        "failed_starts": sum(status == "failed" for status in result.starts.status),
        "feasible": int(np.sum(result.starts.feasible)),
        "evaluations": result.evaluations,
        "kkt_residual": best.multipliers.residual,
        "wall_s": wall_s,
        "compile_s": result.compile_s,
    }
    units = {figure.name: figure.unit for figure in FIGURES}
    report = {
        "schema": SCHEMA,
        "job": "optimize",
        "device": settings.device.name,
        "status": result.status.value,
        "message": result.message,
        "objective": {
            "name": settings.objective.kind,
            "figure": settings.objective.figure,
            "wavelength_nm": float(settings.objective.wavelengths_nm[0]),
            "band_nm": _band(settings),
            "frequency_Hz": float(settings.objective.frequency_Hz),
            "log10_baseline": baseline.objective,
            "log10_optimum": optimum.objective,
        },
        "design": _design(problem, best),
        "reverse_bias_V": float(chosen.reverse_bias_V),
        "repeat": repeat,
        "figures": {
            name: {"unit": units[name], "baseline": baseline.figures[name], "optimum": value}
            for name, value in optimum.figures.items()
        },
        "constraints": _constraints(problem, best, optimum, simulate(chosen, 1 + FIGURE_STEP)),
        "baseline_violations": baseline.violations,
        "bias_only": alone,
        "gradient": _gradient(problem, best),
        "contributions": contributions(problem, simulate, best.z),
        "local_optima": [_local(problem, one) for one in result.optima],
        "convergence": convergence,
        "verification": verification,
        "warnings": [] if verification["passed"] else [verification["message"]],
        "tables": {"slices": "slices.csv", "starts": "starts.csv"},
    }
    if known is not None:
        error_bars.add_to(report, known, error_bars.slopes(simulate, chosen, known))
        bare = partial(simulate, margins=0.0)
        plain = bare(chosen).limits
        if any(plain[name]["limit"] != row["limit"] for name, row in optimum.limits.items()):
            error_bars.add_chances(report, known, plain, error_bars.slopes(bare, chosen, known))
    return report


def _repeat(settings: OptimizeSettings, chosen: Configuration) -> str:
    """The command that simulates the optimum where its figures are read. A bias belongs to a job, not to a device."""
    objective = settings.objective
    words = [
        "device=optimum.yaml",
        f"reverse_bias_V=[{float(chosen.reverse_bias_V)!r}]",
        f"objective.wavelength_nm={float(objective.wavelengths_nm[0])!r}",
        f"objective.frequency_Hz={float(objective.frequency_Hz)!r}",
        f"load_ohm={float(settings.load_ohm)!r}",
    ]
    if write(settings.readout) != write(Noiseless()):
        numbers = {key: "null" if value is None else value for key, value in write(settings.readout).items()}
        words.append(f"readout={{{', '.join(f'{key}: {value}' for key, value in numbers.items())}}}")
    return shlex.join(["invdesign", "simulate", *words])


def _band(settings: OptimizeSettings) -> list[float] | None:
    """First and last wavelength of an objective that is averaged over a band."""
    wavelengths = np.asarray(settings.objective.wavelengths_nm)
    return [float(wavelengths.min()), float(wavelengths.max())] if len(wavelengths) > 1 else None


def _on_bounds(z: Float[np.ndarray, " variable"]) -> Float[np.ndarray, " variable"]:
    """Variables within the tolerance of a bound, put on it."""
    return np.where(z <= BOUND_TOLERANCE, 0.0, np.where(z >= 1 - BOUND_TOLERANCE, 1.0, z))


def _design(problem: DesignProblem, best: Optimum) -> dict[str, Any]:
    values = problem.values(jnp.asarray(best.z))
    table = {}
    for name in problem.order:
        variable, at_bound = problem.variables[name], None
        if name in problem.names:
            z = best.z[problem.names.index(name)]
            at_bound = "lower" if z <= BOUND_TOLERANCE else "upper" if z >= 1 - BOUND_TOLERANCE else None
        table[name] = {
            "unit": problem.variables[name].unit,
            "path": variable.path,
            "baseline": float(problem.value(name)),
            "optimum": float(values[name]),
            "lower": float(variable.lower),
            "upper": float(variable.upper),
            "at_bound": at_bound,
            "status": "tied" if variable.tied_to else "frozen" if variable.frozen else "free",
        }
        if name in problem.names:
            index = problem.names.index(name)
            table[name]["multiplier_lower"] = float(best.multipliers.lower[index])
            table[name]["multiplier_upper"] = float(best.multipliers.upper[index])
    return table


def _constraints(problem: DesignProblem, best: Optimum, optimum: Numbers, relaxed: Numbers) -> dict[str, Any]:
    """Constraints at the optimum; the shadow price is the change of log10 of the figure for a limit 10 % larger."""
    table = {}
    for name, multiplier in zip(problem.constraint_names, best.multipliers.constraints, strict=True):
        by_scale = (relaxed.limits[name]["slack"] - optimum.limits[name]["slack"]) / FIGURE_STEP
        gain = float(multiplier) * by_scale * LIMIT_STEP
        table[name] = optimum.limits[name] | {
            "active": bool(multiplier > 1e-6),
            "multiplier": float(multiplier),
            "shadow_price": gain,
            "shadow_price_percent": 100 * (10**gain - 1),
            "shadow_price_unit": "change of log10(figure) if the limit is 10 % larger",
        }
    return table


def _gradient(problem: DesignProblem, best: Optimum) -> dict[str, Any]:
    """d(objective)/d(variable) at the optimum: per unit, and per range of the box."""
    table = {}
    for index, name in enumerate(problem.names):
        span = float(problem.variables[name].upper - problem.variables[name].lower)
        held = {
            constraint: float(m * row[index])
            for constraint, m, row in zip(
                problem.constraint_names, best.multipliers.constraints, best.jacobian, strict=True
            )
            if abs(m * row[index]) > 1e-9
        }
        table[name] = {
            "unit": f"1/{problem.variables[name].unit}",
            "per_unit": float(best.gradient[index]) / span,
            "per_range": float(best.gradient[index]),
            "held_by_constraints": held,
            "held_by_bound": float(best.multipliers.lower[index] - best.multipliers.upper[index]),
        }
    return table


def contributions(
    problem: DesignProblem, simulate: Simulation, z: Float[np.ndarray, " variable"]
) -> dict[str, dict[str, float]]:
    """What pushes each variable up and down: derivatives of log10 of the figure's factors, per range of the box.

    log10 D* = log10 absorptance + log10 yield - log10 i + const, each averaged over the band if the objective is, and
    d log10 i is a sum over the noise processes and the readout. By central differences; their sum is the gradient.
    """
    noise_matters = problem.objective.figure == "detectivity_Jones"
    table = {}
    for index, name in enumerate(problem.names):
        low, high = z.copy(), z.copy()
        low[index], high[index] = max(0.0, low[index] - FIGURE_STEP), min(1.0, high[index] + FIGURE_STEP)
        before, after = (simulate(problem.configuration(problem.values(jnp.asarray(end)))) for end in (low, high))
        step = high[index] - low[index]
        parts = {part: (after.factors[part] - before.factors[part]) / step for part in before.factors}
        if noise_matters:
            total = (sum(before.noise.values()) + sum(after.noise.values())) / 2
            for process in before.noise:
                change = (after.noise[process] - before.noise[process]) / total
                if abs(change / step) > 1e-6:
                    parts[f"noise: {process}"] = -0.5 * change / step / np.log(10)
        table[name] = {part: float(value) for part, value in parts.items()}
    return table


def _verify(problem: DesignProblem, chosen: Configuration, optimum: Numbers) -> dict[str, Any]:
    """Simulate the winner cold on a mesh with twice the edges."""
    fine = dataclasses.replace(chosen, device=chosen.device.refined(2))
    refined = Simulation(dataclasses.replace(problem, baseline=fine, warm=None))(fine)
    names = ("detectivity_Jones", "responsivity_A_per_W", "noise_A_per_rtHz", "bandwidth_Hz", "peak_field_V_per_cm")
    difference = {name: abs(refined.figures[name] / optimum.figures[name] - 1) for name in names}
    worst = max(difference, key=lambda name: difference[name] if np.isfinite(difference[name]) else np.inf)
    passed = refined.converged and bool(difference[worst] <= 0.01)
    message = f"largest change on a mesh twice as fine: {100 * difference[worst]:.2g} % in {worst}"
    return {
        "passed": passed,
        "message": message if refined.converged else f"the finer mesh: {refined.status.message}",
        "figures": {name: refined.figures[name] for name in names},
        "relative_difference": difference,
        "tolerance": 0.01,
    }


class _OneByOne:
    """Designs evaluated one after the other by a compiled simulation, in the form `best_along` wants."""

    def __init__(self, problem: DesignProblem, simulate: Simulation) -> None:
        self.problem, self.simulate, self.evaluations = problem, simulate, 0

    def __call__(self, points: Float[np.ndarray, "point variable"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.evaluations += len(points)
        all_numbers = [self.simulate(self.problem.configuration(self.problem.values(jnp.asarray(z)))) for z in points]
        slacks = [[limit["slack"] for limit in numbers.limits.values()] for numbers in all_numbers]
        return (
            np.array([numbers.objective for numbers in all_numbers]),
            np.array(slacks).reshape(len(points), -1),
            np.array([numbers.converged for numbers in all_numbers]),
        )


def _bias_only(problem: DesignProblem, simulate: Simulation) -> dict[str, Any] | None:
    """The best feasible design that differs from the baseline in its bias alone; None if there is none."""
    name = next((n for n in problem.names if problem.variables[n].path == "reverse_bias_V"), None)
    if name is None:
        return None
    baseline = {n: problem.value(n) for n in problem.names}
    evaluator: Any = _OneByOne(problem, simulate)
    found: Along | None = best_along(
        problem, problem.point(baseline), name, points=32, refinements=2, evaluator=evaluator
    )
    if found is None:
        return None
    values = problem.values(jnp.asarray(found.z))
    numbers = simulate(problem.configuration(values))
    return {
        "reverse_bias_V": float(values[name]),
        "log10_figure": found.objective,
        "figures": numbers.figures,
    }


def _slices(problem: DesignProblem, simulate: Simulation, best: Optimum) -> dict[str, list[Any]]:
    """The objective along every free variable through the optimum."""
    table: dict[str, list[Any]] = {
        "variable": [],
        "unit": [],
        "value": [],
        "log10_figure": [],
        "worst_slack": [],
        "feasible": [],
    }
    for index, name in enumerate(problem.names):
        for part in np.unique(np.append(np.linspace(0, 1, SLICE_POINTS), best.z[index])):
            z = best.z.copy()
            z[index] = part
            values = problem.values(jnp.asarray(z))
            numbers = simulate(problem.configuration(values))
            slack = min((limit["slack"] for limit in numbers.limits.values()), default=np.inf)
            row = (
                name,
                problem.variables[name].unit,
                float(values[name]),
                numbers.objective if numbers.converged else np.nan,
                slack,
            )
            for key, cell in zip(table, (*row, not numbers.violations), strict=True):
                table[key].append(cell)
    return table


def _local(problem: DesignProblem, one: Optimum) -> dict[str, Any]:
    values = problem.values(jnp.asarray(_on_bounds(one.z)))
    return {
        "log10_figure": one.objective,
        "starts": one.starts,
        "polished": one.polished,
        "design": {name: float(value) for name, value in values.items()},
    }


# --- what the terminal shows -------------------------------------------------------------------------------------


def _show(progress: Progress, reporter: Reporter, settings: OptimizeSettings) -> None:
    best = "none yet" if progress.best_objective is None else f"{10**progress.best_objective:.3g}"
    worst = "" if progress.worst_constraint is None else f"{progress.worst_constraint} {progress.worst_value:+.2g}"
    reporter.update(
        round(100 * progress.fraction, 1),
        stage=progress.stage,
        alive=f"{progress.alive} of {progress.starts}",
        feasible=str(progress.feasible),
        best=f"{settings.objective.figure} {best}",
        tightest=worst,
    )


def _print_baseline(problem: DesignProblem, baseline: Numbers, console: Console) -> None:
    bias, wavelength = float(problem.baseline.reverse_bias_V), float(problem.objective.wavelengths_nm[0])
    figure = problem.objective.figure
    console.print(
        f"baseline at {bias:g} V reverse and {wavelength:g} nm: {figure} = {baseline.figures[figure]:.3g}",
        soft_wrap=True,
    )
    for name, limit in baseline.limits.items():
        if not limit["satisfied"]:
            sense = "above" if limit["kind"] == "upper" else "below"
            console.print(
                f"  the baseline violates {name}: {limit['value']:.3g} {limit['unit']} is {sense} {limit['limit']:.3g}"
            )
    free = ", ".join(problem.names)
    console.print(f"free variables: {free}; constraints: {', '.join(problem.constraint_names) or 'none'}")


def _print_optimum(report: dict[str, Any], console: Console) -> None:
    console.print(report["message"])
    for name, row in report["design"].items():
        bound = f" (at its {row['at_bound']} bound)" if row["at_bound"] else ""
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        console.print(f"  {name}: {row['baseline']:.4g} -> {row['optimum']:.4g}{unit}{bound}")
    for name in ("detectivity_Jones", "responsivity_A_per_W", "noise_A_per_rtHz", "bandwidth_Hz"):
        row = report["figures"][name]
        error = f" ± {row['standard_error']:.2g}" if np.isfinite(row.get("standard_error", np.nan)) else ""
        console.print(f"  {name}: {row['baseline']:.4g} -> {row['optimum']:.4g}{error}")
    for name, row in report["constraints"].items():
        if row["active"]:
            console.print(
                f"  {name} is active: a limit 10 % larger changes the figure by {row['shadow_price_percent']:+.2g} %"
            )
    console.print(report["verification"]["message"])
    console.print(f"again, in the folder of the run: {report['repeat']}", soft_wrap=True)
