"""invdesign fit: the numbers of a device that reproduce measured curves, and how well they are known."""

import dataclasses
import re
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from rich.console import Console
from scipy.stats import chi2 as chi2_distribution

from invdesign.datasets.model import Model
from invdesign.datasets.samples import Samples
from invdesign.device.uncertainty import Uncertainty
from invdesign.fitting.least_squares import Solution, at_bounds, best_starts, solve_from
from invdesign.fitting.parameters import Space
from invdesign.fitting.posterior import QUANTILES, Bands, Posterior, bands, require_sampler, sample
from invdesign.fitting.residuals import Evaluation, Measured, Residuals
from invdesign.fitting.settings import PosteriorSettings
from invdesign.fitting.uncertainty import LEVELS, Linearised, Profile, in_words, linearise, profiles
from invdesign.jobs import data
from invdesign.jobs.settings import FitSettings
from invdesign.optimize.batches import available_cores
from invdesign.report.fit import write as write_report
from invdesign.run.folder import RunFolder
from invdesign.run.progress import Reporter, duration
from invdesign.schema import InputError, write

SCHEMA = "invdesign/result/1"
UNLIKELY = 1e-3
"""Probability of a chi^2 this large, or this small, below which the uncertainties given are doubted."""
ENTANGLED = 0.95
"""Correlation coefficient from which a pair of parameters is named in the report."""
STARTS_WORTH = 20
"""Evaluations that one start takes, as a rule; for the estimate of the time."""
EVALUATIONS_PER_DRAW = 7
"""Of the posterior, as a rule; likewise."""


