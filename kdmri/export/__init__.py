"""Trained networks as files of other programs, held against the original."""
