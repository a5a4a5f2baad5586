"""Measured columns: units, and one sentence for everything that can be wrong with them."""

import numpy as np
import pytest

from invdesign.datasets.table import interpret, read_file, spellings, split_unit
from invdesign.errors import InputError

X, Y = ("voltage_V",), ("current_density_A_per_cm2", "current_A")


def test_a_unit_stands_at_the_end_of_a_name():
    assert split_unit("current_density_A_per_cm2") == ("current_density", "A_per_cm2")
    assert split_unit("noise_A_per_rtHz") == ("noise", "A_per_rtHz")
    assert split_unit("eqe") == ("eqe", "")


def test_other_units_are_converted():
    table = {"voltage_mV": [-500, 0, 500], "current_density_mA_per_cm2": [-1, 0.5, 2], "sigma_mA_per_cm2": [1, 2, 3]}
    columns = interpret(table, X, Y)
    assert (columns.x_name, columns.y_name) == ("voltage_V", "current_density_A_per_cm2")
    np.testing.assert_allclose(columns.x, [-0.5, 0, 0.5])
    np.testing.assert_allclose(columns.y, [-1e-3, 5e-4, 2e-3])
    np.testing.assert_allclose(columns.sigma, [1e-3, 2e-3, 3e-3])
    assert interpret({"voltage_V": [1], "current_nA": [2]}, X, Y).y == pytest.approx(2e-9)
    percent = interpret(
        {"wavelength_um": [0.5], "eqe_percent": [20], "sigma_percent": [1]}, ("wavelength_nm",), ("eqe",)
    )
    assert (percent.x[0], percent.y[0], percent.sigma[0]) == pytest.approx((500, 0.2, 0.01))


def test_a_name_wins_over_the_spelling_of_another():
    known = spellings(["noise_A_per_rtHz", "noise_pA_per_rtHz"])
    assert known["noise_pA_per_rtHz"] == ("noise_pA_per_rtHz", 1.0)
    assert known["noise_fA_per_rtHz"] == ("noise_A_per_rtHz", 1e-15)


WRONG = {
    "unit": ({"voltage_V": [1], "current_density_A_per_m": [1]}, "the unit of this column must be one of those in"),
    "no unit": (
        {"voltage": [1], "current_A": [1]},
        "voltage: the unit of this column must be one of those in voltage_V",
    ),
    "unknown": ({"voltage_V": [1], "curent_A": [1]}, "did you mean current_A?"),
    "one column": ({"voltage_V": [1]}, "there must be two"),
    "four": ({"voltage_V": [1], "current_A": [1], "sigma_A": [1], "more": [1]}, "there must be two"),
    "lengths": ({"voltage_V": [1, 2], "current_A": [1]}, "must have the same number of rows"),
    "empty": ({"voltage_V": [], "current_A": []}, "at least one"),
    "nan": ({"voltage_V": [1, 2], "current_A": [1, float("nan")]}, "current_A: row 2 is nan; leave rows"),
    "duplicate": ({"voltage_V": [1, 1], "current_A": [1, 2]}, "voltage_V: must ascend, but 1 comes twice"),
    "unsorted": ({"voltage_V": [2, 1], "current_A": [1, 2]}, "must ascend, but 2 is followed by 1; sort the rows"),
    "sigma": ({"voltage_V": [1], "current_mA": [1], "sigma_A": [1]}, "the third column must be sigma_mA"),
    "negative": ({"voltage_V": [1], "current_A": [1], "sigma_A": [-1]}, "sigma_A: must not be negative"),
}


@pytest.mark.parametrize(("table", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_in_one_sentence(table, message):
    with pytest.raises(InputError) as error:
        interpret(table, X, Y)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_have_comments_and_one_header(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("# measured on a Monday\n\nvoltage_V, current_A\n0,1e-9\n# a pause\n1,2e-9\n")
    assert read_file(str(path)) == {"voltage_V": (0.0, 1.0), "current_A": (1e-9, 2e-9)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("voltage_V,voltage_V\n1,2\n", "must have names, each its own"),
        ("voltage_V;current_A\n-0,5;1e-9\n", "'voltage_V;current_A' has no commas"),
        ("voltage_V,current_A\n1\n", "line 2, '1', must hold 2 numbers"),
        ("voltage_V,current_A\n1,\n", "line 2, '1,', must hold 2 numbers"),
        ("voltage_V,current_A\n1,x\n", "line 2, '1,x', must hold 2 numbers"),
    ],
)
def test_damaged_files(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"file=.*a\.csv: ") as error:
        read_file(str(path))
    assert message in str(error.value)


def test_a_missing_file():
    with pytest.raises(InputError, match=r"file=nowhere\.csv: there is no such file"):
        read_file("nowhere.csv")
