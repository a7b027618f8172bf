"""Image files: read and write PNG, JPEG, TIFF, WebP, BMP, GIF, PNM, AVIF, JPEG XL, JPEG 2000, NPY, NPZ and FITS.

Pillow, tifffile, imagecodecs and astropy are imported by the first call that needs them.
"""

from kernelfield.images.limits import DEFAULT_MAX_PIXELS
from kernelfield.images.picture import Pages, Picture
from kernelfield.images.read import read
from kernelfield.images.write import write

__all__ = ["DEFAULT_MAX_PIXELS", "Pages", "Picture", "read", "write"]
