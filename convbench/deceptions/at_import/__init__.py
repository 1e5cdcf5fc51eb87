"""Modules that change the process while they are imported, each a method for itself."""
