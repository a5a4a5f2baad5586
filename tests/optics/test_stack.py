"""Light in layered media: closed forms, an independent solver, conservation, reciprocity, gradients.

Geometry of all tests: plane waves at normal incidence from the first layer, half spaces of real index on both sides.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invdesign.optics import stack

solve = jax.jit(stack.solve, static_argnums=2)
tmm = pytest.importorskip("tmm")

WAVELENGTHS = (400.0, 650.0, 777.0, 1240.0)
# glass / FTO / TiO2 / QDiP / spiro / Au, with round indices
PHOTODIODE = np.array([1.52, 1.8 + 0.05j, 2.4, 2.5 + 0.1j, 1.6, 0.3 + 7j])
THICKNESS = np.array([2.2e6, 330.0, 50.0, 250.0, 50.0, 80.0])
GLASS_FIRST = (False, True, True, True, True, True)


def spectrum(n):
    return jnp.asarray(n, complex)[:, None] ** 2 * jnp.ones(len(WAVELENGTHS), complex)


def photodiode(thickness=THICKNESS, eps=None, wavelengths=WAVELENGTHS):
    eps = spectrum(PHOTODIODE) if eps is None else eps
    return solve(eps, jnp.asarray(thickness), GLASS_FIRST, jnp.asarray(wavelengths))


def random_stack(rng, coherent):
    """Random indices (k from 1e-6 to 3, or none); thin coherent layers, incoherent ones of up to 1 mm."""
    shape = (len(coherent), len(WAVELENGTHS))
    k = 10 ** rng.uniform(-6, 0.5, shape) * (rng.random((len(coherent), 1)) < 0.8)
    n = rng.uniform(0.2, 4, shape) + 1j * k
    thickness = np.where(coherent, rng.uniform(5, 600, len(coherent)), 10 ** rng.uniform(3, 6, len(coherent)))
    return n, thickness


def tmm_stack(n, thickness, coherent, wavelength, n_out):
    flags = ["i", *("c" if flag else "i" for flag in coherent), "i"]
    return tmm.inc_tmm("s", [1.0, *n, n_out], [np.inf, *thickness, np.inf], flags, 0, wavelength)


@pytest.mark.parametrize("flags", ["cccc", "iccc", "cicciic"])
def test_agrees_with_tmm_and_conserves_energy(flags):
    """R, T, every A of random stacks are those of tmm, whose matrix products leave 1e-12; R + T + A = 1 and the
    intervals of every layer add up to the layer, which are identities: round-off only."""
    coherent = tuple(flag == "c" for flag in flags)
    rng = np.random.default_rng(len(flags))
    for _ in range(10):
        n, thickness = random_stack(rng, coherent)
        ours = solve(jnp.asarray(n**2), jnp.asarray(thickness), coherent, jnp.asarray(WAVELENGTHS), 1.0, 1.5)
        for i, wavelength in enumerate(WAVELENGTHS):
            theirs = tmm_stack(n[:, i], thickness, coherent, wavelength, 1.5)
            assert float(ours.reflectance[i]) == pytest.approx(theirs["R"], abs=1e-12)
            assert float(ours.transmittance[i]) == pytest.approx(theirs["T"], abs=1e-12)
            absorptance = np.array(tmm.inc_absorp_in_each_layer(theirs))[1:-1]
            np.testing.assert_allclose(ours.absorptance[:, i], absorptance, rtol=0, atol=1e-12)
        total = ours.reflectance + ours.transmittance + ours.absorptance.sum(0)
        np.testing.assert_allclose(total, 1, rtol=0, atol=5e-15)
        for layer, depth in enumerate(thickness):
            parts = ours.absorbed_between(layer, depth * jnp.linspace(0, 1, 40) ** 2)
            np.testing.assert_allclose(parts.sum(0), ours.absorptance[layer], rtol=0, atol=5e-15)


def test_absorption_profile_agrees_with_tmm():
    """tmm's absorption density, integrated over each interval by Simpson's rule (good to 1e-8 here), is ours."""
    edges = np.linspace(0, THICKNESS[3], 401)
    ours = photodiode().absorbed_between(3, jnp.asarray(edges))
    middle, width = (edges[:-1] + edges[1:]) / 2, edges[1]
    for i, wavelength in enumerate(WAVELENGTHS):
        profile = tmm.inc_find_absorp_analytic_fn(4, tmm_stack(PHOTODIODE, THICKNESS, GLASS_FIRST, wavelength, 1.0))
        ends, density = (np.array([profile.run(x).real for x in places]) for places in (edges, middle))
        theirs = (ends[:-1] + 4 * density + ends[1:]) * width / 6
        np.testing.assert_allclose(ours[:, i], theirs, rtol=0, atol=1e-7 * theirs.max())


def test_one_slab_is_airy_s_formula():
    """A slab in air: t = (1 - r^2) e / (1 - r^2 e^2), r = (1 - n)/(1 + n), e = exp(i k d); round-off."""
    n, d = 3.5 + 0.02j, 180.0
    wavelengths = np.array(WAVELENGTHS)
    r, e = (1 - n) / (1 + n), np.exp(2j * np.pi * n * d / wavelengths)
    optics = solve(spectrum([n]), jnp.array([d]), (True,), jnp.asarray(wavelengths))
    np.testing.assert_allclose(optics.transmittance, abs((1 - r**2) * e / (1 - r**2 * e**2)) ** 2, rtol=1e-13)
    np.testing.assert_allclose(optics.reflectance, abs(r * (1 - e**2) / (1 - r**2 * e**2)) ** 2, rtol=1e-13)


def test_thick_glass_adds_intensities():
    """An incoherent loss-free pane: T = (1 - R)/(1 + R), R of one face, whatever its thickness; round-off."""
    face = (0.52 / 2.52) ** 2
    optics = solve(spectrum([1.52]), jnp.array([2.2e6]), (False,), jnp.asarray(WAVELENGTHS))
    np.testing.assert_allclose(optics.transmittance, (1 - face) / (1 + face), rtol=1e-14)


def test_transmission_is_reciprocal():
    """T of a stack is the same from both sides, absorbing or not; R is not. Round-off."""
    n, thickness, coherent = PHOTODIODE, THICKNESS * np.array([1, 1, 1, 1, 1, 0.2]), GLASS_FIRST
    there = solve(spectrum(n), jnp.asarray(thickness), coherent, jnp.asarray(WAVELENGTHS), 1.0, 1.5)
    back = solve(spectrum(n[::-1]), jnp.asarray(thickness[::-1]), coherent[::-1], jnp.asarray(WAVELENGTHS), 1.5, 1.0)
    np.testing.assert_allclose(there.transmittance, back.transmittance, rtol=1e-12)
    assert np.abs(there.reflectance - back.reflectance).min() > 0.01


def test_weak_absorption_keeps_its_digits():
    """k = 1e-14 in the dots' layer absorbs a hundredth of k = 1e-12; the plain difference of fluxes would be noise."""
    eps = spectrum(PHOTODIODE.real.astype(complex))
    weak, weaker = (
        photodiode(eps=eps.at[3].set((2.5 + 1j * k) ** 2)).absorbed_between(3, jnp.linspace(0, 250.0, 100))
        for k in (1e-12, 1e-14)
    )
    assert (weaker > 0).all()
    np.testing.assert_allclose(100 * weaker, weak, rtol=1e-9)


