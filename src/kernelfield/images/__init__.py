"""Image files: read and write PNG, JPEG, TIFF and NPY.

Pillow and tifffile are imported by the first call that needs them.
"""

from kernelfield.images.limits import DEFAULT_MAX_PIXELS
from kernelfield.images.picture import Picture
from kernelfield.images.read import read
from kernelfield.images.write import write

__all__ = ["DEFAULT_MAX_PIXELS", "Picture", "read", "write"]
