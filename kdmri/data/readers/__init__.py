"""Readers of file formats: named volumes, read slice by slice when their turn comes."""
