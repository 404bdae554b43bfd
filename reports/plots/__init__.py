"""Draw charts and pictures for papers, pages and slides: a file each, so a new kind is a new file."""
