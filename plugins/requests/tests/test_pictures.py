"""Texts in image and sound files: what formats' rules say is read, and what is written."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from pathlib import Path

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.PngImagePlugin import PngInfo

from autopipe.errors import ArgumentError, ImageFileError
from autopipe_requests.pictures import FORMATS, add_to_wav, save_image, texts_of

PROMPT = 'zwölf Katzen 🐈, "ruhig"\nund <ein> Hund & Co. ]]>'
RECORD = '{"id":"1","request":{"prompt":"zwölf \\"Katzen\\" 🐈 <b> & \\u0000"}}'
TEXTS = {"autopipe": RECORD, "parameters": PROMPT}


def image() -> PIL.Image.Image:
    return PIL.Image.effect_noise((40, 24), 60).convert("RGB")


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(*before: bytes, after: tuple[bytes, ...] = ()) -> bytes:
    """A PNG whose pixels are not valid, so that reading them would fail."""
    size = struct.pack(">IIBBBBB", 1 << 30, 1 << 30, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", b"no pixels")
    parts = [chunk(b"IHDR", size), *before, pixels, *after, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(comment: bytes, model: bytes = b"", order: str = ">") -> bytes:
    """EXIF data with a user comment and a model, in either byte order."""
    head = b"MM\0*" if order == ">" else b"II*\0"
    inner_at = 8 + 2 + 2 * 12 + 4
    data_at = inner_at + 2 + 12 + 4
    entry = f"{order}HHII"
    main = struct.pack(f"{order}H", 2)
    main += struct.pack(entry, 0x0110, 2, len(model), data_at + len(comment))
    main += struct.pack(entry, 0x8769, 4, 1, inner_at) + bytes(4)
    inner = struct.pack(f"{order}H", 1)
    inner += struct.pack(entry, 0x9286, 7, len(comment), data_at) + bytes(4)
    return head + struct.pack(f"{order}I", 8) + main + inner + comment + model


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG without pixels."""
    parts = [struct.pack(">BBH", 0xFF, kind, len(c) + 2) + c for kind, c in segments]
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xda"


def riff(kind: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    parts = [k + struct.pack("<I", len(c)) + c + bytes(len(c) % 2) for k, c in chunks]
    content = kind + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(content)) + content


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "picture"


def read(file: Path, content: bytes) -> dict[str, str]:
    file.write_bytes(content)
    return texts_of(file)


def test_every_kind_of_text_chunk_is_read_before_and_after_the_pixels(file: Path) -> None:
    utf8 = PROMPT.encode()
    before = (
        chunk(b"tEXt", b"latin\0caf\xe9\nline"),
        chunk(b"zTXt", b"packed\0\0" + zlib.compress(b"caf\xe9")),
        chunk(b"iTXt", b"wide\0\0\0de\0w\0" + utf8),
    )
    after = (chunk(b"iTXt", b"late\0\1\0\0\0" + zlib.compress(utf8)),)
    assert read(file, png(*before, after=after)) == {
        "latin": "café\nline",
        "packed": "café",
        "wide": PROMPT,
        "late": PROMPT,
    }


def test_of_two_texts_with_one_name_the_first_counts(file: Path) -> None:
    assert read(file, png(*(chunk(b"tEXt", b"a\0" + one) for one in (b"1", b"2")))) == {"a": "1"}


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + PROMPT.encode("utf-16-be"),
        b"UNICODE\0" + PROMPT.encode("utf-16-le"),
        b"UNICODE\0" + PROMPT.encode("utf-16"),
        b"ASCII\0\0\0" + PROMPT.encode(),
        bytes(8) + PROMPT.encode() + b"\0\0",
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_user_comments_are_read_in_each_encoding(file: Path, comment: bytes, order: str) -> None:
    data = tiff(comment, b'prompt:{"1": {}}\0', order)
    expected = {"parameters": PROMPT, "prompt": '{"1": {}}'}
    assert read(file, jpeg((0xE1, b"Exif\0\0" + data))) == expected
    assert read(file, riff(b"WEBP", (b"VP8 ", b"odd"), (b"EXIF", data))) == expected


