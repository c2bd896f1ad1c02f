"""The demo's world: a coloured shape on a coloured background, drawn and captioned from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase

from PIL import Image, ImageDraw

SIZE = 64
"""Width and height of a picture, in pixels. Every length below is in these pixels."""

RGB = tuple[int, int, int]
Point = tuple[float, float]
Palette = Mapping[str, RGB]

COLOURS: Palette = {
    "red": (214, 38, 40),
    "orange": (255, 132, 10),
    "yellow": (255, 226, 50),
    "green": (40, 160, 60),
    "cyan": (60, 212, 226),
    "blue": (36, 64, 212),
    "purple": (138, 48, 178),
    "pink": (255, 140, 200),
    "white": (246, 246, 246),
    "black": (16, 16, 16),
}
POSITIONS: dict[str, tuple[int, int]] = {
    "centre": (0, 0),
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
}
RADII: dict[str, tuple[float, float]] = {
    "small": (10.6, 11.4),
    "medium": (13.6, 14.4),
    "large": (17.0, 17.8),
}

WITHHELD: frozenset[tuple[str, str]] = frozenset(
    {
        ("red", "star"),
        ("orange", "heart"),
        ("yellow", "square"),
        ("green", "circle"),
        ("cyan", "triangle"),
        ("blue", "heart"),
        ("purple", "cross"),
        ("pink", "star"),
        ("white", "triangle"),
        ("black", "circle"),
    }
)
"""(colour, shape) pairs that no training picture of the text-to-image stage shows."""

_SUPERSAMPLING = 4


def _around(count: int, radii: tuple[float, ...], start: float = -math.pi / 2) -> list[Point]:
    """`count` points at even angles, the first at `start`, their radii taken in turn."""
    angles = [start + 2 * math.pi * i / count for i in range(count)]
    return [
        (radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a))
        for i, a in enumerate(angles)
    ]


def _heart(count: int = 60) -> list[Point]:
    """The classic heart curve, scaled to a radius of about one and centred by its box."""
    angles = [2 * math.pi * i / count for i in range(count)]
    return [
        (
            math.sin(a) ** 3,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 16
            - 0.16,
        )
        for a in angles
    ]


def _cross(arm: float = 0.34) -> list[Point]:
    """A plus sign as wide as it is high."""
    quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    points = []
    for _ in range(4):
        points += quarter
        quarter = [(-y, x) for x, y in quarter]
    return points


OUTLINES: dict[str, list[Point]] = {
    "circle": _around(64, (1.0,)),
    "square": _around(4, (1.18,), start=math.pi / 4),
    "triangle": [(x, y + 0.25) for x, y in _around(3, (1.18,))],
    "star": _around(10, (1.16, 0.47)),
    "heart": _heart(),
    "cross": _cross(),
}
"""Each shape as a polygon around the origin, y pointing down, for a radius of one."""


@dataclass(frozen=True)
class Scene:
    """One picture: what is drawn, in which colours, where and how large."""

    shape: str
    colour: str
    background: str
    centre: Point
    radius: float
    position: str
    size: str

    def outline(self) -> list[Point]:
        """The shape's polygon in pixels of a `SIZE` x `SIZE` picture."""
        x, y = self.centre
        return [(x + self.radius * px, y + self.radius * py) for px, py in OUTLINES[self.shape]]


def random_palette(rng: Random, *, spread: int) -> Palette:
    """The colours of `COLOURS`, each channel moved by up to `spread` and kept within 0 to 255."""

    def moved(channel: int) -> int:
        return min(max(channel + rng.randint(-spread, spread), 0), 255)

    return {name: (moved(r), moved(g), moved(b)) for name, (r, g, b) in COLOURS.items()}


def random_scene(rng: Random, *, withheld: bool | None = False) -> Scene:
    """Draw a scene whose (colour, shape) pair is one of `WITHHELD`, none of them, or (None) any."""
    while True:
        shape, colour = rng.choice(list(OUTLINES)), rng.choice(list(COLOURS))
        if withheld is None or ((colour, shape) in WITHHELD) == withheld:
            break
    background = rng.choice([name for name in COLOURS if name != colour])
    position = rng.choice(list(POSITIONS))
    size = rng.choice(("small", "medium", "medium", "large"))
    return place(rng, shape, colour, background, position, size)


def place(rng: Random, shape: str, colour: str, background: str, position: str, size: str) -> Scene:
    """Choose the exact place and radius that `position` and `size` leave open."""
    radius = rng.uniform(*RADII[size])
    offset = rng.uniform(10.0, 11.5)
    centre = tuple(
        SIZE / 2 + (direction * offset or rng.uniform(-1.0, 1.0))
        for direction in POSITIONS[position]
    )
    return Scene(shape, colour, background, (centre[0], centre[1]), radius, position, size)


