"""How often a solve succeeds: random designs of the default box, at biases up to breakdown, dark and lit.

    python benchmarks/robustness.py [designs] [validated]

A design that fails is printed with its numbers and the reason the solver gives. `validated` of the designs are also put
through `invdesign validate`.
"""

import collections
import sys
import tempfile
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from scipy.stats import qmc

import invdesign
from invdesign.analyses.illumination import absorption, photon_flux
from invdesign.config import use_compile_cache
from invdesign.jobs import validate
from invdesign.results import Status
from invdesign.run.folder import RunFolder
from invdesign.solve.assembly import discretise, no_light
from invdesign.solve.newton import Stage, Target, current_A, equilibrium_guess, walk

WAVELENGTH_NM = 1240.0
IRRADIANCE_W_PER_CM2 = 1e-1

use_compile_cache()
settings = invdesign.load_settings("optimize")
NAMES = [name for name in settings.design if name != "reverse_bias"]


def design(x):
    """The default device with its design variables at `x` of the box."""
    device = settings.device
    for name, value in zip(NAMES, x, strict=True):
        variable = settings.design[name]

        def at(d, path=variable.path):
            for key in path.split(".")[1:]:
                d = d[key] if isinstance(d, dict) else getattr(d, key)
            return d

        device = eqx.tree_at(at, device, jnp.asarray(variable.lower + value * (variable.upper - variable.lower)))
    return device


@jax.jit
def points(device, voltages_V):
    """Status, iterations, current and largest field over breakdown at all voltages, dark and lit."""
    system = discretise(device)
    dark = no_light(system)
    lit = absorption(device, jnp.array([WAVELENGTH_NM])).light(
        photon_flux(jnp.array([WAVELENGTH_NM]), jnp.array([IRRADIANCE_W_PER_CM2]))
    )
    rest = Target(jnp.zeros(()), dark)
    limit = system.join([region.bulk.breakdown_field for region in system.regions])
    first = walk(system, equilibrium_guess(system), rest, rest, stage=Stage.AT_ORIGIN)

    def solve(case):
        voltage, light = case
        target = Target(voltage / system.kT, light)
        outcome = walk(system, first.state, rest, target, stage=Stage.AT_ORIGIN)
        field = jnp.abs(jnp.diff(outcome.state.u[:, 0])) * system.kT / system.lengths
        return outcome.status, outcome.iterations, current_A(system, outcome.state, light), jnp.max(field / limit)

    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), dark, lit)
    cases = [(v, jax.tree.map(lambda a, i=i: a[i], both)) for i in range(2) for v in voltages_V]
    return jax.lax.map(solve, jax.tree.map(lambda *a: jnp.stack(a), *cases))


def main(designs: int = 200, validated: int = 0) -> None:
    started = time.perf_counter()
    samples = qmc.Sobol(len(NAMES), seed=0).random(designs)
    counts, iterations = collections.Counter(), []
    for index, x in enumerate(samples):
        device = design(x)
        # from forward bias to the breakdown of the weakest layer, or 10 V
        voltages = -np.linspace(-0.5, 10.0, 22)
        status, steps, current, field = (np.asarray(a) for a in points(device, jnp.asarray(voltages)))
        inside = field <= 1.0
        failed = (status != Status.CONVERGED) | ~np.isfinite(current)
        counts["points up to breakdown"] += int(np.sum(inside & ~failed))
        counts["beyond breakdown"] += int(np.sum(~inside & ~failed))
        counts["failed"] += int(np.sum(failed))
        iterations.extend(steps[~failed])
        for place in np.flatnonzero(failed):
            light = "lit" if place >= len(voltages) else "dark"
            reason = Status(int(status[place])).message if status[place] else "the current is not finite"
            print(f"design {index} {np.round(x, 4)} at {voltages[place % len(voltages)]:g} V, {light}: {reason}")
    print(f"{designs} designs: {dict(counts)}")
    print(f"Newton steps per point from equilibrium: median {np.median(iterations):g}, most {np.max(iterations)}")
    print(f"{time.perf_counter() - started:.0f} s, compilation included")
    failures = 0
    for index, x in enumerate(samples[:validated]):
        base = invdesign.load_settings("validate")
        with tempfile.TemporaryDirectory() as outputs:
            folder = RunFolder.create(outputs, "validate", {})
            console = Console(quiet=True)
            code = validate.run(eqx.tree_at(lambda s: s.device, base, design(x)), folder, console)
            if code:
                failures += 1
                bad = {n: c for n, c in folder.result()["checks"].items() if not c["passed"]}
                print(f"validate, design {index} {np.round(x, 4)}:")
                for name, check in bad.items():
                    print(f"    {name}: {check['value']:.2e} > {check['tolerance']:.1e}, {check['detail']}")
        if (index + 1) % 10 == 0 or index + 1 == validated:
            seconds = time.perf_counter() - started
            print(f"validate: {index + 1 - failures} of {index + 1} designs pass, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
