"""Stages of an experiment: planned, trained and measured."""
