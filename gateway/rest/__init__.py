"""Reads REST requests, and writes answers and problems."""