def draw(
    scene: Scene,
    *,
    colours: Palette = COLOURS,
    over: Image.Image | None = None,
    size: int = SIZE,
) -> Image.Image:
    """Draw a scene as an RGB picture of `size` x `size` pixels with smooth edges.

    `over` is an earlier picture to draw on, in place of the plain background.
    """
    ground = over or colours[scene.background]
    return _rendered(scene, size, fill=colours[scene.colour], ground=ground)


def draw_outline(
    scene: Scene, *, size: int = SIZE, width: float = 1.5, colours: Palette | None = None
) -> Image.Image:
    """Draw the shape's edge alone, `width` pixels thick, as RGB.

    It is white on black, or with `colours` in those of the scene.
    """
    if colours is None:
        return _rendered(scene, size, line=width, ground=(0, 0, 0))
    pen, ground = colours[scene.colour], colours[scene.background]
    return _rendered(scene, size, line=width, pen=pen, ground=ground)


def _rendered(
    scene: Scene,
    size: int,
    *,
    ground: RGB | Image.Image,
    fill: RGB | None = None,
    line: float = 0.0,
    pen: RGB = (255, 255, 255),
) -> Image.Image:
    large = (size * _SUPERSAMPLING,) * 2
    if isinstance(ground, Image.Image):
        canvas = ground.resize(large, Image.Resampling.NEAREST)
    else:
        canvas = Image.new("RGB", large, ground)
    scale = size * _SUPERSAMPLING / SIZE
    points = [(x * scale, y * scale) for x, y in scene.outline()]
    drawing = ImageDraw.Draw(canvas)
    if fill is not None:
        drawing.polygon(points, fill=fill)
    if line:
        closed = [*points, points[0], points[1]]
        drawing.line(closed, fill=pen, width=round(line * scale), joint="curve")
    return canvas.resize((size, size), Image.Resampling.BOX)


def caption(scene: Scene, *, background: bool = True) -> str:
    """Describe a scene in the plainest words; medium sizes and the centre go without saying."""
    size = "" if scene.size == "medium" else f"{scene.size} "
    where = "" if scene.position == "centre" else f" {_PLACES[scene.position][0]}"
    ground = f" on a {scene.background} background" if background else ""
    return f"a {size}{scene.colour} {scene.shape}{where}{ground}"


_PLACES: dict[str, tuple[str, ...]] = {
    "centre": ("in the centre", "in the center", "in the middle"),
    "left": ("on the left", "at the left"),
    "right": ("on the right", "at the right"),
    "top": ("at the top", "on the top"),
    "bottom": ("at the bottom", "on the bottom"),
}
_SIZES: dict[str, tuple[str, ...]] = {"small": ("small", "little"), "large": ("large", "big")}
_OPENINGS = ("a picture of", "a drawing of", "an image of", "a photo of")


def random_caption(scene: Scene, rng: Random) -> str:
    """Describe a scene in one of many phrasings.

    Medium sizes go without saying, the centre and the background sometimes do.

    A few hold a word of random letters, so that the model learns to ignore what it doesn't know.
    """
    words = []
    if rng.random() < 0.1:
        words.append(rng.choice(_OPENINGS))
    coloured = rng.random() < 0.97
    adjective = ""
    if scene.size in _SIZES:
        adjective = rng.choice(_SIZES[scene.size])
    noise = (
        "".join(rng.choices(ascii_lowercase, k=rng.randint(3, 7))) if rng.random() < 0.06 else ""
    )
    colour = scene.colour if coloured else ""
    noun = [part for part in (noise, adjective, colour, scene.shape) if part]
    if rng.random() < 0.95:
        words.append(_article(noun[0]))
    words += noun
    if scene.position != "centre" or rng.random() < 0.4:
        words.append(rng.choice(_PLACES[scene.position]))
    if rng.random() < 0.75:
        words.append(f"on {_article(scene.background)} {scene.background} background")
    return " ".join(words)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def vocabulary() -> list[str]:
    """Every word that a caption can hold, in a fixed order."""
    words: dict[str, None] = dict.fromkeys(["a", "an", "background", "on"])
    words.update(dict.fromkeys(COLOURS))
    words.update(dict.fromkeys(OUTLINES))
    for phrase in _phrases():
        words.update(dict.fromkeys(phrase.split()))
    return list(words)


def _phrases() -> Iterator[str]:
    yield from _OPENINGS
    for choices in (*_PLACES.values(), *_SIZES.values()):
        yield from choices
