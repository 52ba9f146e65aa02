"""One HTML page of all experiments."""
