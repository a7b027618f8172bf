"""Gradients of an output with respect to the image: one module for each framework, and `select` above them."""
