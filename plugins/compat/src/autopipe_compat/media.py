"""Reads and writes animated pictures and videos, as lists of frames."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageSequence

from autopipe.errors import ArgumentError, ImageFileError, MissingPackageError
from autopipe.wording import error_summary, shown

Frame = PIL.Image.Image | np.ndarray[Any, Any]


def export_to_gif(
    image: list[PIL.Image.Image], output_gif_path: str | None = None, fps: int = 10
) -> str:
    """Write PIL images as an animated GIF that repeats, and return its path.

    Args:
        output_gif_path: a new temporary file if None.
        fps: frames per second.

    Raises:
        ArgumentError: if there are no images, or `fps` is not positive.
    """
    _check(image, fps)
    path = output_gif_path or _temporary(".gif")
    first, *rest = image
    first.save(
        path, save_all=True, append_images=rest, optimize=False, duration=1000 // fps, loop=0
    )
    return path


def export_to_video(
    video_frames: Sequence[Frame],
    output_video_path: str | None = None,
    fps: int = 10,
    quality: float | None = 5.0,
    bitrate: int | None = None,
    macro_block_size: int | None = 16,
) -> str:
    """Write frames as a video, and return its path.

    Args:
        video_frames: PIL images, or arrays (height, width, 3) in [0, 1].
        output_video_path: a new temporary file if None; its suffix selects the format.
        fps: frames per second.
        quality: from 0 to 10, the highest.
        bitrate: a constant bit rate in place of the quality.
        macro_block_size: the sides are scaled up to multiples of it.

    Raises:
        ArgumentError: if there are no frames, or `fps` is not positive.
        MissingPackageError: if neither imageio with imageio-ffmpeg nor opencv-python is installed.
    """
    _check(video_frames, fps)
    pixels = [_pixels(one) for one in video_frames]
    path = output_video_path or _temporary(".mp4")
    try:
        imageio = _imageio("export_to_video")
    except MissingPackageError:
        if not _write_by_opencv(pixels, path, fps):
            raise
        return path
    with imageio.get_writer(
        path, fps=fps, quality=quality, bitrate=bitrate, macro_block_size=macro_block_size
    ) as writer:
        for one in pixels:
            writer.append_data(one)
    return path


def load_video(
    video: str | Path,
    convert_method: Callable[[list[PIL.Image.Image]], list[PIL.Image.Image]] | None = None,
    return_fps: bool = False,
) -> Any:
    """Return the frames of a video or an animated GIF as PIL images.

    Args:
        video: a local file.
        convert_method: applied to the list of frames.
        return_fps: return `(frames, frames per second)`.

    Raises:
        ImageFileError: if there is no such file, or it can't be read.
        ArgumentError: if the frame rate is asked for, and the file doesn't tell it.
        MissingPackageError: if imageio with imageio-ffmpeg is not installed, for anything but GIF.
    """
    if not Path(video).is_file():
        raise ImageFileError(
            f"there is no file {shown(str(video))}; give a local file, and fetch addresses first"
        )
    read = _read_gif if str(video).lower().endswith(".gif") else _read_by_imageio
    try:
        frames, rate = read(str(video))
    except MissingPackageError:
        raise
    except Exception as error:  # Both libraries raise many kinds.
        summary = error_summary(error)
        raise ImageFileError(f"{shown(str(video))} can't be read: {summary}") from error
    if convert_method is not None:
        frames = convert_method(frames)
    if return_fps and rate is None:
        raise ArgumentError(f"{shown(str(video))} has no frame rate; leave return_fps= out")
    return (frames, rate) if return_fps else frames


def _read_gif(path: str) -> tuple[list[PIL.Image.Image], float | None]:
    with PIL.Image.open(path) as picture:
        wait = picture.info.get("duration")
        frames = [frame.copy() for frame in PIL.ImageSequence.Iterator(picture)]
    return frames, 1000 / wait if wait else None


def _read_by_imageio(path: str) -> tuple[list[PIL.Image.Image], float | None]:
    with _imageio("load_video").get_reader(path) as reader:
        rate = reader.get_meta_data().get("fps")
        return [PIL.Image.fromarray(frame) for frame in reader], rate


def _imageio(what: str) -> Any:
    try:
        import imageio
        import imageio_ffmpeg  # noqa: F401  # The plugin of imageio needs it.
    except ImportError as error:
        raise MissingPackageError(
            f"{what} needs imageio. Run: python -m pip install imageio imageio-ffmpeg"
        ) from error
    return imageio


def _write_by_opencv(pixels: list[Any], path: str, fps: int) -> bool:
    """Write the video with OpenCV; False if that is not installed."""
    try:
        cv2: Any = importlib.import_module("cv2")
    except ImportError:
        return False
    height, width = pixels[0].shape[:2]
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), fps, (width, height))
    for one in pixels:
        writer.write(cv2.cvtColor(one, cv2.COLOR_RGB2BGR))
    writer.release()
    return True


def _pixels(frame: Frame) -> Any:
    """Return the 8-bit pixels (height, width, 3) of a frame."""
    if isinstance(frame, PIL.Image.Image):
        return np.asarray(frame.convert("RGB"))
    return (frame * 255).astype(np.uint8) if frame.dtype.kind == "f" else frame


def _check(frames: Sequence[Frame], fps: int) -> None:
    if not len(frames) or fps <= 0:
        raise ArgumentError(
            f"{len(frames)} frames at fps={shown(fps)} are not a video; give at least one frame "
            f"and a positive rate"
        )


def _temporary(suffix: str) -> str:
    with tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as file:
        return file.name
