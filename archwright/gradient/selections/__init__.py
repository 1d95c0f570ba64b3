"""From architecture parameters to one architecture."""
