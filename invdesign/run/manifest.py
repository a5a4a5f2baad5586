"""What a run was made with: enough to understand, cite and repeat it."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import invdesign

SCHEMA = "invdesign/manifest/1"
LIBRARIES = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "matplotlib", "hydra-core", "omegaconf", "rich")


def initial_manifest(job: str, config: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """The manifest of a run that begins now; `sources` is filled in by the job, the last entries at its end."""
    return {
        "schema": SCHEMA,
        "job": job,
        "command": list(command),
        "seed": _seed(config),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": versions(),
        "git": git_state(),
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
        "sources": [],
        "status": "running",
        "exit_code": None,
        "wall_s": None,
        "finished": None,
    }


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries its numbers come from."""
    found = {"python": platform.python_version(), "invdesign": invdesign.__version__}
    return found | {name: importlib.metadata.version(name) for name in LIBRARIES}


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout this package is run from and whether files differ from it; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    commands = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    try:
        commit, changes = (
            subprocess.run(["git", "-C", root, *c], capture_output=True, text=True, check=True, timeout=10).stdout
            for c in commands
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "modified": bool(changes.strip())}


def _seed(config: Mapping[str, Any]) -> Any:
    """The `seed` of the configuration or of one of its groups, None where nothing is random."""
    nodes = [config, *(node for node in config.values() if isinstance(node, Mapping))]
    return next((node["seed"] for node in nodes if "seed" in node), None)
