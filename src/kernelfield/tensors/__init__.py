"""Shared by the frameworks: the interface of an adapter, the registry of adapters, and the logic of layers."""
