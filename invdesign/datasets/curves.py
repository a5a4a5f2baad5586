"""Kinds of measured curves: the data of each, the conditions they were taken in, and what the model says to them.

A kind is a final subclass of `Curve`. It says what it needs from the model (`asks`), and makes of the answers the
numbers that were measured (`predict`); `model.Model` solves the device once for all curves.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from invdesign.analyses.transient import Excitation, Response
from invdesign.constants import HC_EV_NM
from invdesign.datasets.table import Columns, interpret, read_file
from invdesign.device.device import Device
from invdesign.device.illumination import Dark, Illumination
from invdesign.errors import InputError
from invdesign.figures.registry import FIGURES
from invdesign.schema import choice, quantity, setting
from invdesign.solve.stepping import Square

OF_READOUT = ("readout_noise_A_per_rtHz", "reported_responsivity_A_per_W", "reported_detectivity_Jones")
"""Figures that say nothing without a readout, which a dataset does not have."""
FIGURE_NAMES = tuple(figure.name for figure in FIGURES if figure.name not in OF_READOUT)
DENSITY, CURRENT = "current_density_A_per_cm2", "current_A"


class Ask(NamedTuple):
    """Rows of operating points, and what a curve wants to know at each of them."""

    voltage_V: Float[np.ndarray, " row"]
    frequency_Hz: Float[np.ndarray, " row"] | None = None
    """Of the small signal; None if the current alone is wanted."""
    wavelength_nm: float | None = None
    """Where figures of merit are read."""
    spectrum_nm: Float[np.ndarray, " wavelength"] | None = None
    """Where the external quantum efficiency is read."""
    figures: tuple[str, ...] = ()
    """Names in the registry."""
    load_ohm: float = 0.0
    """Load of `bandwidth_Hz`, of what is read at `spectrum_nm` and in time; other figures are into a short circuit."""
    excitation: Excitation | None = None
    """Light whose effect is followed in time, at one voltage."""
    time_s: Float[np.ndarray, " time"] | None = None
    """After it begins."""


class Answer(NamedTuple):
    """What the model says to an `Ask`."""

    area_cm2: Float[Array, ""]
    current_A: Float[Array, " row"]
    figures: dict[str, Float[Array, " row"]]
    eqe: Float[Array, "row wavelength"]
    """|electrons in the circuit per incident photon|, into the load."""
    response: Response | None = None
    """In time; nan at times that were not reached."""


class Curve(eqx.Module):
    """Measured points, with the conditions they were taken in and their uncertainty."""

    kind: eqx.AbstractClassVar[str]
    x_names: eqx.AbstractClassVar[tuple[str, ...]]
    y_names: eqx.AbstractClassVar[tuple[str, ...]]
    device: str | None = eqx.field(
        default=None, static=True, kw_only=True, metadata=dict(doc="one of the dataset's devices; null: `device`")
    )
    file: str | None = eqx.field(
        default=None, static=True, kw_only=True, metadata=dict(doc="a CSV file whose header names the columns")
    )
    data: dict[str, tuple[float, ...]] | None = eqx.field(
        default=None, static=True, kw_only=True, metadata=dict(doc="the columns themselves, instead of a file")
    )
    log: bool = eqx.field(
        default=False, static=True, kw_only=True, metadata=dict(doc="compare logarithms; signs must be the same")
    )
    relative_sigma: Float[Array, ""] = quantity("1", lower=0, default=0.0, doc="standard deviation over |y|")
    absolute_sigma: Float[Array, ""] = quantity(
        "1", lower=0, default=0.0, doc="standard deviation in the unit of y's column; all of them add in squares"
    )
    temperature_K: Float[Array, ""] | None = quantity(
        "K", lower=10, upper=1000, default=None, doc="null: that of the device"
    )
    area_cm2: Float[Array, ""] | None = quantity(
        "cm2", lower=0, open_lower=True, default=None, doc="null: that of the device"
    )
    light: Illumination | None = eqx.field(
        default=None, kw_only=True, metadata=dict(doc="steady light; null: the device's own")
    )

    def check(self) -> None:
        """Raise `InputError` for data that are missing or damaged, or have no uncertainty."""
        columns, sigma = self.columns, self.sigma
        if len(zero := np.flatnonzero(~(sigma > 0))):
            raise InputError(
                f"no uncertainty at {columns.x_name}={columns.x[zero[0]]:g}; give relative_sigma, absolute_sigma or a "
                "column sigma, above zero"
            )
        if self.log and len(zero := np.flatnonzero(columns.y == 0)):
            raise InputError(
                f"log: {columns.y_name} is 0 at {columns.x_name}={columns.x[zero[0]]:g}, which has no logarithm; "
                "leave the row out or say log: false"
            )

    @property
    def columns(self) -> Columns:
        """The measured points, in the units of the names."""
        if (self.file is None) == (self.data is None):
            raise InputError("give either a file or data")
        if self.data is not None:
            return interpret(self.data, self.x_names, self.y_names)
        file = str(self.file)
        try:
            return interpret(read_file(file), self.x_names, self.y_names)
        except InputError as error:
            raise InputError(str(error) if str(error).startswith("file=") else f"file={file}: {error}") from None

    @property
    def sigma(self) -> Float[np.ndarray, " point"]:
        """Standard deviation of every point, in the unit of y."""
        columns = self.columns
        measured = np.zeros(len(columns.y)) if columns.sigma is None else columns.sigma
        absolute = float(self.absolute_sigma) * columns.factor
        return np.sqrt(measured**2 + absolute**2 + (float(self.relative_sigma) * columns.y) ** 2)

    @property
    def wavelengths_nm(self) -> Float[np.ndarray, " wavelength"]:
        """All wavelengths that the optical data must cover."""
        asked = [self.ask.spectrum_nm, self.ask.wavelength_nm]
        spectrum = None if self.light is None else self.light.spectrum()
        asked.append(None if spectrum is None else np.asarray(spectrum[0]))
        return np.concatenate([np.zeros(0), *(np.atleast_1d(each) for each in asked if each is not None)])

    @property
    def conditions(self) -> str:
        """In words, for legends: what was held fixed."""
        return ""

    def light_on(self, device: Device) -> Illumination:
        """The steady light during the measurement."""
        return device.illumination if self.light is None else self.light

    @property
    def ask(self) -> Ask:
        """What the curve needs from the model."""
        raise NotImplementedError

    def predict(self, answer: Answer) -> Float[Array, " point"]:
        """The model's value of every measured point, in the unit of y."""
        raise NotImplementedError


