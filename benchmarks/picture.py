"""The picture of a result: warm and first calls, each beside its peers, as SVG that needs nothing to be drawn."""

from collections.abc import Iterator
from html import escape

from benchmarks.goals import OURS, OURS_WARM, Series
from benchmarks.results import Result

_PANELS = (
    ("Warm call, ms", (("G1", "reuse"), ("G2", "fresh"))),
    ("First call, ms", (("G3", "pool warm"), ("G4", "pool empty"))),
)
_WIDTH, _GAP, _LABEL, _VALUE = 470, 30, 150, 60  # px: a panel, between panels, names, numbers
_BAR, _ROW, _TOP, _HEADING = 18, 26, 62, 30
_OURS, _PEER, _TEXT, _FAINT = "#1a7f5a", "#9aa4b1", "#1f2328", "#59636e"


def draw(result: Result) -> str:
    """The whole SVG: p50 as bars, p99 as a line behind them."""
    panels = [
        (
            title,
            [(f"{goal_id}, {what}", result.figures[goal_id]) for goal_id, what in parts if goal_id in result.figures],
        )
        for title, parts in _PANELS
    ]
    height = max(_TOP + sum(_HEADING + _ROW * len(series) for _, series in groups) for _, groups in panels) + 34
    width = len(panels) * (_WIDTH + _GAP) + _GAP
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (title, groups) in enumerate(panels):
        lines += _panel(_GAP + number * (_WIDTH + _GAP), title, groups)
    note = f"bars: p50, lines: p99; shorter is better; measured {result.date[:10]}, one run, arms interleaved"
    lines += [_text(_GAP, height - 14, note, _FAINT, 12), "</svg>"]
    return "\n".join(lines) + "\n"


def _panel(left: int, title: str, groups: list[tuple[str, Series]]) -> Iterator[str]:
    yield _text(left, 36, title, _TEXT, 17, bold=True)
    most = max((one.p99 for _, series in groups for one in series.values()), default=1.0)
    top = _TOP
    for name, series in groups:
        yield _text(left, top + 16, name, _FAINT, 13)
        top += _HEADING
        for arm, one in series.items():
            yield from _bar(left, top, arm, (one.p50, one.p99), most)
            top += _ROW


def _bar(left: int, top: int, arm: str, values: tuple[float, float], most: float) -> Iterator[str]:
    ours = arm in (OURS, OURS_WARM)
    scale = (_WIDTH - _LABEL - _VALUE) / most
    p50, p99 = (value * scale for value in values)
    begin, middle = left + _LABEL, top + _BAR / 2
    yield _text(left, top + 14, arm, _TEXT, 13, bold=ours)
    yield f'<rect x="{begin}" y="{top}" width="{max(p50, 1.5):.1f}" height="{_BAR}" fill="{_OURS if ours else _PEER}"/>'
    yield (
        f'<line x1="{begin + p50:.1f}" x2="{begin + p99:.1f}" y1="{middle}" y2="{middle}" '
        f'stroke="{_FAINT}" stroke-width="1.5"/>'
    )
    shown = f"{values[0]:.2f}" if values[0] < 10 else f"{values[0]:.0f}"
    yield _text(begin + max(p50, p99) + 6, top + 14, shown, _TEXT, 13, bold=ours)


def _text(x: float, y: float, text: str, colour: str, size: int, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}"{weight}>{escape(text)}</text>'
