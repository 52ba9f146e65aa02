"""One HTML file of a tree of experiments: what is there, how it compares, and how it looks."""
