"""Parameters: scales, units of bounds, ties, priors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from invdesign.errors import InputError
from invdesign.fitting.parameters import Parameter, Space
from invdesign.schema import quantity, read, write


class Part(eqx.Module):
    lifetime_s: Float[Array, ""] = quantity("s", lower=0, default=1e-7)
    width_nm: Float[Array, ""] = quantity("nm", lower=0, default=100.0)
    depth_nm: Float[Array, ""] = quantity("nm", lower=0, default=50.0)


LIFETIME = {"path": "lifetime_s", "lower_s": 1e-9, "upper_s": 1e-5, "log": True}
WIDTH = {"path": "width_nm", "lower_nm": 50, "upper_nm": 250}


def space(**parameters):
    return Space(Part(), {name: read(Parameter, each, name) for name, each in parameters.items()}, tuple(parameters))


def test_the_box_is_linear_or_logarithmic():
    both = space(lifetime=LIFETIME, width=WIDTH)
    np.testing.assert_allclose(both.baseline, [0.5, 0.25], rtol=1e-12)
    part = both.at(jnp.array([0.75, 0.5]))
    assert float(part.lifetime_s) == pytest.approx(1e-6) and float(part.width_nm) == pytest.approx(150)
    slope = jax.grad(lambda z: both.at(z).lifetime_s)(jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(slope, [1e-7 * np.log(1e4), 0], rtol=1e-12)


def test_frozen_and_tied_parameters():
    tied = space(
        width=WIDTH,
        depth={"path": "depth_nm", "lower_nm": 1, "upper_nm": 500, "tied_to": "width"},
        lifetime=LIFETIME | {"frozen": True},
    )
    assert tied.names == ("width",)
    part = tied.at(jnp.array([0.75]))
    assert (float(part.width_nm), float(part.depth_nm), float(part.lifetime_s)) == pytest.approx((200, 100, 1e-7))


def test_priors_are_residuals_in_standard_deviations():
    both = space(
        lifetime=LIFETIME | {"prior": {"mean_s": 1e-6, "sigma_decades": 0.5}},
        width=WIDTH | {"prior": {"mean_nm": 90, "sigma_nm": 5}},
    )
    np.testing.assert_allclose(both.prior_residuals(jnp.asarray(both.baseline)), [-2, 2], rtol=1e-9)
    assert space(width=WIDTH).prior_residuals(jnp.zeros(1)).shape == (0,)


def test_parameters_are_written_as_they_are_read():
    for mapping in (LIFETIME | {"prior": {"mean_s": 1e-6, "sigma_decades": 0.5}}, WIDTH):
        parameter = read(Parameter, mapping)
        assert write(read(Parameter, write(parameter))) == write(parameter)
        assert {key: write(parameter)[key] for key in mapping} == mapping


WRONG = {
    "no unit": ({"path": "width_nm", "lower": 1, "upper_nm": 2}, "lower is not a known key; the bounds are lower_nm"),
    "missing": ({"path": "width_nm", "lower_nm": 1}, "upper_nm is missing"),
    "order": (WIDTH | {"upper_nm": 10}, "upper_nm"),
    "log of zero": (LIFETIME | {"lower_s": 0}, "lower_s=0: must be positive where log is true"),
    "prior's unit": (LIFETIME | {"prior": {"mean_s": 1e-7, "sigma_s": 1e-8}}, "a prior has mean_s and sigma_decades"),
    "prior's sign": (LIFETIME | {"prior": {"mean_s": -1, "sigma_decades": 1}}, "prior.mean_s=-1: must be positive"),
}


@pytest.mark.parametrize(("mapping", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_parameters(mapping, message):
    with pytest.raises(InputError) as error:
        read(Parameter, mapping, "parameters.a")
    assert message in str(error.value) and "parameters.a" in str(error.value)
