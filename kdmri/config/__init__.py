"""The words of a command: composed, checked, and what they name."""
