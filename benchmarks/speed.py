"""How long things take on one core, compiled: a J-V curve, a batch of them, D* with and without its gradient.

    taskset -c 0 python benchmarks/speed.py

Absolute numbers are those of this machine; ratios within one run are what to compare.
"""

import time

import equinox as eqx
import jax
import jax.numpy as jnp

import invdesign
from invdesign.analyses.operating_point import sweep
from invdesign.config import use_compile_cache
from invdesign.figures.registry import characterise

POINTS, BATCH = 25, 64


def best(function, *arguments, repeats=5):
    """Seconds of the fastest of several calls, and of the first one."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - started)
    return min(times[1:]), times[0]


def main() -> None:
    use_compile_cache()
    device = invdesign.load_device("qdip_photodiode")
    voltages = jnp.linspace(0.4, -3.0, POINTS)
    thicknesses = jnp.linspace(200.0, 400.0, BATCH)

    def thick(thickness):
        return eqx.tree_at(lambda d: d.layers["QDiP"].thickness_nm, device, thickness)

    def curve(thickness):
        return sweep(thick(thickness), voltages).current_A

    def detectivity(thickness):
        c = characterise(thick(thickness), 1.0, jnp.array([1240.0]))
        return jnp.log10(c.detectivity_Jones[0])

    one, first = best(jax.jit(curve), thicknesses[0])
    print(f"J-V of {POINTS} points: {1e3 * one:.1f} ms (first call {first:.1f} s)")
    many, first = best(jax.jit(jax.vmap(curve)), thicknesses, repeats=2)
    print(f"batch of {BATCH}: {1e3 * many / BATCH:.1f} ms per device (first call {first:.1f} s)")
    value, first = best(jax.jit(detectivity), thicknesses[0])
    print(f"D*: {1e3 * value:.1f} ms (first call {first:.1f} s)")
    both, first = best(jax.jit(jax.value_and_grad(detectivity)), thicknesses[0])
    print(f"D* with its gradient: {1e3 * both:.1f} ms, {both / value:.2f} x D* alone (first call {first:.1f} s)")


if __name__ == "__main__":
    main()
