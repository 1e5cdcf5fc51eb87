"""How a gradient is wrong: where its wrong elements lie, and which simple mistake explains all of it."""
