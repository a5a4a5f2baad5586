"""invdesign: differentiable simulation and inverse design of quantum-dot photodetectors."""

import jax

jax.config.update("jax_enable_x64", True)

__version__ = "0.1.0"
