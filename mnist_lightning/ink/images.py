"""Image files from any source -> arrays: the right way up, in eight bits, within limits. Knows nothing of digits."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mnist_lightning.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 100_000_000  # of a file
MAX_PIXELS = 36_000_000  # of a picture: a page scanned at 600 dots per inch has fewer
MAX_PIXELS_OF = {"JPEG": 170_000_000, "MPO": 170_000_000, "HEIF": 52_000_000, "JPEG2000": 20_000_000}
"""JPEGs are shrunk while they are decoded; phones take 50 million pixels; JPEG 2000 is slow to decode."""
_MAX_PROGRESSIVE = 52_000_000  # pixels of a JPEG that is decoded as a whole before it is shrunk
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "AVIF", "TIFF", "JPEG2000", "PPM", "HEIF")  # none runs a program

_LARGEST = 2048  # a picture is shrunk by a whole number until its longest side is below twice this, pixels
_MAX_DEEP = 16_000_000  # pixels of a picture with 16 bits per colour; of a larger one the upper eight are read
_COLOURS = {"L": "L", "1": "L", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA", "La": "RGBA", "RGBa": "RGBA", "PA": "RGBA"}
_ORIENTATION = 0x0112  # the number of EXIF's tag


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it came out of its file.

    Attributes:
        pixels: uint8, grey [H, W], BGR [H, W, 3] or BGRA [H, W, 4], turned as EXIF says.
        shrunk: how many pixels of the file, along each side, became one of `pixels`.
        has_more: whether the file holds further pages or frames, which are left out.
    """

    pixels: np.ndarray
    shrunk: int = 1
    has_more: bool = False


def read_image(path: str | Path) -> np.ndarray:
    """Read the first picture of a file; the pixels of `read_picture`."""
    return read_picture(path).pixels


def read_picture(path: str | Path) -> Picture:
    """Read the first picture of a file.

    Args:
        path: PNG, JPEG, BMP, GIF, WebP, AVIF, TIFF, JPEG 2000, PPM; HEIC where pillow-heif is installed. Grey, colour,
            palette, CMYK, transparent; 1, 8 or 16 bits or floating point.

    Raises:
        UserError: there is no such file, it is too large, or it is not a picture.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file, or a glob in quotes such as '{path}/*.png'.")
    if not path.is_file():
        raise UserError(f"There is no image file {path}; check the path.")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path} has {size / 1e6:,.0f} MB: an image file may have {MAX_BYTES / 1e6:.0f} MB.")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    return decode_picture(data, str(path))


def decode_picture(data: bytes, name: str = "the image") -> Picture:
    """Decode the bytes of an image file, for example of an upload.

    Args:
        data: the file's content.
        name: what to call it in the error.

    Raises:
        UserError: the bytes are not a picture, are damaged, or hold one that is too large.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"{name} has {len(data) / 1e6:,.0f} MB: an image file may have {MAX_BYTES / 1e6:.0f} MB.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from Pillow's decoders, about files that they read anyway
        try:
            return _decode(data, name)
        except UserError:
            raise
        except Exception as error:  # decoders raise anything on damaged data
            raise UserError(
                f"{name} is not an image that can be read: save it as PNG or JPEG ({_reason(error)})."
            ) from error


