"""Makes the packaged example datasets: curves of devices with other numbers than their presets, with noise.

    python benchmarks/example_data.py [DATASET ...]

Writes invdesign/data/datasets/*.csv. The YAML files in conf/dataset say in which conditions and with which standard
deviations; those of single numbers and short curves are printed, to be put there by hand.
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

import invdesign
from invdesign.datasets.curves import (
    Bias,
    Curve,
    DarkCurrentVoltage,
    Frequency,
    LightPulse,
    LitCurrentVoltage,
    Number,
    Photoresponse,
    Spectrum,
    TransientAbsorption,
)
from invdesign.datasets.model import Model
from invdesign.device.illumination import Monochromatic
from invdesign.run.folder import RunFolder
from invdesign.schema import find

FOLDER = Path(invdesign.__file__).parent / "data" / "datasets"
HEAD = "# synthetic: made by the model itself with noise, benchmarks/example_data.py\n"

TRUTHS = {
    "silicon_pn": {
        "layers.p.material.recombination.electron_lifetime_s": 3e-9,
        "layers.n.material.recombination.hole_lifetime_s": 4e-7,
        "layers.n.material.donor_density_cm3": 6e15,
        "layers.p.material.electron_mobility_cm2_per_Vs": 700.0,
    },
    "qdip_photodiode": {
        "layers.QDiP.thickness_nm": 270.0,
        "layers.QDiP.material.dots.lifetime_s": 3e-9,
        "layers.QDiP.material.dots.capture_time_s": 1.6e-12,
        "layers.QDiP.material.dots.electron_affinity_eV": 3.94,
        "layers.QDiP.material.dots.volume_fraction": 0.26,
        "layers.QDiP.material.dots.diameter_nm": 4.28,
        "layers.TiO2.thickness_nm": 60.0,
        "layers.spiro.thickness_nm": 45.0,
        "terminals.series_resistance_ohm": 40.0,
        "terminals.shunt.resistance_ohm_cm2": 9e6,
    },
    "qdip_transients": {
        "layers.QDiP.material.dots.lifetime_s": 3e-9,
        "layers.QDiP.material.dots.capture_time_s": 1.6e-12,
        "layers.QDiP.material.dots.electron_affinity_eV": 3.94,
    },
}
"""The numbers that a fit is to find, by dataset."""
DEVICES = {"qdip_transients": "qdip_photodiode"}
"""Whose data a dataset holds, where it is not named like its device."""


def curve(kind: type[Curve], x_name: str, x: np.ndarray, y_name: str, **conditions) -> Curve:
    """A curve whose measured values are still to be worked out."""
    data = {x_name: tuple(x.tolist()), y_name: (1.0,) * len(x)}
    return kind(data=data, relative_sigma=1.0, **conditions)


def curves_of(dataset: str) -> dict[str, Curve]:
    """The curves of the packaged datasets, without their values."""
    density = "current_density_A_per_cm2"
    if dataset == "qdip_transients":
        after = np.geomspace(1e-7, 5e-5, 10)
        laser = dict(reverse_bias_V=1.0, wavelength_nm=975.0, irradiance_W_per_cm2=1e-4, length_s=1e-4)
        blue = dict(wavelength_nm=450.0, fluence_J_per_cm2=1.1e-5, reference_s=1e-11)
        infrared = dict(wavelength_nm=1000.0, fluence_J_per_cm2=2.25e-4, reference_s=1e-10)
        delays = np.geomspace(5e-13, 5e-8, 14)
        return {
            "pulse": curve(LightPulse, "time_s", _rounded(np.append(after, 1e-4 + after)), "current_A", **laser),
            "bleach": curve(
                TransientAbsorption, "time_s", _rounded(delays), "relative_exciton_bleach", reverse_bias_V=0.0, **blue
            ),
            "transfer": curve(
                TransientAbsorption, "time_s", _rounded(delays), "relative_host_bleach", reverse_bias_V=0.0, **infrared
            ),
        }
    if dataset == "silicon_pn":
        red = Monochromatic(wavelength_nm=850.0, irradiance_W_per_cm2=1e-3)
        sweep = np.linspace(-2, 0.6, 14)
        return {
            "dark": curve(DarkCurrentVoltage, "voltage_V", np.round(sweep[sweep != 0], 3), density),
            "lit": curve(LitCurrentVoltage, "voltage_V", np.round(np.linspace(-1, 0.5, 16), 3), density, light=red),
            "eqe": curve(Spectrum, "wavelength_nm", np.arange(400.0, 1101, 50), "eqe", reverse_bias_V=1.0),
            "responsivity": curve(
                Bias, "reverse_bias_V", np.arange(0, 2.1, 0.5), "responsivity_A_per_W", wavelength_nm=850.0,
                frequency_Hz=1e3,
            ),
            "noise": curve(
                Frequency, "frequency_Hz", np.logspace(1, 4, 7).round(), "noise_A_per_rtHz", reverse_bias_V=1.0
            ),
            "capacitance": curve(
                Bias, "reverse_bias_V", np.arange(0, 2.1, 0.5), "capacitance_F", frequency_Hz=1e5
            ),
            "photoresponse": curve(
                Photoresponse, "frequency_Hz", np.logspace(4, 8, 9).round(), "relative_response", reverse_bias_V=1.0,
                wavelength_nm=850.0,
            ),
            "bandwidth": Number(
                figure="bandwidth_Hz", value=1.0, reverse_bias_V=1.0, wavelength_nm=850.0, relative_sigma=1.0
            ),
            "capacitance_frequency": curve(
                Frequency, "frequency_Hz", np.array([1e3, 1e4, 1e5]), "capacitance_F", reverse_bias_V=0.0
            ),
        }  # fmt: skip
    blue = Monochromatic(wavelength_nm=1240.0, irradiance_W_per_cm2=1e-3)
    sweep = np.linspace(-2, 1.0, 16)
    return {
        "dark": curve(DarkCurrentVoltage, "voltage_V", np.round(sweep[np.abs(sweep) > 1e-9], 3), density),
        "lit": curve(LitCurrentVoltage, "voltage_V", np.round(sweep, 3), density, light=blue),
        "eqe": curve(Spectrum, "wavelength_nm", np.arange(500.0, 1401, 50), "eqe", reverse_bias_V=1.0),
        "noise": curve(
            Frequency, "frequency_Hz", np.logspace(1, 4, 7).round(), "noise_A_per_rtHz", reverse_bias_V=1.0
        ),
    }  # fmt: skip


def _rounded(times: np.ndarray) -> np.ndarray:
    return np.array([float(f"{time:.4g}") for time in times])


UNITS = {
    "pulse": ("current_nA", 1e-9),
    "lit": ("current_density_mA_per_cm2", 1e-3),
    "eqe": ("eqe_percent", 1e-2),
    "capacitance": ("capacitance_pF", 1e-12),
    "noise": ("noise_fA_per_rtHz", 1e-15),
}
"""Curves that are written in another unit than the model's, to show that they can be."""
NOISE = {
    "dark": (0.02, 0.0),
    "pulse": (0.01, 1.0),
    "bleach": (0.0, 0.01),
    "transfer": (0.0, 0.02),
    "lit": (0.01, 2e-3),
    "eqe": (0.01, 0.2),
    "responsivity": (0.01, 0.0),
    "noise": (0.05, 0.0),
    "capacitance": (0.02, 0.0),
    "photoresponse": (0.0, 0.01),
    "bandwidth": (0.05, 0.0),
    "capacitance_frequency": (0.02, 0.0),
}
"""Relative and absolute standard deviations, the latter in the unit that is written."""


