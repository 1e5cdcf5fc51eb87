"""Two Python environments measured against each other in alternating pairs."""
