"""Methods of one's own, complete and ready to copy; README.md has the commands."""