def sample(name: str):
    """The device of a dataset with the numbers that its example data were made with."""
    device = invdesign.load_device(DEVICES.get(name, name))
    paths = TRUTHS[name]
    numbers = [jax.numpy.asarray(value, jax.numpy.float64) for value in paths.values()]
    return eqx.tree_at(lambda tree: [find(tree, path)[0] for path in paths], device, numbers)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(FOLDER, "example")
    wanted = sys.argv[1:] or list(TRUTHS)
    for seed, dataset in enumerate(TRUTHS):
        if dataset not in wanted:
            continue
        rng = np.random.default_rng(seed)
        curves, device = curves_of(dataset), sample(dataset)
        predicted = jax.jit(Model(curves, device).predict)(device)
        for name, one in curves.items():
            assert bool(predicted[name].solved.all()), name
            columns = one.columns
            header, factor = UNITS.get(name, (columns.y_name, 1.0))
            exact = np.asarray(predicted[name].values) / factor
            relative, absolute = NOISE[name]
            sigma = np.sqrt((relative * exact) ** 2 + absolute**2)
            y = np.array([float(f"{value:.5g}") for value in exact + sigma * rng.standard_normal(len(exact))])
            if name in ("bandwidth", "capacitance_frequency"):
                print(dataset, name, columns.x.tolist(), header, y.tolist())
                continue
            table = {columns.x_name: columns.x, header: y}
            if name == "lit":
                table["sigma_mA_per_cm2"] = np.array([float(f"{value:.3g}") for value in sigma])
            path = folder.write_table(f"{dataset}_{name}", table)
            path.write_text(HEAD + path.read_text())


if __name__ == "__main__":
    main()
