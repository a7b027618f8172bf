"""Frontends: one package for each framework, which translates its models into graphs; `select` chooses among them."""
