"""What a table says: rows in, plain sentences with their numbers out; nothing is drawn and nothing is measured here."""
