"""Convolutional layers of the frameworks that compute with kernelfield: one module a framework, the logic in `base`."""
