"""Rename tables: one for each architecture, as data."""
