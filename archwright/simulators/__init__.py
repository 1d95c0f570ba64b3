"""Event-driven simulators: slower than the closed forms of `archwright.costs`, and with state."""