class _CurrentVoltage(Curve):
    """Current against voltage, forward positive; the current into the anode is positive."""

    x_names: ClassVar[tuple[str, ...]] = ("voltage_V",)
    y_names: ClassVar[tuple[str, ...]] = (DENSITY, CURRENT)

    @property
    def ask(self) -> Ask:
        return Ask(self.columns.x)

    def predict(self, answer: Answer) -> Float[Array, " point"]:
        return answer.current_A / (answer.area_cm2 if self.columns.y_name == DENSITY else 1.0)


class DarkCurrentVoltage(_CurrentVoltage):
    """J-V without any light."""

    kind: ClassVar[str] = "dark_jv"

    def check(self) -> None:
        super().check()
        if self.light is not None:
            raise InputError("light: a dark curve has none; use kind: lit_jv")

    def light_on(self, device: Device) -> Illumination:
        return Dark()

    @property
    def conditions(self) -> str:
        return "dark"


class LitCurrentVoltage(_CurrentVoltage):
    """J-V under `light`, or under the device's own illumination."""

    kind: ClassVar[str] = "lit_jv"

    @property
    def conditions(self) -> str:
        return "lit"


def _bias_in_words(reverse_bias_V: Float[Array, ""]) -> str:
    return f"{float(reverse_bias_V):g} V reverse"


