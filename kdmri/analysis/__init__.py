"""Results read, compared and tabulated."""
