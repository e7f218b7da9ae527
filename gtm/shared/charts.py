"""Small charts as SVG: geometry in attributes, colours in chart.css, as a strict content policy demands."""

from collections.abc import Sequence
from decimal import Decimal

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

Number = int | float | Decimal

SPARK_WIDTH, SPARK_HEIGHT = 100, 24
COURSE_WIDTH, COURSE_HEIGHT = 300, 100
COURSE_ROOM = 1.05  # above the highest of it
BAR_GAP = 0.25  # of the width that one bar may take


def sparkline(values: Sequence[Number], *, label: str, limit: Number | None = None) -> SafeString:
    """A line over `values`, oldest first, scaled from zero to the largest or to `limit`; empty for fewer than two."""
    if len(values) < 2:
        return SafeString("")
    top = _top(values, limit)
    step = SPARK_WIDTH / (len(values) - 1)
    line = " ".join(f"{_round(index * step)},{_spark_y(value, top)}" for index, value in enumerate(values))
    return format_html(
        '<svg class="spark" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">'
        '<polygon class="area" points="0,{} {} {},{}"/><polyline class="line" points="{}"/>{}</svg>',
        *(label, SPARK_WIDTH, SPARK_HEIGHT, SPARK_HEIGHT, line, SPARK_WIDTH, SPARK_HEIGHT, line),
        _spark_limit(limit, top),
    )


def bars(rows: Sequence[tuple[str, Number]], *, label: str, limit: Number | None = None) -> SafeString:
    """One bar per (name, value), left to right, with both as its tooltip; `limit` draws a dashed line."""
    if not rows:
        return SafeString("")
    top = _top([value for _, value in rows], limit)
    slot = 100 / len(rows)
    drawn = format_html_join("", "{}", ((_bar(index, row, slot, top),) for index, row in enumerate(rows)))
    return format_html('<svg class="bars" role="img" aria-label="{}">{}{}</svg>', label, drawn, _bars_limit(limit, top))


def course(
    values: Sequence[Number], *, slots: int, label: str, limit: Number | None = None, leads_to: Number | None = None
) -> SafeString:
    """A line over the first of ``slots`` days that leads on to ``leads_to`` on the last; ``limit`` is a line, too."""
    if not values:
        return SafeString("")
    top = _top([*values, leads_to or 0], limit) * COURSE_ROOM
    step = COURSE_WIDTH / max(slots, 1)
    points = [(0.0, 0.0), *(((index + 1) * step, float(value)) for index, value in enumerate(values))]
    line = " ".join(f"{_round(x)},{_course_y(y, top)}" for x, y in points)
    last_x = _round(points[-1][0])
    return format_html(
        '<svg class="course" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">'
        '<polygon class="area" points="{} {},{}"/><polyline class="line" points="{}"/>{}{}</svg>',
        *(label, COURSE_WIDTH, COURSE_HEIGHT, line, last_x, COURSE_HEIGHT, line),
        _course_ahead(last_x, points[-1][1], leads_to, top),
        _course_limit(limit, top),
    )


def _course_y(value: Number, top: float) -> float:
    return _round(COURSE_HEIGHT * (1 - max(float(value), 0.0) / top))


def _course_ahead(x: float, value: float, leads_to: Number | None, top: float) -> SafeString:
    if leads_to is None or x >= COURSE_WIDTH:
        return SafeString("")
    return format_html(
        '<line class="ahead" x1="{}" y1="{}" x2="{}" y2="{}"/>',
        *(x, _course_y(value, top), COURSE_WIDTH, _course_y(leads_to, top)),
    )


def _course_limit(limit: Number | None, top: float) -> SafeString:
    if limit is None:
        return SafeString("")
    y = _course_y(limit, top)
    return format_html('<line class="limit" x1="0" x2="{}" y1="{}" y2="{}"/>', COURSE_WIDTH, y, y)


def _bar(index: int, row: tuple[str, Number], slot: float, top: float) -> SafeString:
    name, value = row
    height = _round(100 * max(float(value), 0.0) / top)
    x, width = _round((index + BAR_GAP / 2) * slot), _round((1 - BAR_GAP) * slot)
    return format_html(
        '<rect x="{}%" y="{}%" width="{}%" height="{}%"><title>{}: {}</title></rect>',
        *(x, _round(100 - height), width, height, name, value),
    )


def _top(values: Sequence[Number], limit: Number | None) -> float:
    return max([float(value) for value in values] + [float(limit or 0)]) or 1.0


def _spark_y(value: Number, top: float) -> float:
    return _round((SPARK_HEIGHT - 1) - (SPARK_HEIGHT - 2) * max(float(value), 0.0) / top)


def _spark_limit(limit: Number | None, top: float) -> SafeString:
    if limit is None:
        return SafeString("")
    y = _spark_y(limit, top)
    return format_html('<line class="limit" x1="0" x2="{}" y1="{}" y2="{}"/>', SPARK_WIDTH, y, y)


def _bars_limit(limit: Number | None, top: float) -> SafeString:
    axis = SafeString('<line class="axis" x1="0" x2="100%" y1="100%" y2="100%"/>')
    if limit is None:
        return axis
    y = _round(100 - 100 * float(limit) / top)
    return format_html('{}<line class="limit" x1="0" x2="100%" y1="{}%" y2="{}%"/>', axis, y, y)


def _round(value: float) -> float:
    return round(value, 2)
