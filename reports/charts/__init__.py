"""Charts of what commands have measured, each with the numbers behind it."""