def test_comments_of_jpeg_gif_and_wav_are_read(file: Path) -> None:
    assert read(file, jpeg((0xFE, b"made by hand"))) == {"comment": "made by hand"}
    image().save(
        file, format="GIF", comment=RECORD.encode(), save_all=True, append_images=[image()]
    )
    assert texts_of(file) == {"autopipe": RECORD}
    info = b"INFOINAM\4\0\0\0abc\0ICMT\6\0\0\0hello\0"
    assert read(file, riff(b"WAVE", (b"fmt ", b"x"), (b"LIST", info))) == {"comment": "hello"}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_what_is_written_is_read(file: Path, format: str, mode: str) -> None:
    picture = image().convert(mode)
    save_image(picture, file, TEXTS, format)
    assert texts_of(file) == TEXTS
    first = file.read_bytes()
    save_image(picture, file, TEXTS, format)
    assert file.read_bytes() == first
    with PIL.Image.open(file) as again:
        assert again.size == (40, 24)
        if format != "JPEG":
            assert again.convert("RGBA").tobytes() == picture.convert("RGBA").tobytes()


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_a_lower_quality_makes_smaller_files_with_the_same_texts(file: Path, format: str) -> None:
    sizes = []
    for quality in (10, 60, 100):
        save_image(image(), file, TEXTS, format, quality)
        assert texts_of(file) == TEXTS
        sizes.append(file.stat().st_size)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]
    assert format == "JPEG" or b"VP8L" not in file.read_bytes()


def test_a_jpeg_keeps_the_resolution_of_colors_and_its_texts_for_others(file: Path) -> None:
    from PIL import JpegImagePlugin

    save_image(image(), file, TEXTS, "JPEG")
    with PIL.Image.open(file) as picture:
        assert JpegImagePlugin.get_sampling(picture) == 0
        comment = picture.getexif().get_ifd(0x8769)[0x9286]
    assert comment == b"UNICODE\0" + PROMPT.encode("utf-16-be")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("length", [65_000, 66_000, 300_000])
def test_long_records_fit_each_format(file: Path, format: str, length: int) -> None:
    record = '{"prompt":"' + "ä<" * length + '"}'
    save_image(image(), file, {"autopipe": record, "parameters": "short"}, format)
    assert texts_of(file) == {"autopipe": record, "parameters": "short"}
    with PIL.Image.open(file) as picture:
        picture.load()


def test_parameters_that_a_jpeg_has_no_room_for_are_left_out(file: Path) -> None:
    save_image(image(), file, {"autopipe": RECORD, "parameters": "x" * 40_000}, "JPEG")
    assert texts_of(file) == {"autopipe": RECORD}


def test_a_png_takes_other_texts_and_the_other_formats_refuse_them(file: Path) -> None:
    save_image(image(), file, {"title": "café", "author": "🐈"}, "PNG")
    assert texts_of(file) == {"title": "café", "author": "🐈"}
    with pytest.raises(ArgumentError, match="title"):
        save_image(image(), file, {"title": "a"}, "WEBP")
    with pytest.raises(ArgumentError, match="TIFF"):
        save_image(image(), file, {}, "TIFF")


def test_the_record_is_found_where_an_editor_wrote_it_as_an_attribute(file: Path) -> None:
    packet = (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description xmlns:a='urn:autopipe:record/1/' "
        b'a:record="{&quot;id&quot;:&quot;1&quot;}"/></x:xmpmeta>'
    )
    assert read(file, riff(b"WEBP", (b"XMP ", packet))) == {"autopipe": '{"id":"1"}'}


