"""Pictures compressed in memory."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def jpeg(image: np.ndarray, quality: int, **options: Any) -> np.ndarray:
    """Return a picture of 8 bits as a decoder of its JPEG gives it; other options as in Pillow."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, **options)
    return np.asarray(Image.open(file))
