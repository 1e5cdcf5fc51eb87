"""Rows on disk: part files, resume, merging, reading the table."""
