"""The picture of the architecture: an SVG in the page, whose colours follow the scheme of the reader.

It is drawn here and not by Mermaid, which would load a program from another host. Its boxes name folders and modules of
the package, so that a test can compare them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, ROW, TOP = 720, 58, 34
LEFT, WIDE, RIGHT, NARROW = 10, 400, 430, 280

LOOK = 'role="img" xmlns="http://www.w3.org/2000/svg" fill="currentColor"'
LABEL = "One pulumi up flows from the program through the provider to Azure Batch"
TIP = 'id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'


@dataclass(frozen=True)
class Box:
    """A box: the rooms of the package in it, and what they do; ``line`` is its border."""

    rooms: tuple[str, ...]
    does: str
    line: str = "plain"

    @property
    def title(self) -> str:
        """What is written in bold."""
        return " · ".join(self.rooms)


STROKES = {
    "plain": 'stroke="currentColor"',
    "strong": 'stroke="var(--md-accent-fg-color, currentColor)" stroke-width="2"',
    "outside": 'stroke="currentColor" stroke-dasharray="5 4"',
}
CALLER = Box(("A Pulumi program, and the Pulumi engine",), "Python, YAML, TypeScript", "outside")
SERVICE = Box(("Azure Batch, or the simulator",), "through the official client azure-batch", "outside")
CHAIN = (
    Box(("resource", "fleet"), "what a program declares"),
    Box(("provider", "image_provider", "plugin"), "the providers: Python, and all other languages"),
    Box(("preview", "crud"), "say what an up would do; do it", "strong"),
    Box(("comparison",), "what changed, what is behind, what drifted"),
    Box(("rollout",), "observe, decide, act once, wait, observe", "strong"),
    Box(("batch",), "all that speaks to Azure Batch"),
)
"""One `pulumi up`, read top down."""
BESIDE = (
    Box(("engine",), "rows, errors, ^C: the seams to Pulumi"),
    Box(("schema",), "inputs, outputs, units, waves"),
    Box(("guest_os",), "versions and the catalogue"),
    Box(("runtime",), "clock, cancellation, log"),
    Box(("cli",), "the command batch-os"),
    Box(("simulator",), "a Batch account on this machine"),
)
"""What the chain uses, and what stands beside it."""


def architecture() -> str:
    """The picture."""
    height = TOP + ROW * (len(CHAIN) + 2) + 10
    parts = [
        f'<div class="architecture"><svg viewBox="0 0 {WIDTH} {height}" {LOOK} aria-label="{LABEL}">',
        f"<defs><marker {TIP}><path d='M0 0 8 4 0 8z' fill='currentColor'/></marker></defs>",
        f'<text x="{LEFT}" y="18" font-size="13" opacity=".7">one pulumi up, read top down</text>',
        f'<text x="{RIGHT}" y="18" font-size="13" opacity=".7">what it stands on, and what stands beside it</text>',
        *_box(LEFT, TOP, CALLER),
    ]
    for number, box in enumerate((*CHAIN, SERVICE), start=1):
        y = TOP + ROW * number
        parts += [_arrow(y), *_box(LEFT, y, box)]
    for number, box in enumerate(BESIDE, start=1):
        parts += _box(RIGHT, TOP + ROW * number, box)
    return "".join([*parts, "</svg></div>"])


def _box(x: int, y: int, box: Box) -> list[str]:
    width = WIDE if x == LEFT else NARROW
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="42" rx="5" fill="none" {STROKES[box.line]}/>',
        f'<text x="{x + 12}" y="{y + 18}" font-size="14" font-weight="700">{escape(box.title)}</text>',
        f'<text x="{x + 12}" y="{y + 34}" font-size="12" opacity=".75">{escape(box.does)}</text>',
    ]


def _arrow(y: int) -> str:
    x = LEFT + WIDE // 2
    return f'<path d="M{x} {y - ROW + 42}V{y - 1}" stroke="currentColor" marker-end="url(#tip)"/>'
