"""The settings of the jobs, read from the packaged configuration with a small device of our own."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from invdesign import InputError, load_device, load_settings, presets
from invdesign.config import compose, load_preset, parse
from invdesign.jobs.settings import SETTINGS, FrequencyGrid, OptimizeSettings, VoltageGrid, WavelengthGrid
from invdesign.schema import describe, find, read, write

DEVICE = """
name: diode
order: [p, n]
anode: left
layers:
  p: {thickness_nm: 500, material: &silicon {kind: semiconductor, electron_affinity_eV: 4.05, band_gap_eV: 1.12,
      relative_permittivity: 11.7, conduction_dos_cm3: 2.8e19, valence_dos_cm3: 1.04e19, acceptor_density_cm3: 1e17,
      electron_mobility_cm2_per_Vs: 1000, hole_mobility_cm2_per_Vs: 400, optical: {kind: constant, n: 3.5, k: 0.001},
      recombination: {electron_lifetime_s: 1e-7, hole_lifetime_s: 1e-7}}}
  n: {thickness_nm: 2000, material: {<<: *silicon, acceptor_density_cm3: 0, donor_density_cm3: 1e16}}
contacts: {left: {kind: ohmic}, right: {kind: ohmic}}
"""


@pytest.fixture
def diode(tmp_path):
    """Overrides that put the diode, and two variables of it, into the configuration of `optimize`."""
    (tmp_path / "diode.yaml").write_text(DEVICE)
    unfit = ("dot_diameter", "bromide_fraction", "dot_fraction", "TiO2_thickness", "QDiP_thickness", "spiro_thickness")
    return [
        f"device={tmp_path}/diode.yaml",
        *(f"~design.{name}" for name in unfit),
        "design.width={path: device.layers.n.thickness_nm, lower_nm: 100, upper_nm: 4000}",
        "design.doping={path: device.layers.n.material.donor_density_cm3, lower_cm3: 1e14, upper_cm3: 1e17}",
    ]


def test_the_documented_example(diode):
    settings = load_settings(
        "optimize",
        *diode,
        "optimizer=lbfgs",
        "design.reverse_bias.upper_V=5",
        "objective.wavelength_nm=1300",
        "constraints.bandwidth.min_Hz=1e5",
        "design.doping.frozen=true",
    )
    assert settings.optimizer.optimizer == "lbfgs" and settings.objective.wavelength_nm == 1300.0
    assert settings.design["reverse_bias"].upper == 5.0 and settings.constraints.bandwidth.min_Hz == 1e5
    assert settings.design["doping"].frozen and not settings.design["width"].frozen
    assert settings.constraints.bromide.enabled and settings.constraints.bromide.max == 0.2
    assert not settings.constraints.gain.enabled


@pytest.mark.parametrize("device", presets.files("device"))
@pytest.mark.parametrize("job", ["simulate", "validate"])
def test_every_packaged_device_is_read(job, device):
    assert load_settings(job, f"device={device}").device.name == device


PRESETS = [(group, name) for group in ("device", "material", "optical") for name in presets.files(group)]


@pytest.mark.parametrize(("group", "name"), PRESETS)
def test_what_is_listed_is_what_is_composed(group, name):
    """`presets` reads without Hydra what Hydra composes for a job."""
    preset = presets.load(group, name)
    assert preset.data == compose(parse("simulate", [f"+{group}@preset={name}"]))[0]["preset"]
    for place, choice in preset.chosen.items():
        part = preset.data
        for key in place.split("."):
            part = part[key]
        assert part["kind"] == presets.load(place.rpartition(".")[2].replace("host", "material"), choice).data["kind"]


@pytest.mark.parametrize(("group", "name"), PRESETS)
def test_every_preset_says_what_it_is_and_where_it_comes_from(group, name):
    comment = presets.comment(presets.files(group)[name])
    data = presets.load(group, name).data
    optical = data.get("host", data).get("optical", data)
    assert comment.text
    assert comment.source if group == "device" else data.get("source") or optical["source"]
    if group != "device":
        kind = load_preset(group, name)
        assert optical.get("range_nm") or optical["file"], kind


@pytest.mark.parametrize("device", presets.files("device"))
def test_the_design_variables_of_every_packaged_device_start_inside_their_bounds(device):
    settings = load_settings("optimize", f"device={device}")
    assert list(settings.design) == list(presets.load("design", device).data)
    for variable in settings.design.values():
        assert variable.lower <= find(settings, variable.path)[0] <= variable.upper


def test_the_design_goes_with_the_device_and_can_be_chosen(tmp_path):
    """By name; by the name in a device file, as that of a saved optimum; by `design=`; else that of the default one."""
    saved, mine, variables = tmp_path / "optimum.yaml", tmp_path / "mine.yaml", tmp_path / "variables.yaml"
    saved.write_text("defaults: [silicon_pn, _self_]\nname: silicon_pn\n")
    mine.write_text("defaults: [silicon_pn, _self_]\nname: mine\n")
    variables.write_text("width: {path: device.layers.n.thickness_nm, lower_nm: 1000, upper_nm: 5000}\n")
    silicon = ["p_thickness", "n_thickness", "p_doping", "n_doping", "reverse_bias"]
    changed = load_settings("optimize", "device=silicon_pn", "~design.p_doping", "design.reverse_bias.upper_V=5")
    assert list(changed.design) == [name for name in silicon if name != "p_doping"]
    assert changed.design["reverse_bias"].upper == 5.0
    assert list(load_settings("optimize", f"device={saved}").design) == silicon
    assert list(load_settings("optimize", f"device={mine}", "design=silicon_pn").design) == silicon
    assert list(load_settings("optimize", f"device={mine}", f"design={variables}").design) == ["width"]
    with pytest.raises(InputError, match=r"QDiP is not a known key.*the designs are cqd_only, .* silicon_pn: choose"):
        load_settings("optimize", f"device={mine}")
    own = tmp_path / "own"
    (own / "device").mkdir(parents=True)
    (own / "device" / "mine.yaml").write_text("defaults: [qdip_photodiode, _self_]\nname: mine\n")
    settings = load_settings("optimize", "device=mine", config_dir=own)
    assert list(settings.design) == list(load_settings("optimize").design)
    (own / "design").mkdir()
    (own / "design" / "mine.yaml").write_text(
        "film: {path: device.layers.QDiP.thickness_nm, lower_nm: 100, upper_nm: 500}"
    )
    assert list(load_settings("optimize", "device=mine", config_dir=own).design) == ["film"]


def test_the_wavelength_of_the_objective_is_that_of_the_device_unless_another_is_given(diode):
    for job in ("simulate", "validate", "optimize"):
        for device, expected in (("qdip_photodiode", 1240.0), ("silicon_pn", 850.0), ("perovskite_only", 650.0)):
            settings = load_settings(job, f"device={device}", "objective=responsivity")
            assert settings.objective.wavelength_nm == expected == settings.device.design_wavelength_nm
    assert load_settings("simulate", "device=silicon_pn", "objective.wavelength_nm=700").objective.wavelength_nm == 700
    assert load_settings("simulate", diode[0], "device.design_wavelength_nm=500").objective.wavelength_nm == 500
    assert load_settings("simulate", diode[0]).objective.wavelength_nm == 1240.0


def test_settings_survive_a_round_through_yaml(diode):
    settings = load_settings("optimize", *diode, "design.width.tied_to=reverse_bias")
    data = write(settings)
    assert data["design"]["doping"]["lower_cm3"] == 1e14
    assert write(read(OptimizeSettings, data)) == data


@pytest.mark.parametrize("objective", ["detectivity", "band_detectivity", "responsivity"])
def test_every_objective_has_a_wavelength_and_a_frequency(diode, objective):
    settings = load_settings("optimize", *diode, f"objective={objective}")
    assert 1000 < settings.objective.wavelength_nm < 1300 and settings.objective.frequency_Hz == 1e3


BAD = {
    "unknown optimiser": ("optimizer=adamm", "optimizer=adamm: there is no such optimizer; there are adam, lbfgs, sgd"),
    "no starts": ("optimizer.starts=0", r"optimizer\.starts"),
    "variable of the job": ("design.load={path: load_ohm, lower_ohm: 1, upper_ohm: 2}", "load_ohm is not a known key"),
    "variable of nothing": ("design.width.path=device.layers.m.thickness_nm", "m is not a known key"),
    "variable of a group": ("design.reverse_bias.path=device.layers", "lower_V is not a known key; the bounds"),
    "wrong unit": ("design.width.lower_cm=1", r"design\.width: lower_cm is not a known key; the bounds"),
    "lower above upper": ("design.width.lower_nm=5000", r"design\.width: lower_nm=5000 is above upper_nm=4000"),
    "bound out of range": ("design.width.lower_nm=-1", r"design\.width\.lower_nm=-1: device\.layers\.n\.thickness_nm"),
    "nan bound": ("design.width.upper_nm=nan", r"design\.width\.upper_nm=nan: must be a finite number"),
    "tied to nothing": ("design.width.tied_to=height", r"design\.width\.tied_to=height: must be one of"),
    "tied to itself": ("design.width.tied_to=width", r"design\.width\.tied_to=width: must be one of"),
    "unknown constraint": ("constraints.bandwith.min_Hz=1", r"constraints\.bandwith is not a known key; did you mean"),
    "negative limit": ("constraints.bandwidth.min_Hz=-1", r"constraints\.bandwidth\.min_Hz=-1: must be a finite"),
    "layer of a constraint": ("constraints.absorptance={enabled: true, layer: x}", "layer=x: must be one of p, n"),
    "no wavelength": ("objective.wavelength_nm=0", r"objective\.wavelength_nm=0: must be a finite number in nm >= 100"),
    "negative bias": ("reverse_bias_V=-1", r"reverse_bias_V=-1: must be a finite number in V >= 0"),
    "negative thickness": ("device.layers.p.thickness_nm=-5", r"device\.layers\.p\.thickness_nm=-5: must be a finite"),
    "empty order": ("device.order=[]", "order"),
    "contact of no kind": ("device.contacts.right.kind=metal", r"right\.kind=metal: must be one of ohmic, schottky"),
    "metal outside the gap": (
        "device.contacts.right={kind: schottky, work_function_eV: 3.9, injection: {}}",
        r"contacts\.right\.work_function_eV=3\.9: must lie in the gap of layer 'n', 4\.05 to 5\.17 eV",
    ),
    "no mass": (
        "device.contacts.right={kind: schottky, work_function_eV: 4.3, injection: {tunnelling_mass: 0}}",
        r"contacts\.right\.injection\.tunnelling_mass=0: must be a finite number in m0 > 0",
    ),
    "image in less than vacuum": (
        "device.contacts.right={kind: schottky, work_function_eV: 4.3, injection: {image_permittivity: 0.5}}",
        r"injection\.image_permittivity=0\.5: must be a finite number >= 1",
    ),
    "traps of no depth": (
        "device.contacts.right={kind: schottky, work_function_eV: 4.3, injection: {traps: {density_cm3: 1, depth_eV: 0}}}",  # noqa: E501
        r"injection\.traps\.depth_eV=0: must be a finite number in eV > 0",
    ),
    "leakage at no face": (
        "device.layers.n.leakage={prefactor_A_per_V2: 1e-16, critical_field_V_per_cm: 1e7, face: top}",
        r"layers\.n\.leakage\.face=top: must be one of left, right",
    ),
    "injection of an ohmic contact": ("device.contacts.right.injection={}", "injection is not a known key of kind oh"),
    "key of another kind": ("device.layers.p.material.optical.kind=table", r"n is not a known key of kind table"),
    "cache": ("compile_cache=maybe", "compile_cache=maybe: must be true or false"),
}  # fmt: skip


@pytest.mark.parametrize(("override", "message"), BAD.values(), ids=BAD.keys())
def test_bad_settings_are_explained(diode, override, message):
    with pytest.raises(InputError, match=message) as caught:
        load_settings("optimize", *diode, override)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_named(tmp_path):
    text = re.sub(r"optical: {[^}]*}", "optical: {kind: table, file: no.csv}", DEVICE)
    (tmp_path / "diode.yaml").write_text(text)
    with pytest.raises(InputError, match=r"no\.csv"):
        load_device(tmp_path / "diode.yaml")


def test_a_table_beside_the_device_file_is_found(tmp_path):
    (tmp_path / "my.csv").write_text("wavelength_nm,n,k\n300,2,0\n800,2,0\n2000,2,0\n")
    text = re.sub(r"optical: {[^}]*}", "optical: {kind: table, file: my.csv}", DEVICE)
    (tmp_path / "diode.yaml").write_text(text)
    material = load_device(tmp_path / "diode.yaml").layers["p"].material
    assert np.allclose(material.permittivity(jnp.array([500.0])), 4.0)


def test_at_least_one_variable_is_free(diode):
    frozen = [f"design.{name}.frozen=true" for name in ("width", "doping", "reverse_bias")]
    with pytest.raises(InputError, match="leave at least one free"):
        load_settings("optimize", *diode, *frozen)


def test_grids_begin_and_end_where_they_say():
    """0.1 has no exact binary form, so that a sum of steps can end short of 1 by one step: the end must be there."""
    assert np.allclose(read(VoltageGrid, {"start_V": 0, "stop_V": 1, "step_V": 0.1}).values, np.arange(11) / 10)
    assert read(WavelengthGrid, {"start_nm": 300, "stop_nm": 305, "step_nm": 2}).values.tolist() == [300, 302, 304]
    assert np.allclose(
        read(FrequencyGrid, {"start_Hz": 1, "stop_Hz": 1000, "points_per_decade": 1}).values, [1, 10, 100, 1000]
    )
    with pytest.raises(InputError, match=re.escape("start_nm=400 is above stop_nm=300")):
        read(WavelengthGrid, {"start_nm": 400, "stop_nm": 300, "step_nm": 1})


def test_a_device_in_one_line(tmp_path):
    (tmp_path / "diode.yaml").write_text(DEVICE)
    device = load_device(tmp_path / "diode.yaml", "layers.p.thickness_nm=300")
    assert device.layers["p"].thickness_nm == 300.0 and device.name == "diode"


@pytest.mark.parametrize("job", SETTINGS)
def test_every_key_of_every_job_says_what_it_means(job):
    rows = [row for row in describe(SETTINGS[job]) if not row.allowed.startswith("as ")]
    assert rows and not [row.path for row in rows if not row.doc]