class FitProblem:
    """A dataset and its devices, as whitened residuals over the unit box of the free parameters."""

    def __init__(self, settings: FitSettings) -> None:
        root = settings.samples
        self.space = Space(root, settings.parameters, tuple(settings.parameters), settings.followers)
        self.curves = settings.dataset.curves
        self.names = tuple(self.curves)
        self.counts = [len(curve.columns.y) for curve in self.curves.values()]
        self.measured = Measured(
            np.concatenate([curve.columns.y for curve in self.curves.values()]),
            np.concatenate([curve.sigma for curve in self.curves.values()]),
            np.concatenate([np.full(len(curve.columns.y), curve.log) for curve in self.curves.values()]),
        )
        self._model = Model(self.curves, root.device, root.devices)

    def model(self, z: Float[Array, " parameter"]) -> tuple[Float[Array, " point"], Bool[Array, " point"]]:
        """Values of all measured points, and whether the device was solved there."""
        those: Samples = self.space.at(z)
        found = self._model.predict(those.device, those.devices)
        return (
            jnp.concatenate([found[name].values for name in self.names]),
            jnp.concatenate([found[name].solved for name in self.names]),
        )

    def compile(self) -> Residuals:
        """The residuals with their Jacobian."""
        return Residuals(self.space.names, self.model, self.measured, self.space.prior_residuals)

    def by_curve(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What belongs to each curve, of numbers in the order of all points (those of a prior stand behind them)."""
        ends = np.cumsum(self.counts)
        return dict(zip(self.names, np.split(rows[: ends[-1]], ends[:-1]), strict=True))


def check(settings: FitSettings) -> None:
    """Raise `InputError` for what the keys do not say one by one.

    That is light outside the device's n,k tables, a device outside the bounds, more parameters than points, curves
    whose files would have one name, or a posterior without the package that samples it.
    """
    if settings.fitter.posterior is not None:
        require_sampler()
    curves, devices = settings.dataset.curves, settings.samples.all
    for name, curve in curves.items():
        device = devices[curve.device]
        if len(wavelengths := curve.wavelengths_nm):
            data.require(device, {f"dataset.curves.{name}": wavelengths})
        if curve.kind == "lit_jv" and curve.light_on(device).spectrum() is None:
            raise InputError(
                f"dataset.curves.{name}.light is missing: the device has no illumination of its own; give e.g. "
                "{kind: monochromatic, wavelength_nm: 850, irradiance_W_per_cm2: 1e-3}"
            )
    if len({_file(name) for name in curves}) < len(curves):
        raise InputError(
            f"dataset.curves: the names {', '.join(curves)} differ only in signs that file names do not have"
        )
    problem = FitProblem(settings)
    for name in problem.space.names:
        value, parameter = float(problem.space.start(name)), problem.space.parameters[name]
        if not float(parameter.lower) <= value <= float(parameter.upper):
            raise InputError(
                f"{parameter.path}={value:g}: the device must lie inside the bounds of parameters.{name}, "
                f"{float(parameter.lower):g} to {float(parameter.upper):g}"
            )
    points, free = len(problem.measured.y), len(problem.space.names)
    if points + len(problem.space.prior_residuals(jnp.asarray(problem.space.baseline))) < free:
        raise InputError(f"parameters: {free} are free, but only {points} points are measured; freeze some")


def run(settings: FitSettings, folder: RunFolder | None, console: Console) -> int:
    """Fit, examine and report. `folder` is None for a dry run. Returns 0 if a fit has converged, else 1."""
    begun = time.monotonic()
    problem = FitProblem(settings)
    fitter = settings.fitter
    console.print(f"compiling the model of {len(problem.names)} curves, {sum(problem.counts)} points, and its Jacobian")
    residuals = problem.compile()
    start = problem.space.baseline
    before = residuals(start)
    _print_start(problem, before, console)
    if folder is None:
        one = _seconds(residuals, start)
        refits = fitter.profile_points and 8 * len(start)
        total = one * (fitter.starts * STARTS_WORTH + refits * 4) / 1.5
        if (chains := fitter.posterior) is not None:
            draws = chains.chains * (chains.warmup + chains.samples)
            total += one * EVALUATIONS_PER_DRAW * draws / min(chains.chains, available_cores())
        console.print(f"estimated time: {duration(total)}, besides the compilation; nothing was written")
        return 0

    with Reporter(console, "candidates", fitter.candidates) as reporter:
        starts = best_starts(residuals, start, fitter, lambda done: reporter.update(done))
    with Reporter(console, "fit", fitter.starts) as reporter:
        minima = solve_from(
            residuals,
            starts,
            fitter,
            lambda done, best: reporter.update(done, best_chi2=f"{best.evaluation.chi2:.4g}", failed=str(best.failed)),
        )
    best = minima[0]
    if best.failed == len(problem.measured.y):
        message = "the device could not be solved at any measured point, from any start"
        folder.write_json(
            "result.json",
            {"schema": SCHEMA, "job": "fit", "device": settings.device.name, "status": "failed", "message": message},
        )
        console.print(message)
        return 1
    bounds = at_bounds(best, fitter)
    linear = linearise(best, [bound is not None for bound in bounds], fitter)
    found: list[Profile] = []
    if fitter.profile_points:
        with Reporter(console, "profiles", len(start)) as reporter:
            found = profiles(residuals, best, linear, fitter, lambda done: reporter.update(done))

    names = _write_tables(problem, best, linear, found, before, folder)
    values = problem.space.values(jnp.asarray(best.z))
    fitted: Samples = problem.space.at(jnp.asarray(best.z))
    for name, device in fitted.all.items():
        known = _uncertainty(problem, best, linear, name, folder.path.name)
        device = dataclasses.replace(device, uncertainty=known)
        folder.write_yaml(_fitted_file(name), write(device), comment=_comment(settings, best))
    sources = {source for device in fitted.all.values() for source in data.sources(device)}
    folder.update_manifest(sources=sorted({*sources, *filter(None, [settings.dataset.source])}))
    result = _result(problem, settings, minima, bounds, linear, found, before, values, names)
    _write_result(result, residuals, begun, folder)
    if fitter.posterior is not None:  # takes long; the fit is there by now, should it be interrupted
        drawn, seen = _posterior(residuals, best, fitter.posterior, console)
        _write_bands(problem, seen, folder)
        result["tables"] |= _write_draws(problem, drawn, folder)
        _add_posterior(result, problem, drawn, fitter.posterior)
        _write_result(result, residuals, begun, folder)
    write_report(folder)
    _print_result(result, console)
    return 0 if best.converged and not best.failed else 1


def _seconds(residuals: Residuals, z: np.ndarray) -> float:
    begun = time.monotonic()
    residuals(z)
    return time.monotonic() - begun


def _write_result(result: dict[str, Any], residuals: Residuals, begun: float, folder: RunFolder) -> None:
    """result.json, with what the run has cost since it has `begun` (on the monotonic clock, s)."""
    result["convergence"] |= {
        "evaluations": residuals.evaluations,
        "compile_s": residuals.compile_s,
        "wall_s": time.monotonic() - begun,
    }
    folder.write_json("result.json", result)


def _posterior(
    residuals: Residuals, best: Solution, chains: PosteriorSettings, console: Console
) -> tuple[Posterior, Bands]:
    """Draws of the parameters, and what they say of the curves."""
    console.print("compiling the sampler of the posterior")
    with Reporter(console, "posterior", chains.chains * (chains.warmup + chains.samples)) as reporter:
        drawn = sample(residuals, best, chains, lambda done: reporter.update(done))
    return drawn, bands(residuals, drawn, chains.seed)


def _comment(settings: FitSettings, best: Solution) -> str:
    return f"{settings.device.name} with the numbers of a fit, chi^2 = {best.evaluation.chi2:.4g}; use it as device=..."


def _fitted_file(name: str | None) -> str:
    return "fitted.yaml" if name is None else f"fitted_{name}.yaml"


def _uncertainty(
    problem: FitProblem, best: Solution, linear: Linearised, device: str | None, run: str
) -> Uncertainty | None:
    """What a fitted device says of its own numbers: those that were free and did not end on a bound, and tied ones.

    A number that is tied to a free one has its error in proportion, and is fully correlated with it.
    """
    space, within = problem.space, "device." if device is None else f"devices.{device}."
    paths = [(name, space.parameters[name].path) for name in space.order] + list(space.also)
    values, own = space.values(jnp.asarray(best.z)), []
    for name, path in paths:
        free = space.parameters[name].tied_to or name
        if path.startswith(within) and free in space.names and linear.free[place := space.names.index(free)]:
            share = 1.0 if free == name else float(space.start(name) / space.start(free))
            own.append((place, path.removeprefix(within), share, float(values[name])))
    if not own:
        return None
    places, numbers, shares, fitted = zip(*own, strict=True)
    signs = np.where(np.array(shares) < 0, -1.0, 1.0)
    correlation = linear.correlation[np.ix_(places, places)] * np.outer(signs, signs)
    errors = [_standard_error(problem, best, linear, place) for place in places]
    return Uncertainty(
        numbers=numbers,
        values=fitted,
        standard_errors=tuple(abs(share) * error for share, error in zip(shares, errors, strict=True)),
        correlation=tuple(map(tuple, correlation.tolist())),
        source=f"fit {run}, chi^2 = {best.evaluation.chi2:.4g}",
    )


def _standard_error(problem: FitProblem, best: Solution, linear: Linearised, place: int) -> float:
    """In the unit of the parameter."""
    parameter = problem.space.parameters[problem.space.names[place]]
    return abs(float(jax.grad(parameter.value)(float(best.z[place])))) * float(linear.sigma[place])


def _file(name: str) -> str:
    """A curve's name, as far as it can stand in the name of a file."""
    return "curve_" + re.sub(r"[^\w-]", "_", name)


# --- tables ------------------------------------------------------------------------------------------------------


def _write_tables(
    problem: FitProblem,
    best: Solution,
    linear: Linearised,
    found: list[Profile],
    before: Evaluation,
    folder: RunFolder,
) -> dict[str, Any]:
    """One table per curve, and those of profiles and correlations. Returns what result.json says of them."""
    after = best.evaluation
    columns = [problem.by_curve(rows) for rows in (after.values, before.values, after.residual)]
    fails = [problem.by_curve(rows) for rows in (after.failed, before.failed)]
    tables: dict[str, Any] = {}
    for name, curve in problem.curves.items():
        measured, values, first, residual = curve.columns, *(column[name] for column in columns)
        unit = measured.y_name
        table = {
            measured.x_name: measured.x,
            f"measured_{unit}": measured.y,
            f"sigma_{unit}": curve.sigma,
            f"model_{unit}": np.where(fails[0][name], np.nan, values),
            f"start_{unit}": np.where(fails[1][name], np.nan, first),
            "residual": np.where(fails[0][name], np.nan, residual),
            "solved": ~fails[0][name],
        }
        folder.write_table(_file(name), table)
        tables[_file(name)] = {"file": f"{_file(name)}.csv", "shows": f"{name}: measured, fitted, before the fit"}
    if found:
        rows: dict[str, list[Any]] = {key: [] for key in ("parameter", "unit", "value", "chi2_rise")}
        for name, each in zip(problem.space.names, found, strict=True):
            parameter = problem.space.parameters[name]
            for z, rise in zip(each.z, each.rise, strict=True):
                for key, cell in zip(rows, (name, parameter.unit, float(parameter.value(z)), float(rise)), strict=True):
                    rows[key].append(cell)
        folder.write_table("profiles", rows)
        tables["profiles"] = {"file": "profiles.csv", "shows": "least chi^2 of all others along every parameter"}
    correlation: dict[str, Any] = {"parameter": list(problem.space.names)}
    correlation |= {name: linear.correlation[:, place] for place, name in enumerate(problem.space.names)}
    folder.write_table("correlation", correlation)
    tables["correlation"] = {"file": "correlation.csv", "shows": "correlation coefficients of the parameters"}
    return tables


def _write_draws(problem: FitProblem, drawn: Posterior, folder: RunFolder) -> dict[str, Any]:
    """A table of the posterior's draws, and what result.json says of it."""
    chains, draws, _ = drawn.z.shape
    table: dict[str, Any] = {
        "chain": np.repeat(np.arange(chains), draws),
        "draw": np.tile(np.arange(draws), chains),
        "chi2": drawn.chi2.reshape(-1),
        "diverged": drawn.diverged.reshape(-1),
    }
    for place, name in enumerate(problem.space.names):
        parameter = problem.space.parameters[name]
        table[name + parameter.unit_suffix] = np.asarray(parameter.value(drawn.flat[:, place]))
    folder.write_table("posterior", table)
    return {"posterior": {"file": "posterior.csv", "shows": "draws of the posterior distribution of the parameters"}}


def _write_bands(problem: FitProblem, seen: Bands, folder: RunFolder) -> None:
    """Beside each curve: where 95 % of the model's values lie, and of points that would be measured again."""
    for name, curve in problem.curves.items():
        unit, table = curve.columns.y_name, {curve.columns.x_name: curve.columns.x}
        for which, both in (("model", seen.model), ("predicted", seen.predicted)):
            for end, rows in zip(("low", "high"), both, strict=True):
                table[f"{which}_{end}_{unit}"] = problem.by_curve(rows)[name]
        folder.write_table(f"{_file(name)}_posterior", table)


# --- result.json -------------------------------------------------------------------------------------------------


def _result(
    problem: FitProblem,
    settings: FitSettings,
    minima: list[Solution],
    bounds: list[str | None],
    linear: Linearised,
    found: list[Profile],
    before: Evaluation,
    values: dict[str, Any],
    tables: dict[str, Any],
) -> dict[str, Any]:
    best, space = minima[0], problem.space
    statistics = _statistics(best, bounds, settings)
    residual, failed = problem.by_curve(best.evaluation.residual), problem.by_curve(best.evaluation.failed)
    earlier = problem.by_curve(before.residual)
    unsettled = in_words(linear, space.names, [space.parameters[name].log for name in space.names])
    complete = best.converged and not best.failed
    return {
        "schema": SCHEMA,
        "job": "fit",
        "device": settings.device.name,
        "status": "converged" if complete else "partly failed" if best.failed else "not converged",
        "message": _message(best, statistics),
        "parameters": _parameters(problem, best, bounds, linear, found, values),
        "statistics": statistics,
        "curves": {
            name: {
                "kind": curve.kind,
                "device": curve.device,
                "conditions": ", ".join(filter(None, [curve.device, curve.conditions])),
                "x": curve.columns.x_name,
                "y": curve.columns.y_name,
                "log": curve.log,
                "points": len(curve.columns.y),
                "failed_points": int(failed[name].sum()),
                "chi2": float(residual[name] @ residual[name]),
                "chi2_start": float(earlier[name] @ earlier[name]),
                "table": _file(name),
            }
            for name, curve in problem.curves.items()
        },
        "correlation": {
            name: {other: float(linear.correlation[i, j]) for j, other in enumerate(space.names)}
            for i, name in enumerate(space.names)
        },
        "directions": [
            {
                "known_to": float(1 / max(value, 1e-30)),
                "parameters": {name: float(direction[place]) for place, name in enumerate(space.names)},
            }
            for value, direction in zip(linear.singular_values, linear.directions, strict=True)
        ],
        "unsettled": unsettled,
        "entangled": _entangled(space.names, linear),
        "minima": [
            {
                "chi2": each.evaluation.chi2,
                "cost": each.cost,
                "starts": each.starts,
                "failed_points": each.failed,
                "message": each.message,
                "parameters": {name: float(value) for name, value in space.values(jnp.asarray(each.z)).items()},
            }
            for each in minima
        ],
        "convergence": {"starts": settings.fitter.starts, "loss": settings.fitter.loss},
        "fitted": [_fitted_file(name) for name in (None, *settings.dataset.devices)],
        "repeat": "invdesign simulate device=fitted.yaml",
        "warnings": _warnings(problem, best, bounds, statistics, unsettled, found),
        "tables": tables,
    }


def _statistics(best: Solution, bounds: list[str | None], settings: FitSettings) -> dict[str, Any]:
    """Goodness of fit, with the standard deviations taken at their word. Failed points do not count."""
    points = len(best.evaluation.failed)
    kept = np.append(~best.evaluation.failed, np.ones(len(best.evaluation.residual) - points, bool))
    chi2, rows = float(np.sum(best.evaluation.residual[kept] ** 2)), int(kept.sum())
    free = sum(bound is None for bound in bounds)
    freedom = rows - free
    return {
        "chi2": chi2,
        "chi2_of_priors": float(np.sum(best.evaluation.residual[points:] ** 2)),
        "rows": rows,
        "free_parameters": free,
        "degrees_of_freedom": freedom,
        "reduced_chi2": chi2 / freedom if freedom > 0 else None,
        "probability": float(chi2_distribution.sf(chi2, freedom)) if freedom > 0 else None,
        "aic": chi2 + 2 * free,
        "bic": chi2 + free * float(np.log(rows)),
    }


def _message(best: Solution, statistics: dict[str, Any]) -> str:
    priors = f" ({statistics['chi2_of_priors']:.2g} of it from priors)" if statistics["chi2_of_priors"] else ""
    text = f"chi^2 = {statistics['chi2']:.4g}{priors} with {statistics['degrees_of_freedom']} degrees of freedom"
    if best.failed:
        return f"{text}; the device was not solved at {best.failed} points, which do not count"
    return text if best.converged else f"{text}; {best.message}"


def _parameters(
    problem: FitProblem,
    best: Solution,
    bounds: list[str | None],
    linear: Linearised,
    found: list[Profile],
    values: dict[str, Any],
) -> dict[str, Any]:
    space, table = problem.space, {}
    for name in space.order:
        parameter = space.parameters[name]
        row: dict[str, Any] = {
            "unit": parameter.unit,
            "path": parameter.path,
            "also": [path for each, path in space.also if each == name],
            "start": float(space.start(name)),
            "value": float(values[name]),
            "lower": float(parameter.lower),
            "upper": float(parameter.upper),
            "log": parameter.log,
            "status": "tied" if parameter.tied_to else "frozen" if parameter.frozen else "free",
            "at_bound": None,
        }
        if name in space.names:
            place = space.names.index(name)
            z, sigma = float(best.z[place]), float(linear.sigma[place])
            row["at_bound"] = bounds[place]
            row["standard_error"] = _standard_error(problem, best, linear, place)
            for level, width in LEVELS.items():
                row[f"interval_{level}"] = [float(parameter.value(z + side * width * sigma)) for side in (-1, 1)]
            for level in LEVELS if found else ():
                ends = found[place].intervals[level]
                row[f"profile_{level}"] = [None if end is None else float(parameter.value(end)) for end in ends]
        table[name] = row
    return table


def _add_posterior(result: dict[str, Any], problem: FitProblem, drawn: Posterior, settings: PosteriorSettings) -> None:
    """Medians and intervals of the parameters, how far the draws can be trusted, and the tables of the curves."""
    space = problem.space
    for place, name in enumerate(space.names):
        parameter, z = space.parameters[name], drawn.flat[:, place]
        result["parameters"][name]["posterior"] = {
            "median": float(parameter.value(np.median(z))),
            **{
                f"interval_{level}": [float(parameter.value(end)) for end in np.quantile(z, ends)]
                for level, ends in QUANTILES.items()
            },
            "r_hat": float(drawn.r_hat[place]),
            "effective_samples": float(drawn.effective[place]),
        }
    result["posterior"] = {
        "chains": settings.chains,
        "samples": settings.samples,
        "warmup": settings.warmup,
        "seed": settings.seed,
        "largest_r_hat": float(np.max(drawn.r_hat)),
        "fewest_effective_samples": float(np.min(drawn.effective)),
        "divergences": int(drawn.diverged.sum()),
        "step": drawn.step,
        "compile_s": drawn.compile_s,
    }
    for name, curve in result["curves"].items():
        curve["posterior_table"] = f"{curve['table']}_posterior"
        result["tables"][curve["posterior_table"]] = {
            "file": f"{curve['posterior_table']}.csv",
            "shows": f"{name}: 95 % of the posterior, of the model and of points that are measured again",
        }
    result["warnings"] = [*drawn.warnings(space.names), *result["warnings"]]


def _entangled(names: tuple[str, ...], linear: Linearised) -> list[str]:
    """Pairs of parameters whose estimates move together."""
    pairs = [(i, j) for i in range(len(names)) for j in range(i) if abs(linear.correlation[i, j]) > ENTANGLED]
    pairs.sort(key=lambda pair: -abs(linear.correlation[pair]))
    return [f"{names[j]} and {names[i]} are correlated, {linear.correlation[i, j]:+.3f}" for i, j in pairs]


def _warnings(
    problem: FitProblem,
    best: Solution,
    bounds: list[str | None],
    statistics: dict[str, Any],
    unsettled: list[str],
    found: list[Profile],
) -> list[str]:
    said = []
    if not best.converged:
        said.append(best.message)
    if best.failed:
        per_curve = problem.by_curve(best.evaluation.failed)
        where = ", ".join(f"{name} ({int(failed.sum())})" for name, failed in per_curve.items() if failed.any())
        said.append(f"the device was not solved at all points of {where}")
    chance, reduced = statistics["probability"], statistics["reduced_chi2"]
    if chance is not None and chance < UNLIKELY:
        said.append(
            f"chi^2 per degree of freedom is {reduced:.3g}: the model misses the data by more than their standard "
            "deviations, so that the errors of the parameters say too little"
        )
    if chance is not None and chance > 1 - UNLIKELY:
        said.append(f"chi^2 per degree of freedom is {reduced:.3g}: the standard deviations of the data are too large")
    for name, bound in zip(problem.space.names, bounds, strict=True):
        if bound:
            said.append(f"{name} is at its {bound} bound and held there for the errors of the others; see its profile")
    deepest = min((float(each.rise.min()) for each in found), default=0.0)
    if deepest < -0.05:
        said.append(f"a profile went {-deepest:.2g} below the best chi^2 found; fit again with more starts")
    return said + unsettled


# --- what the terminal shows -------------------------------------------------------------------------------------


def _print_start(problem: FitProblem, before: Evaluation, console: Console) -> None:
    residual, failed = problem.by_curve(before.residual), problem.by_curve(before.failed)
    console.print("the device as it is:")
    for name, curve in problem.curves.items():
        lost = f", {int(failed[name].sum())} not solved" if failed[name].any() else ""
        count, chi2 = len(residual[name]), residual[name] @ residual[name]
        kind = ", ".join(filter(None, [curve.kind, curve.device]))
        console.print(f"  {name} ({kind}): {count} points, chi^2 = {chi2:.4g}{lost}")
    console.print(f"free parameters: {', '.join(problem.space.names)}")


def _print_result(result: dict[str, Any], console: Console) -> None:
    console.print(result["message"])
    for name, row in result["parameters"].items():
        if row["status"] != "free":
            continue
        error = f" ± {row['standard_error']:.2g}" if np.isfinite(row["standard_error"]) else ""
        if drawn := row.get("posterior"):
            low, high = drawn["interval_68"]
            error += f" (posterior {drawn['median']:.5g}, {low:.4g} to {high:.4g})"
        bound = f" (at its {row['at_bound']} bound)" if row["at_bound"] else ""
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        console.print(f"  {name}: {row['start']:.4g} -> {row['value']:.5g}{error}{unit}{bound}")
    for sentence in result["warnings"]:
        console.print(f"warning: {sentence}", soft_wrap=True)