def test_pillow_reads_a_png_of_ours_and_we_read_one_of_pillow(file: Path) -> None:
    save_image(image(), file, TEXTS, "PNG")
    with PIL.Image.open(file) as picture:
        assert picture.text == TEXTS  # type: ignore[attr-defined]
    info = PngInfo()
    info.add_text("parameters", PROMPT, zip=True)
    image().save(file, format="PNG", pnginfo=info)
    assert texts_of(file) == {"parameters": PROMPT}


@pytest.mark.parametrize("samples", [100, 101])
def test_a_sound_keeps_its_samples_and_gets_a_comment(file: Path, samples: int) -> None:
    sound = bytes(range(samples))
    with wave.open(str(file), "wb") as target:
        target.setparams((1, 1, 8000, 0, "NONE", ""))
        target.writeframes(sound)
    add_to_wav(file, TEXTS)
    assert texts_of(file) == {"autopipe": RECORD}
    with wave.open(str(file)) as source:
        assert source.readframes(1000) == sound
    assert struct.unpack("<I", file.read_bytes()[4:8])[0] == file.stat().st_size - 8


def test_only_a_sound_gets_a_comment(file: Path) -> None:
    file.write_bytes(png())
    with pytest.raises(ImageFileError, match="not a WAV file"):
        add_to_wav(file, TEXTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a PNG"),
        (b"hello, this is a text", "is not a PNG"),
        (png()[:-20], "ends too early"),
        (png(chunk(b"tEXt", b"a\0b")[:-1] + b"?"), "damaged text"),
        (png(chunk(b"zTXt", b"a\0\0no zlib")), "damaged compressed text"),
        (png(struct.pack(">I", 1 << 31) + b"tEXt"), "2,147,483,648 bytes"),
        (png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 25)))), "more than 16,777,216"),
        (png(*[chunk(b"tEXt", b"%d\0a" % i) for i in range(300)]), "more than 256 texts"),
        (png(*[chunk(b"aaAa", b"")] * 100_001), "more than 100,000 parts"),
        (jpeg((0xE1, b"Exif\0\0MM\0*")), "damaged EXIF"),
        (jpeg((0xE1, b"Exif\0\0" + tiff(b"UNICODE\0abcdefgh")[:-4])), "EXIF data that ends"),
        (b"\xff\xd8\xff\xe1\0\0", "negative length"),
        (b"\xff\xd8\xff\xe1\xff\xff", "ends too early"),
        (riff(b"WEBP", (b"EXIF", b"abc"))[:-2], "ends too early"),
        (b"GIF89a" + bytes(7) + b"?", "where a block should begin"),
    ],
)
def test_broken_and_hostile_files_are_refused(file: Path, content: bytes, message: str) -> None:
    with pytest.raises(ImageFileError, match=message):
        read(file, content)


def test_a_missing_file_and_a_folder_are_told(file: Path) -> None:
    with pytest.raises(ImageFileError, match="there is no file"):
        texts_of(file)
    with pytest.raises(ImageFileError, match="a folder, not a regular file"):
        texts_of(file.parent)


def examples() -> list[bytes]:
    found = []
    for format in FORMATS:
        target = io.BytesIO()
        save_image(image(), target, TEXTS, format)
        found.append(target.getvalue())
    target = io.BytesIO()
    image().save(target, format="GIF", comment=RECORD.encode())
    sound = riff(b"WAVE", (b"fmt ", bytes(16)), (b"LIST", b"INFOICMT\4\0\0\0abc\0"))
    return [*found, target.getvalue(), sound]


EXAMPLES = examples()


@given(st.sampled_from(EXAMPLES), st.data())
@settings(max_examples=300)
def test_changed_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, min(len(changed), 3000) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(changed)))
    file = tmp_path_factory.getbasetemp() / "changed"
    file.write_bytes(changed[:end])
    try:
        texts = texts_of(file)
    except ImageFileError:
        return
    assert all(isinstance(text, str) for text in (*texts, *texts.values()))
