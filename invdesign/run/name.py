"""Names of run folders."""

import datetime
import secrets


def new_name() -> str:
    """`<date>_<time>_<id>`: the random id keeps two runs of one second apart."""
    return f"{datetime.datetime.now():%Y-%m-%d_%H%M%S}_{secrets.token_hex(3)}"
