"""Pieces of a page: numbers, tables, sections, figures as HTML."""

import base64
import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from invdesign.run.folder import RunFolder
from invdesign.schema import InputError

SCREEN_DPI, DPI = 100, 160
"""Resolution of a screen, and of the saved figures."""


def escaped(value: Any) -> str:
    return html.escape(str(value))


def number(value: Any, digits: int = 4) -> str:
    """A number for a person: 4 digits, powers of ten written out."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if not isinstance(value, int | float):
        return escaped(value)
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        return f"{mantissa} × 10<sup>{int(exponent)}</sup>".replace("-", "−")
    return text.replace("-", "−")


def unit(unit: Any) -> str:
    return "" if unit in (None, "", "1") else symbols(unit)


def symbols(text: Any) -> str:
    """`cm Hz^1/2`, `cm2/Vs` and `D*_BLIP` with raised and lowered parts."""
    raised = re.sub(r"\^(-?[\d/]+)|(?<=\b[cnu]m)(-?\d)\b", r"<sup>\1\2</sup>", escaped(text))
    return re.sub(r"_(\w+)", r"<sub>\1</sub>", raised).replace("ohm", "Ω")


NAMES = {
    "detectivity_Jones": "detectivity",
    "eqe": "external quantum efficiency",
    "bandwidth_Hz": "3-dB bandwidth",
    "noise_A_per_rtHz": "current noise",
    "fano": "Fano factor",
}


def words(name: str) -> str:
    """`dark_current_A` as words, without its unit."""
    units = r"_(A_per_rtHz|W_per_rtHz|V_per_cm|A_per_W|Jones|Hz|nm|A|F|V|s)$"
    return NAMES.get(name) or re.sub(units, "", name).replace("_", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[int] = (0,)) -> str:
    """A table of HTML cells; the columns `text` are text, the others numbers."""

    def row(cells: Sequence[str], tag: str) -> str:
        made = (f"<{tag}{'' if i in text else ' class=number'}>{cell}</{tag}>" for i, cell in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    lines = [row(cells, "td") for cells in rows]
    body = "\n".join([row(head, "th"), *lines])
    return f'<div class="wide"><table>\n{body}\n</table></div>' if lines else ""


def section(title: str, *parts: str) -> str:
    body = "\n".join(part for part in parts if part)
    return f"<h2>{escaped(title)}</h2>\n{body}" if body else ""


def paragraph(text: str) -> str:
    return f"<p>{text}</p>" if text else ""


def bullets(items: Iterable[Any], css: str = "", escape: bool = True) -> str:
    lines = "".join(f"<li>{escaped(item) if escape else item}</li>" for item in items)
    return f'<ul class="{css}">{lines}</ul>' if lines else ""


def image(folder: RunFolder, name: str, caption: str) -> str:
    path = folder.figure_path(name)
    if not path.is_file():
        return ""
    png = path.read_bytes()
    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    width = round(int.from_bytes(png[16:20], "big") * SCREEN_DPI / DPI)  # so that letters have one size in all figures
    caption = escaped(caption)
    return f'<figure><img src="{source}" width="{width}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def head(folder: RunFolder, result: Mapping[str, Any], what: str) -> str:
    lead = ", ".join(escaped(part) for part in (folder.path.name, result.get("status"), result.get("message")) if part)
    return f'<h1>{escaped(what)}</h1>\n<p class="lead">{lead}</p>'


def warnings(result: Mapping[str, Any]) -> str:
    return section("Where the model leaves its validity", bullets(result.get("warnings") or [], "warnings"))


def provenance(folder: RunFolder, result: Mapping[str, Any]) -> str:
    try:
        manifest = folder.manifest()
    except InputError:
        manifest = {}
    versions = manifest.get("versions") or {}
    facts = [
        ("command", "invdesign " + " ".join(manifest["command"]) if manifest.get("command") else None),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("commit", (manifest.get("git") or {}).get("commit")),
        ("started", manifest.get("started")),
    ]
    rows = [(name, f"<code>{escaped(value)}</code>") for name, value in facts if value]
    tables = []
    for name, entry in (result.get("tables") or {}).items():
        file, shows = (entry.get("file"), entry.get("shows", "")) if isinstance(entry, Mapping) else (entry, "")
        tables.append((f"<code>{escaped(file)}</code>", escaped(shows or name)))
    return section(
        "Where this comes from",
        table(("", ""), rows, text=(0, 1)) if rows else "",
        table(("table", "shows"), tables, text=(0, 1)),
        bullets(manifest.get("sources") or []),
    )