class Spectrum(Curve):
    """External quantum efficiency or responsivity against wavelength, at one bias and frequency."""

    kind: ClassVar[str] = "spectrum"
    x_names: ClassVar[tuple[str, ...]] = ("wavelength_nm",)
    y_names: ClassVar[tuple[str, ...]] = ("eqe", "responsivity_A_per_W")
    reverse_bias_V: Float[Array, ""] = quantity("V", lower=-1000, upper=1000, doc="positive is reverse")
    frequency_Hz: Float[Array, ""] = quantity("Hz", lower=0, default=0.0, doc="of the chopped light")

    @property
    def ask(self) -> Ask:
        point = np.array([-float(self.reverse_bias_V)])
        return Ask(point, np.array([float(self.frequency_Hz)]), spectrum_nm=self.columns.x)

    def predict(self, answer: Answer) -> Float[Array, " point"]:
        per_watt = self.columns.x / HC_EV_NM if self.columns.y_name == "responsivity_A_per_W" else 1.0
        return answer.eqe[0] * per_watt

    @property
    def conditions(self) -> str:
        return _bias_in_words(self.reverse_bias_V)


def _listed(*conditions: str) -> str:
    return ", ".join(filter(None, conditions))


class _Figures(Curve):
    """A figure of merit of the registry, named by the header of its column."""

    y_names: ClassVar[tuple[str, ...]] = FIGURE_NAMES
    wavelength_nm: Float[Array, ""] | None = quantity(
        "nm", lower=100, upper=1e5, default=None, doc="of the weak light, for figures that have to do with light"
    )
    load_ohm: Float[Array, ""] = quantity("ohm", lower=0, default=50.0, doc="of the figure bandwidth_Hz")

    def check(self) -> None:
        super().check()
        name = self.columns.y_name
        if name in OPTICAL_FIGURES and self.wavelength_nm is None:
            raise InputError(f"wavelength_nm is missing: {name} depends on it")

    def _ask(self, voltage_V: Float[np.ndarray, " row"], frequency_Hz: Float[np.ndarray, " row"]) -> Ask:
        wavelength = None if self.wavelength_nm is None else float(self.wavelength_nm)
        name = self.columns.y_name
        return Ask(voltage_V, frequency_Hz, wavelength, figures=(name,), load_ohm=float(self.load_ohm))

    def predict(self, answer: Answer) -> Float[Array, " point"]:
        return answer.figures[self.columns.y_name]

    @property
    def _light_in_words(self) -> str:
        shown = self.wavelength_nm is not None and self.columns.y_name in OPTICAL_FIGURES
        return f"{float(self.wavelength_nm):g} nm" if shown else ""  # type: ignore[arg-type]

    def _at_frequency(self, frequency_Hz: Float[Array, ""]) -> str:
        return "" if self.columns.y_name in STEADY_FIGURES else f"{float(frequency_Hz):g} Hz"


STEADY_FIGURES = {
    *("bandwidth_Hz", "dark_current_A", "current_A", "absorptance"),
    *("shot_limit_A_per_rtHz", "peak_field_V_per_cm"),
}
"""Figures that depend on no frequency."""
OPTICAL_FIGURES = {
    *("detectivity_Jones", "responsivity_A_per_W", "eqe", "absorptance", "gain", "bandwidth_Hz"),
    *("noise_equivalent_power_W_per_rtHz", "background_limit_Jones"),
}
"""Figures that depend on the wavelength."""


class Bias(_Figures):
    """A figure of merit (responsivity, EQE, gain, noise, capacitance, ...) against reverse bias, at one frequency."""

    kind: ClassVar[str] = "bias"
    x_names: ClassVar[tuple[str, ...]] = ("reverse_bias_V",)
    frequency_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, doc="of the small signal and the noise")

    @property
    def ask(self) -> Ask:
        x = self.columns.x
        return self._ask(-x, np.full(len(x), float(self.frequency_Hz)))

    @property
    def conditions(self) -> str:
        return _listed(self._at_frequency(self.frequency_Hz), self._light_in_words)


class Frequency(_Figures):
    """A figure of merit (noise, capacitance, EQE, ...) against frequency, at one bias."""

    kind: ClassVar[str] = "frequency"
    x_names: ClassVar[tuple[str, ...]] = ("frequency_Hz",)
    reverse_bias_V: Float[Array, ""] = quantity("V", lower=-1000, upper=1000, doc="positive is reverse")

    @property
    def ask(self) -> Ask:
        x = self.columns.x
        return self._ask(np.full(len(x), -float(self.reverse_bias_V)), x)

    @property
    def conditions(self) -> str:
        return _listed(_bias_in_words(self.reverse_bias_V), self._light_in_words)


