"""Files that clients send."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from autopipe_serve.errors import Refusal
from autopipe_serve.settings import Limits, Settings
from autopipe_serve.studio import Event, Ticket
from autopipe_serve.uploads import Uploads, checked, decoded

MOST = 1000


@pytest.fixture
def uploads(tmp_path: Path):
    with Uploads(Settings(folder=tmp_path, limits=Limits(upload=MOST))) as found:
        yield found


@pytest.mark.parametrize(
    ("format", "suffix"),
    [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("GIF", ".gif"), ("BMP", ".bmp")],
)
def test_formats_are_known_by_their_content(picture: Callable, format: str, suffix: str) -> None:
    content = picture(format)
    assert checked(content, MOST) == (content, suffix)


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b"RIFFxxxxWAVE", b"<svg/>", b"MZ" * 99])
def test_others_are_refused(content: bytes) -> None:
    with pytest.raises(Refusal, match="PNG, JPEG, WEBP, GIF or BMP") as caught:
        checked(content, MOST)
    assert caught.value.status == 415


def test_a_size_is_checked_before_pixels_are_read(picture: Callable) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + crc
    bomb += struct.pack(">I", 9) + b"IDAT" + bytes(9)
    for content in bomb, picture(size=(40, 30)):
        with pytest.raises(Refusal, match="at most 1,000") as caught:
            checked(content, MOST)
        assert caught.value.status == 413


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_truncated_file_is_refused(picture: Callable, format: str) -> None:
    content = picture(format, size=(30, 30))
    with pytest.raises(Refusal, match="damaged or incomplete") as caught:
        checked(content[: len(content) * 2 // 3], MOST)
    assert caught.value.status == 400


def test_it_stands_upright_and_keeps_its_alpha(picture: Callable) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    content, suffix = checked(picture("JPEG", size=(8, 6), exif=exif), MOST)
    assert suffix == ".png"
    assert PIL.Image.open(io.BytesIO(content)).size == (6, 8)
    clear = picture("PNG", mode="RGBA", exif=exif)
    with PIL.Image.open(io.BytesIO(checked(clear, MOST)[0])) as found:
        assert (found.mode, found.size) == ("RGBA", (6, 8))
    printed = picture("JPEG", mode="CMYK", exif=exif)
    assert PIL.Image.open(io.BytesIO(checked(printed, MOST)[0])).mode == "RGB"


def test_videos_and_sounds(picture: Callable) -> None:
    assert checked(picture("GIF"), MOST, "clip", "video")[1] == ".gif"
    with pytest.raises(Refusal, match="clip is not a PNG, WEBP or GIF file"):
        checked(picture("JPEG"), MOST, "clip", "video")
    assert checked(b"RIFF\0\0\0\0WAVEfmt ", MOST, "sound", "audio")[1] == ".wav"
    with pytest.raises(Refusal, match="not a WAV"):
        checked(picture("PNG"), MOST, "sound", "audio")


PLAIN = base64.b64encode(b"\xfb\xff\xfe?").decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("="),
        PLAIN.replace("+", "-").replace("/", "_"),
        f" {PLAIN[:3]}\n{PLAIN[3:]}\t",
        f"data:image/png;base64,{PLAIN}",
        f"DATA:;charset=utf-8;base64,{PLAIN}",
    ],
)
def test_base64_as_clients_write_it(text: str) -> None:
    assert decoded(text) == b"\xfb\xff\xfe?"


@pytest.mark.parametrize(
    "text",
    ["", "====", "no base64!", "é", "data:image/png,abc", "data:", "data:image/png;base64,", "A"],
)
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(Refusal, match="base64") as caught:
        decoded(text, "mask")
    assert (caught.value.status, caught.value.param) == (400, "mask")


def test_equal_files_have_equal_names(uploads: Uploads, picture: Callable) -> None:
    content = picture()
    first = uploads.add(content)
    assert uploads.add_text(base64.b64encode(content).decode()) == first
    assert [one.name for one in uploads.folder.iterdir()] == [first]
    assert (uploads.folder / first).read_bytes() == content


@pytest.mark.parametrize("address", ["http://example.com/x.png", "https://127.0.0.1/"])
def test_addresses_are_not_fetched_unless_allowed(uploads: Uploads, address: str) -> None:
    with pytest.raises(Refusal, match="fetches none") as caught:
        uploads.add_text(address)
    assert caught.value.status == 400


def test_what_an_allowed_address_has_is_checked(
    tmp_path: Path, picture: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = picture()
    monkeypatch.setattr("autopipe_serve.uploads.fetch", lambda url, most, name: content)
    with Uploads(Settings(folder=tmp_path, allow_addresses=True)) as uploads:
        name = uploads.add_text("https://example.com/x")
        assert (uploads.folder / name).read_bytes() == content
    assert not uploads.folder.exists()


def test_files_stay_until_the_ticket_is_over(tmp_path: Path, picture: Callable) -> None:
    async def drive() -> None:
        uploads, ticket = Uploads(Settings(folder=tmp_path)), Ticket("0" * 32, "", ())
        uploads.add(picture())
        uploads.close_after(ticket)
        await asyncio.sleep(0.01)
        assert uploads.folder.exists()
        ticket.tell(Event("state", "done"))
        for _ in range(100):
            await asyncio.sleep(0.01)
            if not uploads.folder.exists():
                return
        raise AssertionError("the folder is still there")

    asyncio.run(drive())
