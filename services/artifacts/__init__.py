"""Artifacts: every stored byte."""