class Number(_Figures):
    """One figure of merit with its tolerance (`relative_sigma` or `absolute_sigma`)."""

    kind: ClassVar[str] = "number"
    x_names: ClassVar[tuple[str, ...]] = ("reverse_bias_V",)
    figure: str = choice(*FIGURE_NAMES, doc="its name in the registry; not one of the readout's")
    value: Float[Array, ""] = quantity("1", doc="in the unit of the figure's name")
    reverse_bias_V: Float[Array, ""] = quantity("V", lower=-1000, upper=1000, doc="positive is reverse")
    frequency_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, default=1e3, doc="of signal and noise")

    @property
    def columns(self) -> Columns:
        if self.file is not None or self.data is not None:
            raise InputError("a number has a value and neither file nor data; use kind: bias for several")
        x, y = np.array([float(self.reverse_bias_V)]), np.array([float(self.value)])
        return Columns("reverse_bias_V", self.figure, x, y, None, 1.0)

    @property
    def ask(self) -> Ask:
        return self._ask(-self.columns.x, np.array([float(self.frequency_Hz)]))

    @property
    def conditions(self) -> str:
        return _listed(_bias_in_words(self.reverse_bias_V), self._at_frequency(self.frequency_Hz), self._light_in_words)


class Photoresponse(Curve):
    """|response| against frequency, over that at a reference frequency, at one bias and wavelength, into a load."""

    kind: ClassVar[str] = "photoresponse"
    x_names: ClassVar[tuple[str, ...]] = ("frequency_Hz",)
    y_names: ClassVar[tuple[str, ...]] = ("relative_response",)
    reverse_bias_V: Float[Array, ""] = quantity("V", lower=-1000, upper=1000, doc="positive is reverse")
    wavelength_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5, doc="of the modulated light")
    reference_Hz: Float[Array, ""] = quantity("Hz", lower=0, default=1.0, doc="where the response is one")
    load_ohm: Float[Array, ""] = quantity("ohm", lower=0, default=50.0, doc="that the current flows into")

    @property
    def ask(self) -> Ask:
        frequency = np.append(self.columns.x, float(self.reference_Hz))
        voltage = np.full(len(frequency), -float(self.reverse_bias_V))
        return Ask(voltage, frequency, spectrum_nm=np.array([float(self.wavelength_nm)]), load_ohm=float(self.load_ohm))

    def predict(self, answer: Answer) -> Float[Array, " point"]:
        return answer.eqe[:-1, 0] / answer.eqe[-1, 0]

    @property
    def conditions(self) -> str:
        return f"{float(self.reverse_bias_V):g} V reverse, {float(self.wavelength_nm):g} nm"


SAME_TIME = 1e-9
"""Times that agree to this part are one."""


class _InTime(Curve):
    """What light does from time zero on."""

    x_names: ClassVar[tuple[str, ...]] = ("time_s",)
    reverse_bias_V: Float[Array, ""] = quantity("V", lower=-1000, upper=1000, doc="positive is reverse")
    wavelength_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5, doc="of the pulse or pump")

    def check(self) -> None:
        super().check()
        if (first := float(self.columns.x[0])) <= 0:
            raise InputError(f"{self.columns.x_name}={first:g}: must be above 0, when the light comes")

    def _ask(self, excitation: Excitation, also_s: Float[Array, ""] | None, load_ohm: Float[Array, ""]) -> Ask:
        times = self.columns.x
        if also_s is not None and not np.isclose(times, float(also_s), rtol=SAME_TIME, atol=0).any():
            times = np.union1d(times, float(also_s))
        voltage, wavelength = np.array([-float(self.reverse_bias_V)]), float(self.wavelength_nm)
        return Ask(voltage, None, wavelength, load_ohm=float(load_ohm), excitation=excitation, time_s=times)

    def _at(self, values: Float[Array, " time"], time_s: Float[np.ndarray, "*point"] | float) -> Float[Array, "*point"]:
        """Of an answer in time, what belongs to some of its times."""
        return values[np.argmin(np.abs(np.subtract.outer(np.asarray(self.ask.time_s), time_s)), axis=0)]

    @property
    def conditions(self) -> str:
        return f"{float(self.reverse_bias_V):g} V reverse, {float(self.wavelength_nm):g} nm"


