"""The posterior distribution of the parameters, sampled with the no-U-turn sampler of numpyro, an optional package.

The data are normal around the model with the standard deviations given, so that the likelihood is exp(-chi^2/2) of the
whitened residuals; a parameter's prior is uniform in its box (of the logarithm where `log` is true), times the normal
distribution of its `prior`. The box is opened by z = 1/(1 + exp(-u)), and u = u_0 + L v with u_0 the optimum and
(L L^T)^-1 the curvature there, so that v is near a standard normal and warming up is short. Sources: M. D. Hoffman and
A. Gelman, J. Mach. Learn. Res. 15, 1593 (2014), https://jmlr.org/papers/v15/hoffman14a.html; D. Phan, N. Pradhan and
M. Jankowiak, arXiv:1912.11554 (2019), doi:10.48550/arXiv.1912.11554; diagnostics: A. Vehtari et al., Bayesian Anal. 16,
667 (2021), doi:10.1214/20-BA1221.
"""

import importlib.util
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from invdesign.errors import InputError
from invdesign.fitting.least_squares import Solution
from invdesign.fitting.residuals import QUICK_COMPILATION, Evaluation, Residuals
from invdesign.fitting.settings import PosteriorSettings
from invdesign.optimize.batches import available_cores

QUANTILES = {"68": (0.16, 0.84), "95": (0.025, 0.975)}
"""Ends of the intervals."""
LARGEST_R_HAT = 1.01
FEWEST_PER_CHAIN = 100
"""Split R-hat and effective samples per chain beyond which a posterior is not trusted (Vehtari et al. 2021)."""
DEEPEST_TREE = 8
"""A draw takes 2^8 - 1 evaluations of the model at most."""
PREDICTIONS = 200
"""Draws, at most, that curves are predicted for."""
FAR = 5.0
"""A chain starts where the potential is at most so far, per parameter, above the optimum."""


class Posterior(NamedTuple):
    """Draws of all chains, in places of the box, and whether they can be trusted."""

    z: Float[np.ndarray, "chain draw parameter"]
    chi2: Float[np.ndarray, "chain draw"]
    """With the rows of the priors."""
    diverged: Bool[np.ndarray, "chain draw"]
    """The trajectory of the draw broke off: the integration was too coarse there, or the device was not solved."""
    r_hat: Float[np.ndarray, " parameter"]
    effective: Float[np.ndarray, " parameter"]
    """Effective number of independent draws."""
    step: float
    """Mean step of the integrator; about one where the posterior is nearly normal."""
    compile_s: float

    @property
    def flat(self) -> Float[np.ndarray, "sample parameter"]:
        """One chain after the other."""
        return self.z.reshape(-1, self.z.shape[-1])

    def warnings(self, names: Sequence[str]) -> list[str]:
        """What speaks against the draws, one sentence each."""
        said = []
        if lost := int(self.diverged.sum()):
            said.append(
                f"{lost} of {self.diverged.size} draws of the posterior diverged or met a device that was not solved: "
                "its tails may be missing; narrow the bounds or give priors"
            )
        doubtful = [name for name, r in zip(names, self.r_hat, strict=True) if not r <= LARGEST_R_HAT]
        if doubtful:
            said.append(
                f"the chains of the posterior disagree about {', '.join(doubtful)} (split R-hat up to "
                f"{np.max(self.r_hat):.4f}, wanted {LARGEST_R_HAT:g}); give more samples and warmup"
            )
        wanted = FEWEST_PER_CHAIN * len(self.z)
        few = [name for name, count in zip(names, self.effective, strict=True) if not count >= wanted]
        if few:
            said.append(
                f"the posterior has few independent draws of {', '.join(few)} ({np.min(self.effective):.0f} effective "
                f"samples, wanted {wanted}); give more samples"
            )
        return said


def require_sampler() -> None:
    """Raise `InputError` if numpyro is not installed."""
    if importlib.util.find_spec("numpyro") is None:
        raise InputError(
            "fitter.posterior: numpyro is not installed; pip install 'invdesign[posterior]', or fitter.posterior=null"
        )


class _Energy(NamedTuple):
    """Minus the logarithm of the posterior density of u, and its slope."""

    value: Float[Array, ""]
    slope: Float[Array, " parameter"]


def _energy(u: Any, jacobian: Any, residual: Any, failed: Any, lost: Bool[np.ndarray, " point"]) -> _Energy:
    """chi^2/2 - sum ln dz/du at u. Points that the optimum has `lost` do not count, the loss of others is forbidden."""
    counted = np.append(~lost, np.ones(len(residual) - len(lost), bool))
    rows = jnp.where(counted, residual, 0.0)
    z = jax.nn.sigmoid(u)
    value = 0.5 * rows @ rows - jnp.sum(jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u))
    slope = (jnp.nan_to_num(jacobian, nan=0.0, posinf=0.0, neginf=0.0).T @ rows) * z * (1 - z) - (1 - 2 * z)
    return _Energy(jnp.where(jnp.any(failed & ~lost), jnp.inf, value), slope)


