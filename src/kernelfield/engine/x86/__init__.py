"""Machine code for x86-64 with AVX2 and FMA, written by us for one shape of kernel at a time."""
