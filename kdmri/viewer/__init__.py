"""Slices of images side by side in a page of its own: how they are coded, and the page."""
