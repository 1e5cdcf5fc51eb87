"""Methods with a fault that is known, as a user would write them: what the program must say of each is in plants.py."""
