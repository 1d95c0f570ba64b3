"""An SVG drawing of a network: one row per layer, side branches as arcs, repeated blocks drawn once.

The spine runs downwards. Values that skip rows run in lanes to the left, named axes and numbers stand in columns to
the right. The drawing needs no script and no font of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from archwright.report.diagram import DescribedStep, Description, axes_text
from archwright.report.words import short_number

ROW, BOX_HEIGHT, BOX_WIDTH, LANE, TOP = 44, 30, 288, 13, 34
INK, MUTED, LINE, STAGE = "#1f2933", "#66727f", "#7b8794", "#f4f6f8"

# family -> (fill, border)
COLOURS = {
    "convolution": ("#dbe8f6", "#4a7fb5"),
    "attention": ("#f9e2d2", "#cc7a3d"),
    "linear": ("#e3e0f3", "#7567b0"),
    "head": ("#e3e0f3", "#7567b0"),
    "embedding": ("#e3e0f3", "#7567b0"),
    "pool": ("#dcefe2", "#4f9a68"),
    "gate": ("#f5e3ea", "#b06a86"),
    "tokens": ("#e3e0f3", "#7567b0"),
    "norm": ("#f2eed8", "#a8964a"),
    "activation": ("#f2eed8", "#a8964a"),
    "join": ("#ececec", "#7d7d7d"),
    "connection": ("#f7f7f7", "#a5a5a5"),
    "shape": ("#f7f7f7", "#a5a5a5"),
    "other": ("#e4edef", "#5c8790"),
}
# words in the kind or family of operators that are not in the table above
_WORDS = {"conv": "convolution", "att": "attention", "linear": "linear", "ffn": "linear", "pool": "pool"}


@dataclass
class Row:
    """One drawn layer; `times` > 1 where equal blocks follow each other, of which only the first is drawn."""

    step: DescribedStep
    times: int = 1
    copies: list[DescribedStep] = field(default_factory=list)


def colour_of(step: DescribedStep) -> tuple[str, str]:
    """Fill and border by family, or by a word in the layer's kind or family."""
    if step.family in COLOURS and step.family != "other":
        return COLOURS[step.family]
    text = f"{step.kind} {step.family}".lower()
    return COLOURS[next((family for word, family in _WORDS.items() if word in text), "other")]


def grouped(steps: Sequence[DescribedStep]) -> list[Row]:
    """Rows for the steps; equal blocks of one stage that follow each other share their rows."""
    blocks: list[list[DescribedStep]] = []
    for step in steps:
        if blocks and step.stage > 0 and blocks[-1][0].group == step.group:
            blocks[-1].append(step)
        else:
            blocks.append([step])
    rows: list[Row] = []
    previous: list[Row] = []
    key: tuple[int, tuple[str, ...]] | None = None
    for block in blocks:
        this = (block[0].stage, tuple(s.signature for s in block))
        if block[0].stage > 0 and this == key:
            for row, step in zip(previous, block, strict=True):
                row.times += 1
                row.copies.append(step)
            continue
        previous = [Row(step) for step in block]
        rows += previous
        key = this
    return rows


def draw(description: Description) -> str:
    """The drawing as one `<svg>` element; all text is escaped."""
    rows = grouped(description.steps)
    edges = _edges(description, rows)
    lanes, count = _lanes(edges)
    left = 64 + LANE * count
    columns = _Columns(left, rows)
    inputs = len(description.inputs)
    height = TOP + ROW * (len(rows) + inputs + 1) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns.width} {height}" width="{columns.width}" '
        f'height="{height}" role="img" aria-label="Drawing of the network, {len(description.steps)} layers" '
        f'font-family="system-ui, -apple-system, Segoe UI, Roboto, sans-serif" font-size="12" fill="{INK}">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0.8 L7 4 L0 7.2 z" fill="{LINE}"/></marker></defs>',
        columns.header(),
        *_stages(rows, inputs, columns),
        *(_edge(a, b, lanes.get((a, b)), columns) for a, b in edges),
    ]
    for i, axes in enumerate(description.inputs):
        parts.append(_pill(i, f"input {i}" if inputs > 1 else "input", axes_text(axes), columns))
    parts += [_box(i + inputs, row, columns) for i, row in enumerate(rows)]
    parts.append(_pill(inputs + len(rows), "output", "", columns))
    parts.append(columns.total(inputs + len(rows), description))
    return "".join([*parts, "</svg>"])


