"""CPU milliseconds of Pillow for a thumbnail: pillow_thumbnail.py PHOTO TIMES"""

import io
import sys
import time

from PIL import Image


def thumbnail(photo):
    image = Image.open(io.BytesIO(photo))
    # libjpeg leaves out what is not needed; thumbnail() would ask for twice the size.
    image.draft("RGB", (320, 320))
    image.thumbnail((320, 320))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)


photo = open(sys.argv[1], "rb").read()
times = int(sys.argv[2])
thumbnail(photo)
start = time.process_time()
for _ in range(times):
    thumbnail(photo)
print(f"{(time.process_time() - start) * 1000 / times:.3f}")
