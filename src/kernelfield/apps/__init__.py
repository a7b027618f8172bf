"""The command line: kernelfield learn, apply, doctor."""