class _Columns:
    """Where things stand horizontally."""

    def __init__(self, left: int, rows: Sequence[Row]) -> None:
        self.left = left
        self.centre = left + BOX_WIDTH // 2
        longest = max([len(axes_text(r.step.axes_out)) for r in rows] + [12])
        broadcast = max([len(", ".join(r.step.broadcast)) for r in rows] + [14])
        self.shape = left + BOX_WIDTH + 20
        self.broadcast = self.shape + int(longest * 6.7) + 22
        self.params = self.broadcast + int(broadcast * 6.7) + 66
        self.macs = self.params + 70
        self.width = self.macs + 14

    def header(self) -> str:
        cells = [
            ("start", self.shape, "output axes"),
            ("start", self.broadcast, "broadcast over"),
            ("end", self.params, "params"),
            ("end", self.macs, "MACs"),
        ]
        return "".join(
            f'<text x="{x}" y="18" text-anchor="{anchor}" fill="{MUTED}" font-size="11">{text}</text>'
            for anchor, x, text in cells
        )

    def total(self, row: int, description: Description) -> str:
        y, bold = _y(row) + 4, 'text-anchor="end" font-weight="600"'
        return (
            f'<text x="{self.broadcast}" y="{y}" fill="{MUTED}">total</text>'
            f'<text x="{self.params}" y="{y}" {bold}>{short_number(description.params)}</text>'
            f'<text x="{self.macs}" y="{y}" {bold}>{short_number(description.macs)}</text>'
        )


def _y(row: int) -> int:
    """Middle of a row."""
    return TOP + ROW * row + ROW // 2


def _edges(description: Description, rows: Sequence[Row]) -> list[tuple[int, int]]:
    """(from row, to row) of every value that is drawn; inputs come first, the output last."""
    inputs = len(description.inputs)
    row_of = {n: n for n in range(inputs)}
    for i, row in enumerate(rows):
        for step in (row.step, *row.copies):
            row_of[step.output] = i + inputs
    found: dict[tuple[int, int], None] = {}
    for i, row in enumerate(rows):
        for step in (row.step, *row.copies):
            for n in step.inputs:
                if row_of[n] < i + inputs:  # from one copy to the next: not drawn
                    found[row_of[n], i + inputs] = None
    found[row_of[description.result], len(rows) + inputs] = None
    return list(found)


def _lanes(edges: Sequence[tuple[int, int]]) -> tuple[dict[tuple[int, int], int], int]:
    """A lane for every edge that passes other rows, short ones inside; edges in one lane never overlap."""
    lanes: dict[tuple[int, int], int] = {}
    held: list[list[tuple[int, int]]] = []
    for a, b in sorted((e for e in edges if e[1] - e[0] > 1), key=lambda e: (e[1] - e[0], e[0])):
        free = [i for i, spans in enumerate(held) if all(b <= c or a >= d for c, d in spans)]
        lane = free[0] if free else len(held)
        if not free:
            held.append([])
        held[lane].append((a, b))
        lanes[a, b] = lane
    return lanes, len(held)


def _edge(a: int, b: int, lane: int | None, at: _Columns) -> str:
    style = f'fill="none" stroke="{LINE}" stroke-width="1.4" marker-end="url(#tip)"'
    half = BOX_HEIGHT // 2
    if lane is None:
        return f'<path d="M{at.centre} {_y(a) + half} V{_y(b) - half - 1}" {style}/>'
    x, r = at.left - 14 - LANE * lane, 6
    start, end = _y(a) + 7, _y(b) - 5
    return (
        f'<path d="M{at.left} {start} H{x + r} Q{x} {start} {x} {start + r} V{end - r} Q{x} {end} {x + r} {end} '
        f'H{at.left - 1}" {style}/>'
    )


