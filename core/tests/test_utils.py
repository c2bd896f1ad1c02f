from __future__ import annotations

import contextlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from support.odd import only

from autopipe.errors import ArgumentError, ArgumentTypeError, ImageFileError
from autopipe.utils import load_image, make_image_grid, numpy_to_pil, pt_to_pil


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "picture.png"
    Image.new("RGBA", (6, 4), (10, 20, 30, 128)).save(file)
    return file


@pytest.fixture
def address(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_pictures_come_in_rgb_from_a_path_a_text_and_a_picture(picture):
    for source in (picture, str(picture), Image.open(picture)):
        found = load_image(source)
        assert (found.mode, found.size) == ("RGB", (6, 4))


RAMP = np.tile(np.linspace(0, 1, 64), (8, 1))


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        ((RAMP * 65535).astype(np.uint16), "png"),
        ((RAMP * 65535).astype(">u2"), "tiff"),
        ((RAMP * 65535).astype(np.int32), "tiff"),
        ((RAMP * 255).astype(np.int32), "tiff"),
        (RAMP.astype(np.float32), "tiff"),
        ((RAMP * 255).astype(np.float32), "tiff"),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_more_than_8_bits_are_scaled(tmp_path, values, suffix):
    file = tmp_path / f"ramp.{suffix}"
    if values.dtype == ">u2":
        Image.frombytes("I;16B", (64, 8), values.tobytes()).save(file)
    else:
        Image.fromarray(values).save(file)
    found = np.asarray(load_image(file), dtype=float)
    assert found.shape == (8, 64, 3)
    assert np.abs(found - 255 * RAMP[..., None]).max() <= 1


@pytest.mark.parametrize("value", [-1.0, 1.5, 256.0, np.nan, np.inf])
def test_numbers_without_a_scale_are_refused(value):
    with pytest.raises(ArgumentError, match="mode F"):
        load_image(Image.fromarray(np.full((4, 4), value, np.float32)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "La", "RGBA", "RGBa", "CMYK", "HSV"])
def test_every_mode_becomes_rgb(mode):
    shown = Image.new("RGBA", (6, 4), (10, 20, 30, 255))
    shown = shown.convert("LA" if mode == "La" else "RGBA" if "A" in mode.upper() else "RGB")
    found = load_image(shown.convert(mode))
    assert (found.mode, found.size) == ("RGB", (6, 4))


def test_pictures_turned_by_their_camera(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert load_image(tmp_path / "turned.jpg").size == (4, 6)


def test_an_address_that_is_none():
    for address in ("http://h/a b.png", "http://[::1", "https://h:port/a.png"):
        with pytest.raises(ImageFileError, match="can't be fetched"):
            load_image(address)


def test_a_conversion_replaces_rgb(picture):
    assert load_image(picture, lambda image: image.convert("L")).mode == "L"


def test_pictures_are_fetched(picture, address):
    assert load_image(f"{address}/picture.png").size == (6, 4)
    with pytest.raises(ImageFileError, match="404"):
        load_image(f"{address}/absent.png")


def test_what_is_no_picture(tmp_path):
    with pytest.raises(ImageFileError, match="no file"):
        load_image(tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ImageFileError, match="can't be read as an image"):
        load_image(tmp_path / "text.png")
    with pytest.raises(ArgumentTypeError, match="not int"):
        load_image(3)


def test_a_cut_off_picture(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageFileError, match=r"cut\.png"):
        load_image(tmp_path / "cut.png")


def test_a_picture_that_claims_an_absurd_size(tmp_path):
    file = tmp_path / "huge.bmp"
    Image.new("RGB", (4, 4)).save(file)
    content = bytearray(file.read_bytes())
    content[18:26] = (60_000).to_bytes(4, "little") * 2  # width and height of a BMP
    file.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"huge\.bmp"):
        load_image(file)


def test_a_grid_is_filled_row_by_row():
    images = [Image.new("RGB", (3, 2), (n, n, n)) for n in range(6)]
    grid = make_image_grid(images, rows=2, cols=3)
    assert grid.size == (9, 4)
    assert [grid.getpixel((x, y))[0] for y in (0, 2) for x in (0, 3, 6)] == list(range(6))
    assert make_image_grid(images, rows=3, cols=2, resize=5).size == (10, 15)


@pytest.mark.parametrize("count", [0, 5])
def test_a_grid_of_the_wrong_number(count):
    with pytest.raises(ArgumentError, match="takes 6 images"):
        make_image_grid([Image.new("RGB", (3, 2))] * count, rows=2, cols=3)


def test_bytes_are_rounded():
    array = np.array([0.0, 0.4 / 255, 0.6 / 255, 1.0], np.float32).reshape(1, 2, 2, 1)
    (image,) = numpy_to_pil(array)
    assert image.mode == "L"
    assert np.asarray(image).ravel().tolist() == [0, 0, 1, 255]
    assert numpy_to_pil(np.zeros((2, 5, 3)))[0].size == (5, 2)


def test_tensors_are_clipped():
    tensor = torch.tensor([-3.0, -1.0, 0.0, 2.0]).view(1, 1, 2, 2).repeat(1, 3, 1, 1)
    (image,) = pt_to_pil(tensor)
    assert np.asarray(image)[..., 0].ravel().tolist() == [0, 0, 128, 255]


def test_nothing_heavy_is_imported():
    code = "import sys, autopipe.utils; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# What is no picture, or stands where one should be


@pytest.fixture(autouse=True)
def no_waiting():
    """What would wait for ever fails instead."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device", "sparse", "loop", "empty"])
def test_what_is_no_file_of_a_picture(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.png"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    elif kind == "folder":
        file.mkdir()
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "loop":
        file.symlink_to(file)
    else:
        with file.open("wb") as stream:
            stream.truncate(1 << 40 if kind == "sparse" else 0)
    for source in (file, str(file)):
        with pytest.raises(ImageFileError, match=r"x\.png"):
            load_image(source)


@pytest.mark.parametrize(
    "source",
    [
        "", "a\0b.png", "half \ud83d.png", "x" * 5000, "~", "file:///etc/hostname", "data:,x",
        "ftp://127.0.0.1/x.png", "http://", "http:///x.png", "http://[::1", "http://a b/c.png",
        "http://127.0.0.1:99999/x.png", "http://127.0.0.1:x/y.png", "http://a..b/x.png",
        "http://\ud83d/x.png", "http://" + "a" * 300 + "/x.png", "HTTP://127.0.0.1:1/x.png",
        "http://127.0.0.1:1/\r\nHost: x", "https://127.0.0.1:1/x.png",
    ],
)  # fmt: skip
def test_what_is_no_address(source, monkeypatch):
    with pytest.raises(ImageFileError) as caught:
        load_image(source)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("source", [None, 3, b"x.png", ["x.png"], np.zeros((2, 2, 3)), object()])
def test_what_is_neither_name_nor_picture(source):
    with pytest.raises(ArgumentTypeError, match="load_image takes"):
        load_image(source)


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers by the path that is asked for."""

    picture = b""

    def log_message(self, *args):
        pass

    def do_GET(self):
        code, headers, body = 200, {}, self.picture
        if self.path.startswith("/to?"):
            code, headers = 302, {"Location": self.path.partition("?")[2]}
        elif self.path == "/loop":
            code, headers = 302, {"Location": "/loop"}
        elif self.path == "/nowhere":
            code = 302
        elif self.path == "/long":
            headers = {"Content-Length": str(len(body) + 10)}
        elif self.path == "/html":
            body = b"<html>"
        elif self.path == "/huge":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(10_000):
                    self.wfile.write(bytes(1 << 20))
            return
        elif self.path == "/nonsense":
            self.wfile.write(b"\xff\xfe nonsense\r\n\r\n")
            return
        elif self.path not in ("/a%20b.png", "/a%C3%BC.png", "/q?a=b&c=%20", "/plain"):
            code = 404
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(picture):
    Answers.picture = picture.read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


@pytest.mark.parametrize(
    "path", ["/a b.png", "/a%20b.png", "/a\u00fc.png", "/q?a=b&c= ", "/to?/plain", "/plain#part"]
)
def test_addresses_as_people_write_them(server, path):
    assert load_image(server + path).size == (6, 4)


@pytest.mark.parametrize(
    "path",
    [
        "/to?file:///etc/hostname", "/to?ftp://127.0.0.1/x", "/to?data:,x", "/to?http://[", "/loop",
        "/nowhere", "/long", "/html", "/nonsense", "/absent",
    ],
)  # fmt: skip
def test_answers_that_are_no_picture(server, path):
    with pytest.raises(ImageFileError, match=r"127\.0\.0\.1"):
        load_image(server + path)


def test_an_answer_without_an_end(server, monkeypatch):
    monkeypatch.setattr("autopipe.utils._LARGEST", 1 << 22)
    with pytest.raises(ImageFileError, match="limit of 4,194,304 bytes"):
        load_image(f"{server}/huge")
    monkeypatch.setattr("autopipe.utils._LARGEST", 1 << 40)
    monkeypatch.setattr("autopipe.utils._TIMEOUT", 0.01)
    with pytest.raises(ImageFileError, match=r"timed out|took longer"):
        load_image(f"{server}/huge")


@pytest.mark.parametrize(
    "suffix", ["png", "gif", "bmp", "tiff", "webp", "jpeg", "ico", "ppm", "tga"]
)
def test_damaged_pictures_of_every_format(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    file = tmp_path / f"whole.{suffix}"
    Image.fromarray(noise).save(file)
    content = file.read_bytes()
    for place in range(0, min(len(content), 200), 3):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        file.write_bytes(changed)
        with only(ImageFileError):
            load_image(file)
        file.write_bytes(content[:place])
        with only(ImageFileError):
            load_image(file)


def test_a_grid_is_made_of_pictures() -> None:
    with pytest.raises(ArgumentTypeError, match="not int, ndarray"):
        make_image_grid([5, np.zeros((2, 2, 3))], 1, 2)
