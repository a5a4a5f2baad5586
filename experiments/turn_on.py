"""How steeply the response rises at low bias, and why: `python experiments/turn_on.py [folder]` (default: outputs).

The paper's device has 2.2 mA/W at 975 nm up to 0.3 V reverse and 45 times as much at 0.5 V, 19 per volt in ln R. Drawn
are the responsivity against bias, its slope and the field in the middle of the film, for ions that rest at some bias, a
TiO2 whose band is 0.3 eV above the film's, both, and a metal that injects. docs/model.md says what they show.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float

from invdesign import load_device
from invdesign.analyses.illumination import absorption
from invdesign.analyses.operating_point import prepare, sweep_system
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import small_signal
from invdesign.device.device import Device
from invdesign.report.figures import QUALITATIVE, STYLE
from invdesign.solve.assembly import no_light
from invdesign.solve.newton import State

WAVELENGTH_NM = 975.0
A_PER_W = WAVELENGTH_NM / 1239.84
REVERSE_BIAS_V = np.linspace(0.0, 1.0, 21)
STATED = (2.2e-3, 0.3), (45 * 2.2e-3, 0.5)
RAISED = "layers.TiO2.material.electron_affinity_eV=3.45"
IONS = "layers.QDiP.material.host.mobile_ions={density_cm3: 3.3e18}"
AT_REST = "ions={{kind: frozen, reverse_bias_V: {}}}"
METAL = (
    "order=[glass,FTO,TiO2,QDiP,Au]",
    "terminals.shunt=null",
    "contacts.right={kind: schottky, work_function_eV: 4.1485, electron_velocity_cm_per_s: 1e5, injection: {}}",
)
DEVICES = {
    "literature": (),
    "TiO2 raised by 0.3 eV": (RAISED,),
    "ions at rest at 0 V": (IONS, AT_REST.format(0)),
    "both": (RAISED, IONS, AT_REST.format(0)),
    "both, at rest at 0.3 V": (RAISED, IONS, AT_REST.format(0.3)),
    "both, ions follow the bias": (RAISED, IONS),
    "a metal that injects": METAL,
}


@eqx.filter_jit
def rise(device: Device) -> tuple[Float[Array, " bias"], Float[Array, " bias"], Float[Array, " bias"]]:
    """EQE (nan where a point is not solved), field in the middle of the film (V/cm), current (A)."""
    system = prepare(device)
    dark, light = no_light(system), absorption(device, jnp.asarray([WAVELENGTH_NM]))
    found = sweep_system(system, dark, -jnp.asarray(REVERSE_BIAS_V))

    def efficiency(state: State) -> Array:
        small = small_signal(system, state, dark)
        return jnp.real(quantum_efficiency(small, small.transfer(0.0), light)[0])

    middle = system.read_edge
    field = (found.state.u[:, middle, 0] - found.state.u[:, middle + 1, 0]) * system.kT / system.lengths[middle]
    eqe = jnp.where(found.status == 0, jax.lax.map(efficiency, found.state), jnp.nan)
    return eqe, field, found.current_A


def main(folder: str = "outputs") -> None:
    plt.rcParams.update(STYLE)
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    between = (REVERSE_BIAS_V[1:] + REVERSE_BIAS_V[:-1]) / 2
    print("R(0.5 V)/R(0 V)  steepest slope of ln R (1/V)  at (V)  R(0 V) (mA/W)  dark current at 1 V (A)")
    for (name, changes), colour in zip(DEVICES.items(), QUALITATIVE, strict=False):
        eqe, field, current = (np.asarray(x) for x in rise(load_device("qdip_literature", *changes)))
        slope = np.diff(np.log(eqe)) / np.diff(REVERSE_BIAS_V)
        response = eqe * A_PER_W
        axes[0].plot(REVERSE_BIAS_V, response, color=colour, label=name)
        axes[1].plot(between, slope, color=colour)
        axes[2].plot(REVERSE_BIAS_V, field / 1e3, color=colour)
        steepest, (half,) = np.argmax(slope), np.flatnonzero(np.isclose(REVERSE_BIAS_V, 0.5))
        print(
            f"{response[half] / response[0]:15.3g}  {slope[steepest]:29.3g}  {between[steepest]:6.3f}"
            f"  {1e3 * response[0]:13.3g}  {-current[-1]:23.2g}  {name}"
        )
    for responsivity, bias in STATED:
        axes[0].plot(bias, responsivity, "k*", ms=9)
    axes[0].plot([], [], "k*", ms=9, ls="none", label="stated")
    axes[1].axhline(np.log(45) / 0.2, color="k", lw=0.8, ls=":", label="stated, 0.3 to 0.5 V")
    axes[0].set(ylabel="responsivity at 975 nm (A/W)", yscale="log")
    axes[1].set(ylabel="d ln R/dV (1/V)", yscale="log", ylim=(0.05, 100))
    axes[1].legend(loc="upper right")
    axes[2].set(ylabel="field in the middle of the film (kV/cm)")
    for place in axes:
        place.set_xlabel("reverse bias (V)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for ending in ("png", "pdf"):
        figure.savefig(target / f"turn_on.{ending}", dpi=200)


if __name__ == "__main__":
    main(*sys.argv[1:])