class LightPulse(_InTime):
    """Current of a square pulse of light, or of light that stays on."""

    kind: ClassVar[str] = "light_pulse"
    y_names: ClassVar[tuple[str, ...]] = (DENSITY, CURRENT, "relative_change")
    irradiance_W_per_cm2: Float[Array, ""] = quantity(
        "W/cm2", lower=0, open_lower=True, doc="power per area outside the device"
    )
    length_s: Float[Array, ""] | None = quantity(
        "s", lower=0, open_lower=True, default=None, doc="null: light stays on"
    )
    load_ohm: Float[Array, ""] = quantity("ohm", lower=0, default=50.0, doc="that the current flows into")

    def check(self) -> None:
        super().check()
        if self.columns.y_name == "relative_change" and self.length_s is None:
            raise InputError("length_s is missing: relative_change is 1 at the end of the pulse")

    @property
    def ask(self) -> Ask:
        shape = Square() if self.length_s is None else Square(0.0, self.length_s)
        light = Excitation(self.wavelength_nm, irradiance_W_per_cm2=self.irradiance_W_per_cm2, shape=shape)
        return self._ask(light, self.length_s, self.load_ohm)

    def predict(self, answer: Answer) -> Float[Array, " point"]:
        assert answer.response is not None
        current, before = answer.response.transient.current_A, answer.response.rest_A
        measured = self._at(current, self.columns.x)
        if self.columns.y_name == "relative_change" and self.length_s is not None:
            return (measured - before) / (self._at(current, float(self.length_s)) - before)
        return measured / (answer.area_cm2 if self.columns.y_name == DENSITY else 1.0)


class TransientAbsorption(_InTime):
    """Bleach of the exciton or of the host after a pump shorter than everything else."""

    kind: ClassVar[str] = "transient_absorption"
    y_names: ClassVar[tuple[str, ...]] = (
        *("exciton_bleach", "host_bleach_cm3", "relative_exciton_bleach", "relative_host_bleach"),
    )
    fluence_J_per_cm2: Float[Array, ""] = quantity("J/cm2", lower=0, open_lower=True, upper=1, doc="of the pulse")
    reference_s: Float[Array, ""] | None = quantity(
        "s", lower=0, open_lower=True, default=None, doc="when a relative bleach is one; null: at the first point"
    )
    load_ohm: Float[Array, ""] = quantity("ohm", lower=0, default=0.0, doc="that the current flows into")

    def check(self) -> None:
        super().check()
        reference, name = self.reference_s, self.columns.y_name
        if reference is not None and not name.startswith("relative"):
            raise InputError(f"reference_s={float(reference):g}: must be null for {name}, which is not relative")

    @property
    def ask(self) -> Ask:
        return self._ask(Excitation(self.wavelength_nm, self.fluence_J_per_cm2), self.reference_s, self.load_ohm)

    def predict(self, answer: Answer) -> Float[Array, " point"]:
        assert answer.response is not None
        name = self.columns.y_name
        bleach = answer.response.dots if "exciton" in name else answer.response.host_cm3
        measured = self._at(bleach, self.columns.x)
        if not name.startswith("relative"):
            return measured
        return measured / (measured[0] if self.reference_s is None else self._at(bleach, float(self.reference_s)))


class Dataset(eqx.Module):
    """Curves of one sample or of several, by name."""

    curves: dict[str, Curve]
    devices: dict[str, dict[str, Any]] = eqx.field(
        default_factory=dict, metadata=dict(doc="further samples: the keys of `device` that differ, as in its YAML")
    )
    source: str = setting(default="", doc="where the data come from")

    def check(self) -> None:
        if not self.curves:
            raise InputError("curves: there are none; name at least one")
        for name, curve in self.curves.items():
            if curve.device is not None and curve.device not in self.devices:
                there = f"must be one of {', '.join(self.devices)}" if self.devices else "there are no devices here"
                raise InputError(f"curves.{name}.device={curve.device}: {there}; without it the curve is `device`'s")
        if unused := set(self.devices) - {curve.device for curve in self.curves.values()}:
            raise InputError(f"devices.{min(unused)}: no curve says device: {min(unused)}")

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.curves)
