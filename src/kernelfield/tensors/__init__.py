"""What the frameworks share: the adapter's interface, the registry of adapters, and the logic of layers."""
