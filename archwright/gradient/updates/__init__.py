"""How weights and architecture parameters are updated."""
