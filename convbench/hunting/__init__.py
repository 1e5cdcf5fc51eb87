"""`hunt`: the worst case, found, confirmed, and made as simple as it can be."""
