"""Configurations run in a child process that may die; the parent's side knows no torch."""