def test_thickness_gradient():
    """d/d thickness of R, every A and a profile against central differences; steps of 1e-6 d leave 1e-8."""
    weights = jnp.arange(1.0, 7.0)[:, None]

    @jax.jit
    def figure(thickness):
        optics = photodiode(thickness)
        profile = optics.absorbed_between(3, jnp.linspace(0, 1, 5) * thickness[3])
        return jnp.sum(optics.reflectance + (weights * optics.absorptance).sum(0) + 3 * profile[1])

    gradient = jax.jit(jax.grad(figure))(jnp.asarray(THICKNESS))
    for layer, step in enumerate(1e-6 * THICKNESS):
        change = step * jnp.eye(6)[layer]
        difference = (figure(THICKNESS + change) - figure(THICKNESS - change)) / (2 * step)
        assert float(gradient[layer]) == pytest.approx(float(difference), rel=1e-5, abs=1e-7)


def test_index_gradient():
    """d/dn and d/dk of every layer, reverse mode against central differences; eps^(1/3) steps leave 1e-8."""

    @jax.jit
    def figure(parts):
        optics = photodiode(eps=spectrum(jax.lax.complex(parts[0], parts[1])))
        return jnp.sum(optics.absorptance[3]) + 0.3 * jnp.sum(optics.reflectance)

    parts = jnp.stack([PHOTODIODE.real, PHOTODIODE.imag + 1e-3])
    gradient = jax.jit(jax.grad(figure))(parts)
    for index in np.ndindex(2, 6):
        step = jnp.zeros_like(parts).at[index].set(1e-6)
        difference = (figure(parts + step) - figure(parts - step)) / 2e-6
        # glass of 2.2 mm: k = 1e-3 makes it opaque, so its own derivative is tiny
        assert float(gradient[index]) == pytest.approx(float(difference), rel=1e-6, abs=1e-8)


