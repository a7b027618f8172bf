"""Methods that compute on plain NumPy arrays; `plan` chooses among them."""
