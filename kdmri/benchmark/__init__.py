"""How fast the suite is beside a plain implementation of the published method."""
