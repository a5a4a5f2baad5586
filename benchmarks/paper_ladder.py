"""How well models of the paper's photodiode, each with one process more, meet the numbers measured on it.

    python benchmarks/paper_ladder.py [model ...] [--compatible]

Every model is fitted to `conf/dataset/qdip_paper.yaml` by `conf/parameters/qdip_paper.yaml` and by what it adds;
`--compatible` leaves out the three numbers that other statements of the paper speak against.
"""

import argparse

import jax.numpy as jnp
import numpy as np

from invdesign import load_settings
from invdesign.config import use_compile_cache
from invdesign.fitting.least_squares import solve_all
from invdesign.jobs.fit import FitProblem

IONS = [
    "device.layers.QDiP.material.host.mobile_ions={density_cm3: 3e18}",
    "device.layers.TiO2.material.electron_affinity_eV=3.45",
    "parameters.ion_density={path: device.layers.QDiP.material.host.mobile_ions.density_cm3, "
    "lower_cm3: 1e16, upper_cm3: 1e20, log: true}",
]
INJECTION = [
    "device.order=[glass,FTO,TiO2,QDiP,Au]",
    "device.terminals.shunt.blocking_layers=[TiO2]",
    "device.terminals.shunt.reference_blocking_nm=50",
    "device.contacts.right={kind: schottky, work_function_eV: 4.5, injection: {}}",
    "parameters.work_function={path: device.contacts.right.work_function_eV, lower_eV: 3.95, upper_eV: 4.9}",
]
MODELS = {
    "no ions": [],
    "fixed ions": ["device.ions={kind: frozen, reverse_bias_V: 0}", *IONS],
    "mobile ions": ["device.ions={kind: relaxed}", *IONS],
    "fixed ions, injection": ["device.ions={kind: frozen, reverse_bias_V: 0}", *IONS, *INJECTION],
}
IN_CONFLICT = [f"~dataset.curves.{name}" for name in ("responsivity_turned_on", "unity_gain", "largest_gain")]
SEARCH = ["fitter.starts=6", "fitter.candidates=64", "fitter.evaluations=200"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=[*MODELS])
    parser.add_argument("--compatible", action="store_true")
    arguments = parser.parse_args()
    left_out = IN_CONFLICT if arguments.compatible else []
    use_compile_cache()
    table: dict[str, list[str]] = {}
    for name in arguments.models:
        device = "device=qdip_literature", "dataset=qdip_paper", "parameters=qdip_paper", *MODELS[name]
        settings = load_settings("fit", *device, *SEARCH, *left_out)
        problem = FitProblem(settings)
        residuals = problem.compile()
        best = solve_all(residuals, problem.space.baseline, settings.fitter)[0]
        chi2 = best.evaluation.chi2
        priors = chi2 - sum(float(r @ r) for r in problem.by_curve(best.evaluation.residual).values())
        print(f"\n{name}: chi^2 = {chi2:.4g} ({priors:.2g} of it priors), {len(best.z)} parameters, {best.message}")
        for parameter, value in problem.space.values(jnp.asarray(best.z)).items():
            print(f"  {parameter}: {float(value):.4g} {problem.space.parameters[parameter].unit}")
        values = problem.by_curve(best.evaluation.values)
        shares = problem.by_curve(best.evaluation.residual)
        table[name] = [f"{values[c][0]:.3g} ({shares[c][0] ** 2:.3g})" for c in problem.names]
        table["measured"] = [f"{problem.curves[c].columns.y[0]:.3g}" for c in problem.names]
        table[" "] = list(problem.names)
    print()
    rows = [" ", "measured", *(name for name in table if name not in (" ", "measured"))]
    for line in np.array([[name, *table[name]] for name in rows]).T:
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
