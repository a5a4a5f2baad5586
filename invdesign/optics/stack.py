"""Plane waves at normal incidence in a stack of layers, some of them too thick to interfere.

In a coherent layer of index n = sqrt(eps) and thickness d the field is a wave from each face,

    E(x) = v exp(i k x) + u exp(i k (d - x)),      k = 2 pi n / wavelength,

and both exponentials decay. The reflection seen from each interface follows from the one behind it,

    r_j = (rho + q r_{j+1}) / (1 + rho q r_{j+1}),    q = exp(2 i k d),    rho = (n_j - n_{j+1}) / (n_j + n_{j+1}),

from the back to the front. Nothing in it can grow, so thick absorbers neither overflow nor spoil the derivatives, as a
product of transfer matrices does. Neighbouring coherent layers form a packet; packets are separated by incoherent
layers, in which intensities add instead of fields, and a recursion for intensities joins them. The conventions for
absorbing incoherent layers are those of S. J. Byrnes (doi:10.48550/arXiv.1603.02720).

The power absorbed between two depths is the difference of the Poynting flux, written with expm1 and sin of the
interval: weak absorption keeps its digits, and the intervals of a layer add up to the layer.
"""

from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


class Waves(NamedTuple):
    """The two waves of a layer for unit incident power: intensities over Re(n) of the medium the light came from."""

    forward: Float[Array, "*layer wavelength"]
    """|v|^2, summed over illuminations that do not interfere."""
    backward: Float[Array, "*layer wavelength"]
    """|u|^2."""
    cross: Complex[Array, "*layer wavelength"]
    """v conj(u), what makes them interfere."""


class Optics(eqx.Module):
    """What a stack does with light of unit power that enters through its first layer."""

    reflectance: Float[Array, " wavelength"]
    transmittance: Float[Array, " wavelength"]
    absorptance: Float[Array, "layer wavelength"]
    """Share of the incident photons absorbed in each layer; R + T + the sum of these is 1."""
    _surplus: Float[Array, "layer wavelength"]
    """The part of it that arises at the faces of an incoherent layer (order Im n); spread over the layer's depth."""
    _waves: Waves
    _index: Complex[Array, "layer wavelength"]
    _thickness_nm: Float[Array, " layer"]
    _wavelength_nm: Float[Array, " wavelength"]

    def absorbed_between(self, layer: int, positions_nm: Float[Array, " k"]) -> Float[Array, "k-1 wavelength"]:
        """Share of the incident photons absorbed between neighbouring positions in a layer.

        `positions_nm` ascend and are measured from the face that the light meets first. If they span the layer, the
        shares add up to `absorptance[layer]`.
        """
        waves = Waves(*(part[layer] for part in self._waves))
        thickness = self._thickness_nm[layer]
        depth = jnp.where(thickness > 0, thickness, 1.0)  # a layer of no thickness has no surplus to spread
        spread = jnp.diff(positions_nm)[:, None] / depth * self._surplus[layer]
        k = _wavenumber(self._index[layer], self._wavelength_nm)
        return _absorbed(waves, self._index[layer], k, thickness, positions_nm[:, None]) + spread


def solve(
    eps: Complex[Array, "layer wavelength"],
    thickness_nm: Float[Array, " layer"],
    coherent: tuple[bool, ...],
    wavelength_nm: Float[Array, " wavelength"],
    n_in: float | Float[Array, ""] = 1.0,
    n_out: float | Float[Array, ""] = 1.0,
) -> Optics:
    """Solve Maxwell's equations at normal incidence for light that enters from `n_in` through the first layer.

    `eps` is the relative permittivity (n + ik)^2 with k >= 0; `coherent` (static) says which layers interfere; `n_in`
    and `n_out` are the real indices of the half spaces. Differentiable in eps, thicknesses and wavelengths.

    Raises ValueError if the three do not agree on the number of layers.
    """
    count = len(coherent)
    if eps.shape[0] != count or thickness_nm.shape[0] != count:
        raise ValueError(f"{count} coherence flags, {eps.shape[0]} permittivities, {thickness_nm.shape[0]} thicknesses")
    index = jnp.sqrt(eps)
    k = _wavenumber(index, wavelength_nm)
    end = jnp.ones_like(index[:1])
    n = jnp.concatenate([_complex(n_in) * end, index, _complex(n_out) * end])
    phase = jnp.concatenate([0 * end, k * _complex(thickness_nm[:, None]), 0 * end])

    # the media between which the packets lie: both half spaces and all incoherent layers
    media = [0, *(i + 1 for i in range(count) if not coherent[i]), count + 1]
    front, back = [], []  # the packets seen from the front and from behind
    for a, b in pairwise(media):
        front.append(_packet(n[a : b + 1], phase[a : b + 1]))
        back.append(_packet(n[a : b + 1][::-1], phase[a : b + 1][::-1]) if b <= count else None)

    # back to front: the reflection seen in front of each packet, and the light that comes back from behind packet i
    passed = [jnp.exp(-2 * phase[m].imag) for m in media[1:-1]]
    seen, echo = [front[-1].reflectance], [jnp.zeros_like(wavelength_nm)]
    for i in reversed(range(len(passed))):
        echo.insert(0, passed[i] ** 2 * seen[0])
        bounce = echo[0] / (1 - back[i].reflectance * echo[0])
        seen.insert(0, front[i].reflectance + front[i].transmittance * back[i].transmittance * bounce)

    # front to back: light that falls on packet i from the front and from behind, and the net flux on its both sides
    incident = jnp.ones_like(wavelength_nm)
    waves: list[Waves] = []
    flux_in, flux_out = [], []
    for i, (f, b) in enumerate(zip(front, back, strict=True)):
        if b is None:
            waves.append(_scaled(f.waves, incident))
            flux_in.append(f.entering * incident)
            flux_out.append(f.transmittance * incident)
            continue
        through = f.transmittance * incident / (1 - b.reflectance * echo[i])
        returning = through * echo[i]
        from_behind = _mirrored(_scaled(b.waves, returning))
        waves.append(jax.tree.map(jnp.add, _scaled(f.waves, incident), from_behind))
        flux_in.append(f.entering * incident - b.transmittance * returning)
        flux_out.append(f.transmittance * incident - b.entering * returning)
        incident = through * passed[i]
        # behind the packet: an incoherent layer, with Beer-Lambert's law in both directions
        normal = n[media[i + 1]].real
        beams = Waves(through / normal, incident * seen[i + 1] / normal, jnp.zeros_like(index[0]))
        waves.append(jax.tree.map(lambda part: part[None], beams))

    whole = jax.tree.map(lambda *parts: jnp.concatenate(parts), *waves)
    ends = jnp.stack([jnp.zeros_like(thickness_nm), thickness_nm])[..., None]
    absorptance = _absorbed(whole, index, k, thickness_nm[:, None], ends)[0]
    surplus = jnp.zeros_like(absorptance)
    for i, m in enumerate(media[1:-1]):
        surplus = surplus.at[m - 1].set(flux_out[i] - flux_in[i + 1] - absorptance[m - 1])
    return Optics(seen[0], flux_out[-1], absorptance + surplus, surplus, whole, index, thickness_nm, wavelength_nm)


