"""Photos as a camera's page would send them."""

import io
import os

from PIL import Image, ImageFilter


def photo(seed: int, width: int = 1280, height: int = 720, quality: int = 80) -> bytes:
    """A JPEG that is not like another: blurred noise, some 100 KB at 1280x720."""
    noise = Image.frombytes("RGB", (width // 8, height // 8), os.urandom(width * height * 3 // 64))
    grain = Image.effect_noise((width, height), 24).convert("RGB")
    picture = Image.blend(noise.resize((width, height)).filter(ImageFilter.GaussianBlur(4)), grain, 0.12)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, comment=f"photo {seed}")
    return out.getvalue()


def single_form(data: bytes, trigger: str = "INTERVAL") -> tuple[str, bytes]:
    """Content type and body of `upload-single`."""
    return form([("trigger", None, trigger.encode()), ("image", "capture.jpg", data)])


def form(parts: list[tuple[str, str | None, bytes]]) -> tuple[str, bytes]:
    boundary = f"----{os.urandom(12).hex()}"
    body = bytearray()
    for name, filename, data in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if filename is not None:
            body += f'; filename="{filename}"\r\nContent-Type: image/jpeg'.encode()
        body += b"\r\n\r\n" + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", bytes(body)
