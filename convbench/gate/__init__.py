"""A pull request's code against the code that it is to be merged into, in alternating pairs."""
