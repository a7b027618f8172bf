"""Tensors of the frameworks: recognised without importing one, seen as NumPy arrays, and wrapped back."""
