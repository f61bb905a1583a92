"""Resizes a picture: takes base64 and writes `/output/resized.png`. Files in /output are returned as URLs.

nanogrid upload examples/image-processor
nanogrid run image-processor @event.json   # {"image": "<base64>", "width": 320, "height": 200}
"""

import base64
import io

from PIL import Image  # every Python image of NanoGrid has it


def handler(event, context):
    picture = Image.open(io.BytesIO(base64.b64decode(event["image"])))
    before = picture.size
    size = (int(event.get("width", 128)), int(event.get("height", 128)))
    picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save("/output/resized.png")
    print(f"resized {before[0]}x{before[1]} to {size[0]}x{size[1]}")
    return {"width": size[0], "height": size[1], "original": {"width": before[0], "height": before[1]}}