def _reason(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":
        return "its format is unknown"
    return str(error).splitlines()[0].rstrip(".")[:100] if str(error) else type(error).__name__


def _decode(data: bytes, name: str) -> Picture:
    from PIL import Image

    _register_heif()
    try:
        image = Image.open(io.BytesIO(data), formats=[each for each in FORMATS if each in _known_formats()])
    except Image.DecompressionBombError:
        raise _too_large(name, MAX_PIXELS_OF["JPEG"]) from None
    except Image.UnidentifiedImageError:
        if data[:4] not in (b"II*\0", b"MM\0*"):
            raise
        return Picture(_decode_deep_tiff(data, name))  # floating point in colour, which Pillow does not support
    with image:
        limit = MAX_PIXELS_OF.get(image.format or "", MAX_PIXELS)
        if image.info.get("progressive"):
            limit = _MAX_PROGRESSIVE
        if image.width * image.height > limit:
            raise _too_large(name, limit, image.size)
        size = image.size
        image.draft(image.mode, (_LARGEST, _LARGEST))  # a JPEG is shrunk while it is decoded
        pixels = _decode_sixteen_bits(data) if _has_sixteen_bit_colours(image, data) else _pixels(image)
        turn = image.getexif().get(_ORIENTATION, 1)
        return Picture(np.ascontiguousarray(_turned(pixels, turn)), times_shrunk(size, pixels), _has_more(image))


def _known_formats() -> list[str]:
    from PIL import Image

    Image.init()
    return list(Image.OPEN)


def _register_heif() -> None:
    """HEIC, the format of many phones, where its package is installed."""
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _too_large(name: str, limit: int, size: tuple[int, int] | None = None) -> UserError:
    has = f"has {size[0]:,} x {size[1]:,} pixels" if size else "has too many pixels"
    return UserError(f"{name} {has}: a picture may have {limit / 1e6:.0f} million; shrink it.")


def _pixels(image: Image.Image) -> np.ndarray:
    """The pixels of an opened picture, uint8 grey, BGR or BGRA, shrunk where there are very many."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _to_bytes(np.asarray(image))
    if image.mode == "LAB":
        image = image.getchannel(0)  # lightness
    # A colour, or an entry of the palette, may be transparent.
    mode = "RGBA" if "transparency" in image.info else _COLOURS.get(image.mode, "RGB")
    if mode != image.mode:
        image = image.convert(mode)
    factor = max(image.size) // _LARGEST
    pixels = np.asarray(image.reduce(factor) if factor > 1 else image)
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)


def _has_sixteen_bit_colours(image: Image.Image, data: bytes) -> bool:
    """Whether colours have 16 bits, of which Pillow keeps the upper eight."""
    if image.mode not in ("RGB", "RGBA", "LA") or image.width * image.height > _MAX_DEEP:
        return False
    if image.format == "PNG":
        return data[24] == 16
    bits = getattr(image, "tag_v2", {}).get(258, ())  # TIFF's BitsPerSample
    return 16 in (bits if isinstance(bits, tuple) else (bits,))


def _decode_sixteen_bits(data: bytes) -> np.ndarray:
    """16-bit or floating-point colours as uint8 [H, W, 3 or 4]."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if values is None:
        raise ValueError("its pixels are damaged")
    return _to_bytes(values)


def _decode_deep_tiff(data: bytes, name: str) -> np.ndarray:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file = io.BytesIO(data)
    tags = ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    tags.load(file)
    width, height = int(tags[256]), int(tags[257])
    if width * height > _MAX_DEEP:
        raise _too_large(name, _MAX_DEEP, (width, height))
    return _decode_sixteen_bits(data)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Values of any type and range as uint8: as they are up to 255, floats up to 1 as shares, else their own range."""
    if values.dtype == np.uint8 or values.size == 0:
        return values.astype(np.uint8)
    factor = max(values.shape[:2]) // _LARGEST
    if factor > 1:
        values = values.astype(np.float32) if values.dtype not in (np.uint16, np.float32, np.float64) else values
        size = -(-values.shape[1] // factor), -(-values.shape[0] // factor)
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    is_share = values.dtype.kind == "f"
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = min(float(values.min()), 0.0), float(values.max())
    high = 1.0 if high <= 1 and is_share else 255.0 if high <= 255 else high
    return np.clip((values - low) * (255 / max(high - low, 1e-9)) + 0.5, 0, 255).astype(np.uint8)


def from_pil(image: Image.Image) -> np.ndarray:
    """A picture that Pillow has opened, as `read_picture` would read its file.

    Returns:
        uint8 grey [H, W], BGR [H, W, 3] or BGRA [H, W, 4], the right way up, shrunk where it is very large.
    """
    return np.ascontiguousarray(_turned(_pixels(image), image.getexif().get(_ORIENTATION, 1)))


def times_shrunk(size: tuple[int, int], pixels: np.ndarray) -> int:
    """How many pixels, along each side of a picture of this width and height, became one of `pixels` [H, W, ...]."""
    return max(1, round(max(size) / max(pixels.shape[:2])))


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """A picture the right way up, by EXIF's number for how the camera was held."""
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    return np.rot90(pixels, {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0))


def _has_more(image: Image.Image) -> bool:
    """Whether another page or frame follows the first."""
    if image.format == "MPO":  # a camera's second picture of the same scene, for depth or a screen
        return False
    try:
        image.seek(1)
    except Exception:  # EOFError; and what follows the first page is not needed
        return False
    return True
