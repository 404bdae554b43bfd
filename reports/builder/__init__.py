"""The page about a run: whatever a folder holds, read, drawn, written down as one HTML file."""
