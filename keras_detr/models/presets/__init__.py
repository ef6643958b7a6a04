"""Presets of backbones and detectors: what they are, and how they are loaded and saved."""