def sample(
    residuals: Residuals,
    best: Solution,
    settings: PosteriorSettings,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Posterior:
    """Draw from the posterior, chain beside chain, each from a draw of the normal distribution around the optimum.

    The same seed gives the same draws. Raises `InputError` without numpyro.
    """
    require_sampler()
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
    from numpyro.infer.hmc import hmc
    from numpyro.infer.util import ParamInfo

    lost = best.evaluation.failed
    origin, spread = (jnp.asarray(part) for part in _normal(best))

    def place(v: np.ndarray) -> np.ndarray:
        return np.asarray(jax.nn.sigmoid(origin + spread @ v))

    def energy_here(v: np.ndarray) -> _Energy:
        at: Evaluation = residuals(place(v))
        energy = _energy(jnp.asarray(origin + spread @ v), at.jacobian, at.residual, at.failed, lost)
        return _Energy(energy.value, spread.T @ energy.slope)

    def traced(v: Array) -> tuple[Array, Array]:
        u = origin + spread @ v
        jacobian, (residual, failed, _) = residuals.traceable(jax.nn.sigmoid(u), residuals.measured)
        energy = _energy(u, jacobian, residual, failed, lost)
        return energy.value, spread.T @ energy.slope

    @jax.custom_vjp
    def potential(v: Array) -> Array:
        return traced(v)[0]

    potential.defvjp(traced, lambda slope, cotangent: (cotangent * slope,))
    start, step = hmc(potential, algo="NUTS")
    least = energy_here(np.zeros(len(origin)))

    def begin(number: int) -> Any:
        """The state of a chain before its first draw."""
        v = np.random.default_rng([settings.seed, number]).standard_normal(len(origin))
        energy = energy_here(v)
        while not energy.value <= least.value + FAR * len(v):
            v = v / 2 if np.abs(v).max() > 1e-3 else np.zeros_like(v)
            energy = energy_here(v) if v.any() else least
        info = ParamInfo(jnp.asarray(v), energy.value, energy.slope)
        key = jax.random.fold_in(jax.random.PRNGKey(settings.seed), number)
        state = start(info, settings.warmup, dense_mass=True, max_tree_depth=DEEPEST_TREE, rng_key=key)
        return jax.tree.map(_strong, state)

    begun = time.monotonic()
    states = [begin(number) for number in range(settings.chains)]
    options = QUICK_COMPILATION if jax.default_backend() == "cpu" else None
    compiled: Any = jax.jit(lambda state: jax.tree.map(_strong, step(state))).lower(states[0]).compile(options)
    compile_s = time.monotonic() - begun
    done, stop = [0] * settings.chains, threading.Event()

    def run(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        state, draws = states[number], []
        for count in range(settings.warmup + settings.samples):
            if stop.is_set():
                raise InterruptedError("another chain has stopped")
            state = compiled(state)
            draws.append((np.asarray(state.z), float(state.potential_energy), bool(state.diverging)))
            done[number] = count + 1
            on_progress(sum(done))
        v, energy, diverged = zip(*draws[settings.warmup :], strict=True)
        return np.stack(v), np.array(energy), np.array(diverged), float(state.adapt_state.step_size)

    with ThreadPoolExecutor(available_cores()) as pool:  # a compiled program holds no Python lock
        try:
            chains = list(pool.map(run, range(settings.chains)))
        except BaseException:  # an interrupt must not wait for the chains to end
            stop.set()
            raise
    u = jnp.asarray(np.stack([chain[0] for chain in chains])) @ spread.T + origin
    z = np.asarray(jax.nn.sigmoid(u))
    opened = np.asarray(jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u)).sum(-1)
    return Posterior(
        z,
        2 * (np.stack([chain[1] for chain in chains]) + opened),
        np.stack([chain[2] for chain in chains]),
        np.asarray(split_gelman_rubin(z)),
        np.asarray(effective_sample_size(z)),
        float(np.mean([chain[3] for chain in chains])),
        compile_s,
    )


def _strong(x: Array) -> Array:
    """Without a weak type, so that the state of a chain keeps the types that its program was compiled for."""
    return jax.lax.convert_element_type(x, x.dtype)


def _normal(best: Solution) -> tuple[Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
    """Where the optimum is in u, and the root of the covariance there.

    The curvature is J_u^T J_u of the residuals, J_u = J dz/du, and 2 z (1 - z) of -ln dz/du, which keeps directions
    that the data say nothing about inside the box. An optimum on a bound is moved in by one standard error.
    """
    jacobian = best.evaluation.jacobian
    room = np.minimum(1 / np.maximum(np.linalg.norm(jacobian, axis=0), 1e-12), 0.25)
    z = np.clip(best.z, room, 1 - room)
    slope = z * (1 - z)
    in_u = jacobian * slope
    values, vectors = np.linalg.eigh(in_u.T @ in_u + np.diag(2 * slope))
    return np.log(z / (1 - z)), vectors / np.sqrt(np.maximum(values, 1e-12))


class Bands(NamedTuple):
    """Where 95 % of the curves lie, and 95 % of points that are measured again with the same uncertainty."""

    model: Float[np.ndarray, "2 point"]
    predicted: Float[np.ndarray, "2 point"]


def bands(residuals: Residuals, posterior: Posterior, seed: int) -> Bands:
    """The posterior predictive distribution of every measured point; nan where one of its draws has no value."""
    every = max(1, -(-len(posterior.flat) // PREDICTIONS))
    with ThreadPoolExecutor(available_cores()) as pool:
        found = list(pool.map(residuals, posterior.flat[::every]))
    values = np.stack([np.where(each.failed, np.nan, each.values) for each in found])
    known = np.isfinite(values).all(axis=0)
    measured = residuals.measured
    noise = np.random.default_rng(seed).standard_normal(values.shape)
    size = np.where(measured.log, np.abs(measured.y), 1.0)
    exponent = np.where(measured.log, np.asarray(measured.sigma) / size * noise, 0.0)
    again = np.where(measured.log, values * np.exp(exponent), values + np.asarray(measured.sigma) * noise)
    both = []
    for each in (values, again):
        ends = np.full((2, values.shape[1]), np.nan)
        ends[:, known] = np.quantile(each[:, known], QUANTILES["95"], axis=0)
        both.append(ends)
    return Bands(*both)
