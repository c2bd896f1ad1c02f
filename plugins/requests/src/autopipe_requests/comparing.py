"""Compares the contents of two result files, without what is written in them as text."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import TYPE_CHECKING

from autopipe.errors import ImageFileError
from autopipe.wording import error_summary, shown

from .files import MOST_PIXELS
from .pictures import suffix_of

if TYPE_CHECKING:
    import numpy as np


def compared(one: Path, other: Path) -> tuple[bool, str]:
    """Return whether two files have the same contents, and a sentence about it.

    Raises:
        ImageFileError: if one can't be read.
    """
    import numpy as np

    first, second = _content(one), _content(other)
    if first.shape != second.shape:
        return False, f"not the same: {_shape(first)} then, {_shape(second)} now"
    differing = np.abs(first.astype(np.int64) - second.astype(np.int64))
    if not differing.any():
        return True, "the same, to the last bit"
    count = int((differing > 0).sum())
    return False, (
        f"not the same: {count:,} of {differing.size:,} values differ, by at most "
        f"{int(differing.max())} of {np.iinfo(first.dtype).max}"
    )


def _shape(values: np.ndarray) -> str:
    return "x".join(map(str, values.shape))


def _content(file: Path) -> np.ndarray:
    """Return pixels (frames, height, width, channels) or samples (samples, channels)."""
    import numpy as np
    import PIL.Image
    import PIL.ImageSequence

    try:
        if suffix_of(file) == ".wav":
            with wave.open(str(file), "rb") as sound:
                samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
                return samples.reshape(-1, sound.getnchannels())
        with PIL.Image.open(file) as image:
            frames: list[np.ndarray] = []
            for frame in PIL.ImageSequence.Iterator(image):
                if (len(frames) + 1) * frame.width * frame.height > MOST_PIXELS:
                    raise ValueError(f"its frames have more than {MOST_PIXELS:,} pixels")
                frames.append(np.asarray(frame.convert("RGBA")))
            return np.stack(frames)
    except (OSError, EOFError, ValueError, wave.Error, PIL.Image.DecompressionBombError) as error:
        raise ImageFileError(f"{shown(str(file))} can't be read: {error_summary(error)}") from error
