"""How good and how fast the optimiser is on a stand-in for a photodiode: `python benchmarks/optimizers.py`.

The stand-in is a dot absorber between two transport layers and a mirror. Its 7 variables are those of the default
design box; interference gives the objective several maxima along each thickness. It prints, for some settings, in how
many of the seeds the result is within 1 % of the best known detectivity (0.0043 in log10), the evaluations and the
seconds, and how the time of the search depends on the number of threads when an evaluation is as dear as a device's.
"""

import argparse
import dataclasses
import tempfile
import time
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from invdesign.optimize import Evaluation, OptimizerSettings, maximise


class StandIn(eqx.Module):
    """log10 of responsivity over noise of a caricature of a photodiode; `systems` sets its cost, not its value."""

    systems: int = eqx.field(static=True, default=0)
    names: ClassVar[tuple[str, ...]] = ("diameter", "bromide", "fraction", "front", "absorber", "back", "bias")
    constraint_names: ClassVar[tuple[str, ...]] = (
        "front_field",
        "absorber_field",
        "back_field",
        "bandwidth",
        "bromide",
    )

    def initial_carry(self) -> Any:
        return jnp.linspace(0.0, 1.0, 250)

    def evaluate(self, z: Any, carry: Any) -> Evaluation:
        lower = jnp.array([3.0, 0.0, 0.02, 10.0, 60.0, 10.0, 0.0])
        upper = jnp.array([7.0, 0.4, 0.5, 150.0, 1500.0, 300.0, 10.0])
        diameter, bromide, fraction, front, absorber, back, bias = lower + z * (upper - lower)
        wavelength = 620.0  # half the real one: twice as many fringes
        resonance = jnp.exp(-0.5 * ((diameter - 4.6 - 0.3 * bromide) / 0.35) ** 2)
        absorption = 0.03 * fraction * resonance + 1e-4
        indices = jnp.array(
            [1.9 + 0.005j, 3.2, 2.4 - 0.2 * bromide + 0.4 * fraction + 1j * absorption, 2.9, 0.2 + 8.0j]
        )
        thickness = jnp.array([330.0, front, absorber, back])
        admittance = indices[4]  # from the mirror to the front, at normal incidence
        for index, d in zip(indices[:4][::-1], thickness[::-1], strict=True):
            tangent = jnp.tan(2 * jnp.pi * index * d / wavelength)
            admittance = (admittance - 1j * index * tangent) / (1 - 1j * admittance * tangent / index)
        reflected = jnp.abs((1.5 - admittance) / (1.5 + admittance)) ** 2
        optical = (1 - reflected) * absorption / (absorption + 0.004)
        width = absorber + 0.3 * (front + back)
        field = (bias + 0.8) / width * 1e4  # kV/cm
        collected = 1 / (1 + absorber * fraction**0.3 / (9.0 * field + 1.0))
        dark = jnp.exp(0.12 * field**0.5 * (4.0 / diameter) ** 2) + 20 * fraction * bromide**2 + 3e-3 * width
        objective = 12 + jnp.log10(optical * collected) - 0.5 * jnp.log10(dark)
        speed = 1 / ((absorber / 300) ** 2 / (bias + 1.0) + 60 / width)
        constraints = jnp.stack(
            [
                1 - field * jnp.exp(-front / 60) / 60,
                1 - field / 180,
                1 - field * jnp.exp(-back / 90) / 80,
                jnp.log10(speed / 0.9),
                (0.2 - bromide) / 0.2,
            ]
        )
        return Evaluation(objective + 0 * self.work(z), constraints, jnp.asarray(True), carry)

    def work(self, z: Any) -> Any:
        """Tridiagonal systems solved one after the other by elimination along 250 nodes, forwards and backwards."""

        def eliminate(above: Any, right: Any) -> tuple[Any, Any]:
            value = (right + above) / (2.5 + z[1])
            return value, value

        def system(u: Any, _: None) -> tuple[Any, None]:
            u = jax.lax.scan(eliminate, 0 * z[0], u)[1]
            return jax.lax.scan(eliminate, 0 * z[0], u, reverse=True)[1], None

        u = jnp.linspace(0.0, 1.0, 250) * (1 + z[0])
        return jnp.sum(jax.lax.scan(system, u, length=self.systems)[0])


def quality(seeds: int) -> None:
    baseline = np.array([0.25, 0.4, 0.56, 0.29, 0.13, 0.14, 0.1])
    trials = [
        OptimizerSettings(),
        OptimizerSettings(starts=24),
        OptimizerSettings(starts=48),
        OptimizerSettings(steps=40, outer_iterations=4),
        OptimizerSettings(steps=90, outer_iterations=9),
        OptimizerSettings(learning_rate=0.05),
        OptimizerSettings(learning_rate=0.2),
        OptimizerSettings(polish_count=6),
        OptimizerSettings(polish_count=16),
        OptimizerSettings("lbfgs", steps=36, outer_iterations=3),
        OptimizerSettings(starts=1, batch=1, polish_count=1),
    ]
    reference = OptimizerSettings(starts=512, batch=64, polish_count=64, seed=12345)
    result = maximise(StandIn(), baseline, reference)
    assert result.best is not None
    best = result.best.objective
    print(f"best known {best:.5f} at {np.round(result.best.z, 3)}, {len(result.optima)} optima", flush=True)
    print("the best ones", [round(o.objective, 4) for o in result.optima[:8]])
    for settings in trials:
        ends, evaluations, begun = [], 0, time.monotonic()
        for seed in range(seeds):
            result = maximise(StandIn(), baseline, dataclasses.replace(settings, seed=seed))
            assert result.best is not None
            best = max(best, result.best.objective)
            ends.append(result.best.objective)
            evaluations += result.evaluations
        hits = np.sum(np.array(ends) > best - 0.0043)
        changed = {k: v for k, v in dataclasses.asdict(settings).items() if v != getattr(OptimizerSettings(), k)}
        seconds = (time.monotonic() - begun) / seeds
        print(
            f"{hits:3d}/{seeds} within 1 %, median loss {best - np.median(ends):.4f}, largest {best - min(ends):.4f}, "
            f"{evaluations // seeds} evaluations, {seconds:.1f} s  {changed or 'defaults'}",
            flush=True,
        )


def speed() -> None:
    problem, baseline = StandIn(systems=200), np.full(7, 0.5)
    times: list[tuple[float, float]] = []
    for batch in (4, 8, 16):
        for workers in (1, 2):
            times.clear()
            maximise(
                problem,
                baseline,
                OptimizerSettings(starts=32, steps=16, outer_iterations=8, batch=batch, polish_count=0),
                workers=workers,
                on_progress=lambda _: times.append((time.monotonic(), time.process_time())),
            )
            (wall, cpu), evaluations = np.subtract(times[-1], times[1]), 2 * batch * (len(times) - 2)
            print(
                f"batch {batch:2d}, {workers} threads: {1e3 * wall / evaluations:.2f} ms per evaluation with gradient, "
                f"{cpu / wall:.2f} cores busy",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", choices=["quality", "speed"])
    arguments = parser.parse_args()
    if arguments.only != "speed":
        # The seeds of one setting share their compiled functions.
        jax.config.update("jax_compilation_cache_dir", tempfile.mkdtemp())
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        quality(arguments.seeds)
    if arguments.only != "quality":
        speed()
