"""Figures of receptive fields and of networks."""