def _stages(rows: Sequence[Row], inputs: int, at: _Columns) -> list[str]:
    """A quiet background behind the rows of each stage, with its number and how many blocks it has."""
    spans: list[list[int]] = []
    for i, row in enumerate(rows):
        if row.step.stage < 0:
            continue
        if spans and rows[spans[-1][1]].step.stage == row.step.stage and spans[-1][1] == i - 1:
            spans[-1][1] = i
        else:
            spans.append([i, i])
    out = []
    for first, last in spans:
        members = [s for r in rows[first : last + 1] for s in (r.step, *r.copies)]
        blocks = len({s.group for s in members})
        top, bottom = _y(first + inputs) - ROW // 2 + 2, _y(last + inputs) + ROW // 2 - 2
        label, number = f"stage {rows[first].step.stage}", f"{blocks} block{'s' if blocks > 1 else ''}"
        out.append(
            f'<rect x="4" y="{top}" width="{at.width - 8}" height="{bottom - top}" rx="6" fill="{STAGE}"/>'
            f'<text x="10" y="{top + 14}" font-size="10" fill="{MUTED}">{label}</text>'
            f'<text x="10" y="{top + 26}" font-size="10" fill="{MUTED}">{number}</text>'
        )
    return out


def _pill(row: int, label: str, shape: str, at: _Columns) -> str:
    y = _y(row)
    return (
        f'<rect x="{at.centre - 52}" y="{y - 13}" width="104" height="26" rx="13" fill="#fff" stroke="{LINE}"/>'
        f'<text x="{at.centre}" y="{y + 4}" text-anchor="middle" fill="{MUTED}">{label}</text>'
        f'<text x="{at.shape}" y="{y + 4}">{escape(shape)}</text>'
    )


def _fit(text: str, width: float) -> str:
    """Text cut to about `width` pixels at 11 pixels a line."""
    most = int(width / 6.4)
    return text if len(text) <= most else text[: max(most - 1, 1)] + "…"


def _box(row: int, drawn: Row, at: _Columns) -> str:
    step, y = drawn.step, _y(row)
    fill, border = colour_of(step)
    kind = f"{step.kind} × {drawn.times}" if drawn.times > 1 else step.kind
    tip = "\n".join(
        [
            f"{step.name}: {step.kind}({step.arguments})"
            + (f", {drawn.times} equal blocks" if drawn.times > 1 else ""),
            f"in: {' + '.join(axes_text(a) for a in step.axes_in)}",
            f"out: {axes_text(step.axes_out)}",
            f"broadcast over: {', '.join(step.broadcast) or 'nothing'}",
            f"one by one, each with its own weights: {', '.join(step.separate) or 'nothing'}",
            f"{step.params:,} parameters, {step.macs:,} multiply-accumulates",
        ]
    )
    room = BOX_WIDTH - 26 - 7.9 * len(kind)
    stacked = "".join(
        f'<rect x="{at.left + d}" y="{y - BOX_HEIGHT // 2 + d}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" '
        f'fill="{fill}" stroke="{border}" opacity="0.55"/>'
        for d in ((4,) if drawn.times > 1 else ())
    )
    params, macs = step.params * drawn.times, step.macs * drawn.times
    return (
        f"<g><title>{escape(tip)}</title>{stacked}"
        f'<rect x="{at.left}" y="{y - BOX_HEIGHT // 2}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" fill="{fill}" '
        f'stroke="{border}"/>'
        f'<text x="{at.left + 10}" y="{y + 4}"><tspan font-weight="600">{escape(kind)}</tspan>'
        f'<tspan dx="7" font-size="11" fill="{MUTED}">{escape(_fit(step.arguments, room))}</tspan></text>'
        f'<text x="{at.shape}" y="{y + 4}">{escape(axes_text(step.axes_out))}</text>'
        f'<text x="{at.broadcast}" y="{y + 4}" fill="{MUTED}">{escape(", ".join(step.broadcast) or "–")}</text>'
        f'<text x="{at.params}" y="{y + 4}" text-anchor="end">{short_number(params)}</text>'
        f'<text x="{at.macs}" y="{y + 4}" text-anchor="end">{short_number(macs)}</text></g>'
    )
