"""Tests; a folder per kind, otherwise a file per module of the package."""
