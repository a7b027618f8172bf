"""Networks of every framework as graphs of index maps."""