def test_thick_absorber_has_the_right_gradient():
    """n = 2 + i, 100 um: no light reaches its back, so dR/dd = 0 and R is Fresnel's; d/dn of R is Fresnel's, too."""

    @jax.jit
    def reflectance(n, d):
        eps = jnp.stack([jnp.full(1, n + 1j) ** 2, jnp.full(1, 4 + 0j)])
        return solve(eps, jnp.array([d, 100.0]), (True, True), jnp.array([500.0])).reflectance[0]

    def fresnel(n):
        return ((1 - n) ** 2 + 1) / ((1 + n) ** 2 + 1)

    for d in (1e5, 1e9):
        assert float(reflectance(2.0, d)) == pytest.approx(fresnel(2.0), rel=1e-14)
        in_n, in_d = jax.jit(jax.grad(reflectance, (0, 1)))(2.0, d)
        assert float(in_n) == pytest.approx(0.08, rel=1e-12)  # of ((1-n)^2 + 1)/((1+n)^2 + 1) at 2
        assert in_d == 0


def test_zero_thickness_is_no_layer():
    """A layer of no thickness changes nothing and has a finite derivative."""
    thin = photodiode(np.where(np.arange(6) == 2, 0.0, THICKNESS))
    keep = np.arange(6) != 2
    without = solve(spectrum(PHOTODIODE[keep]), jnp.asarray(THICKNESS[keep]), GLASS_FIRST[:5], jnp.asarray(WAVELENGTHS))
    np.testing.assert_allclose(thin.reflectance, without.reflectance, rtol=1e-12)
    assert np.isfinite(jax.jit(jax.grad(lambda t: photodiode(t).reflectance.sum()))(jnp.zeros(6))).all()


def test_vmap_and_jit_agree_with_a_loop():
    """A batch of thicknesses is the same as one at a time; compilation may reorder sums, hence round-off."""
    batch = jnp.asarray(THICKNESS) * jnp.linspace(0.8, 1.2, 3)[:, None]
    together = jax.jit(jax.vmap(lambda t: photodiode(t).absorptance))(batch)
    for one, thickness in zip(together, batch, strict=True):
        np.testing.assert_allclose(one, photodiode(thickness).absorptance, rtol=0, atol=1e-13)


def test_numbers_of_layers_must_agree():
    with pytest.raises(ValueError, match="2 coherence flags, 1 permittivities"):
        stack.solve(spectrum([1.5]), jnp.array([10.0]), (True, True), jnp.asarray(WAVELENGTHS))
