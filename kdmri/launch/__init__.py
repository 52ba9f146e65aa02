"""Processes and tasks that work on one command together."""
