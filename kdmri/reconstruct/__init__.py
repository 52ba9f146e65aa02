"""Scans in, reconstructions out, with a trained network."""
