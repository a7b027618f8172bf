"""Benchmark harness of ``kernelfield bench`` and ``benchmarks/``: work, libraries, checks, timing, tables, JSON."""
