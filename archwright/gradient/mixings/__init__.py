"""How candidates are combined."""
