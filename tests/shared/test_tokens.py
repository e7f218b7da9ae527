"""Every pair of ink and surface that components use has a contrast of 4.5, light and dark, in any vendor's color."""

import math
import re
from pathlib import Path

import pytest
from django.conf import settings

TOKENS = Path(settings.BASE_DIR) / "gtm" / "static" / "gtm" / "css" / "tokens.css"
NEEDED, NEEDED_OF_A_BORDER = 4.5, 3.0
SURFACES = ("surface", "surface-sunken", "surface-hover", "surface-raised", "track", "track-on")
INKS = ("ink", "ink-soft", "ink-faint")
TONES = ("accent", "positive", "caution", "negative")
PAIRS = [
    *((ink, surface) for ink in (*INKS, *TONES, "accent-strong") for surface in SURFACES[:4]),
    *((tone, f"{tone}-surface") for tone in TONES),
    *(("ink", f"{tone}-surface") for tone in TONES),
    *(("ink-soft", "accent-surface"), ("ink-faint", "accent-surface"), ("ink", "track-on"), ("ink-soft", "track")),
    *(("on-accent", "accent"), ("on-accent", "accent-strong"), ("positive", "track")),
]
VENDOR_COLORS = ["#2456c4", "#ffe600", "#00ff88", "#ff0044", "#000000", "#ffffff", "#7a7a7a", "#8a2be2"]

Oklch = tuple[float, float, float]


def declarations() -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+):\s*([^;]+);", TOKENS.read_text(encoding="utf-8").split("@media print")[0]))


def luminance(color: Oklch) -> float:
    """Relative luminance of an OKLCH color, its channels clipped to sRGB as a screen would."""
    lightness, chroma, hue = color
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    red, green, blue = (min(max(channel, 0.0), 1.0) for channel in (red, green, blue))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Oklch, other: Oklch) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def from_hex(text: str) -> Oklch:
    red, green, blue = (_linear(int(text[at : at + 2], 16) / 255) for at in (1, 3, 5))
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    lightness = 0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    return lightness, math.hypot(a, b), math.degrees(math.atan2(b, a))


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


class Theme:
    """Resolves a token to a color, as the browser does for one side of light-dark()."""

    def __init__(self, *, dark: bool, brand: str) -> None:
        self.dark, self.brand, self.values = dark, from_hex(brand), declarations()

    def color(self, token: str) -> Oklch:
        return self._resolve(self.values[token].strip())

    def _resolve(self, value: str) -> Oklch:
        if value.startswith("light-dark("):
            light, dark = re.split(r",(?![^(]*\))\s*", _inside(value))
            return self._resolve(dark if self.dark else light)
        if value.startswith("var("):
            return self.color(_inside(value).removeprefix("--"))
        if "from var(--brand)" in value:
            lightness, most = re.search(r"\) ([\d.]+)% min\(c, ([\d.]+)\) h", value).groups()  # type: ignore[union-attr]
            return float(lightness) / 100, min(self.brand[1], float(most)), self.brand[2]
        lightness, chroma, hue = re.match(r"oklch\(([\d.]+)% ([\d.]+) ([\d.]+)", value).groups()  # type: ignore[union-attr]
        return float(lightness) / 100, float(chroma), float(hue)


def _inside(value: str) -> str:
    return value[value.index("(") + 1 : value.rindex(")")]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("brand", VENDOR_COLORS)
def test_text_reads_on_every_surface_it_may_stand_on(brand: str, dark: bool) -> None:
    theme = Theme(dark=dark, brand=brand)
    measured = {pair: round(contrast(theme.color(pair[0]), theme.color(pair[1])), 2) for pair in PAIRS}
    assert {pair: ratio for pair, ratio in measured.items() if ratio < NEEDED} == {}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_edge_of_a_control_can_be_seen(dark: bool) -> None:
    theme = Theme(dark=dark, brand=VENDOR_COLORS[0])
    for surface in ("surface", "surface-raised"):
        assert contrast(theme.color("control-border"), theme.color(surface)) >= NEEDED_OF_A_BORDER


def test_the_arithmetic_agrees_with_known_colors() -> None:
    assert contrast(from_hex("#000000"), from_hex("#ffffff")) == pytest.approx(21, abs=0.01)
    assert contrast(from_hex("#767676"), from_hex("#ffffff")) == pytest.approx(4.54, abs=0.01)
