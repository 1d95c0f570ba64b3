"""From architecture parameters to the weights of a mixture."""
