"""What the fitter can be told."""

import equinox as eqx

from invdesign.schema import InputError, choice, setting


class PosteriorSettings(eqx.Module):
    """How long the posterior distribution of the parameters is sampled."""

    samples: int = setting(default=500, lower=20, upper=100000, doc="draws of each chain that are kept")
    warmup: int = setting(default=300, lower=50, upper=100000, doc="draws of each chain before, to adapt the sampler")
    chains: int = setting(default=2, lower=1, upper=64, doc="independent ones; they run beside each other")
    seed: int = setting(default=0, lower=0, upper=2**31 - 1, doc="of the draws")


class FitterSettings(eqx.Module):
    """Bounded least squares from several starts, and how closely its answer is examined."""

    starts: int = setting(default=4, lower=1, upper=1024, doc="the device's own numbers, and the best candidates")
    candidates: int = setting(default=32, lower=1, upper=65536, doc="scrambled Sobol points that are looked at")
    seed: int = setting(default=0, lower=0, upper=2**31 - 1, doc="of the Sobol points")
    evaluations: int = setting(default=60, lower=1, upper=10000, doc="most evaluations of the model per start")
    tolerance: float = setting(default=1e-8, lower=1e-15, upper=1e-2, doc="relative change of cost and parameters")
    loss: str = choice(
        "linear", "soft_l1", "huber", "cauchy", default="linear", doc="linear: least squares; others resist outliers"
    )
    loss_scale: float = setting(default=2.0, lower=0.1, upper=100, doc="residual, in sigma, where a robust loss bends")
    profile_points: int = setting(
        default=4, lower=0, upper=20, doc="most refits on either side of every parameter; 0: no profiles"
    )
    posterior: PosteriorSettings | None = eqx.field(
        default=None, metadata=dict(doc="sample the posterior distribution (needs numpyro); null: do not")
    )

    def __check_init__(self) -> None:
        if self.posterior is not None and self.loss != "linear":
            raise InputError(f"posterior: the data are normal there, loss={self.loss} is not; say loss: linear or null")