class _Packet(NamedTuple):
    """A run of coherent layers between two media, for unit power from its front."""

    reflectance: Float[Array, " wavelength"]
    transmittance: Float[Array, " wavelength"]
    entering: Float[Array, " wavelength"]
    """Net flux into it: 1 - R, but for the interference of both waves in an absorbing medium in front."""
    waves: Waves


def _packet(n: Complex[Array, "medium wavelength"], phase: Complex[Array, "medium wavelength"]) -> _Packet:
    """Solve the packet between the first and the last medium; `phase` is k d of each.

    Interface j lies between media j and j + 1.
    """
    rho = (n[:-1] - n[1:]) / (n[:-1] + n[1:])
    once = jnp.exp(1j * phase[1:])
    none = jnp.zeros_like(n[0])  # nothing comes back from behind the last interface

    def in_front(r: Array, interface: tuple[Array, Array]) -> tuple[Array, Array]:
        rho, once = interface
        r = (rho + once**2 * r) / (1 + rho * once**2 * r)
        return r, r

    _, r = jax.lax.scan(in_front, none, (rho, once), reverse=True)  # reflection in front of each interface
    behind = jnp.concatenate([r[1:], none[None]])
    passing = (1 + rho) / (1 + rho * once**2 * behind)
    v = jnp.cumprod(passing * jnp.concatenate([jnp.ones_like(once[:1]), once[:-1]]), axis=0)  # behind each interface
    u = once * behind * v
    waves = _scaled(Waves(_power(v), _power(u), v * u.conj()), 1 / n[0].real)
    waves = jax.tree.map(lambda part: part[:-1], waves)  # of the layers; the last medium has its transmittance
    r, v = r[0], v[-1]
    entering = (n[0] * (1 + r.conj()) * (1 - r)).real / n[0].real
    return _Packet(_power(r), _power(v) * n[-1].real / n[0].real, entering, waves)


def _power(amplitude: Complex[Array, "..."]) -> Float[Array, "..."]:
    return amplitude.real**2 + amplitude.imag**2


def _scaled(w: Waves, power: Float[Array, " wavelength"]) -> Waves:
    return Waves(power * w.forward, power * w.backward, _complex(power) * w.cross)


def _mirrored(w: Waves) -> Waves:
    """Layers lit from behind: their order is reversed, and their forward wave is the stack's backward wave."""
    return Waves(w.backward[::-1], w.forward[::-1], w.cross[::-1].conj())


def _wavenumber(n: Complex[Array, "*layer wavelength"], wavelength: Float[Array, " wavelength"]) -> Array:
    return n * _complex(2 * jnp.pi / wavelength)


def _complex(x: float | Array) -> Complex[Array, "..."]:
    return jnp.asarray(x, jnp.complex128)


def _absorbed(w: Waves, n: Array, k: Array, thickness: Array, positions: Array) -> Array:
    """Flux S = Re(n (E+ + E-)* (E+ - E-)) lost between neighbouring positions (first axis), as exact differences."""
    x, y = positions[:-1], positions[1:]
    lost = -jnp.expm1(-2 * k.imag * (y - x))
    waves = w.forward * jnp.exp(-2 * k.imag * x) + w.backward * jnp.exp(-2 * k.imag * (thickness - y))
    angle = k.real * (x + y - thickness)
    fringe = (w.cross.real * jnp.cos(angle) - w.cross.imag * jnp.sin(angle)) * jnp.exp(-k.imag * thickness)
    return n.real * waves * lost + 4 * n.imag * jnp.sin(k.real * (y - x)) * fringe
