"""Draw charts and pictures for papers, pages and slides; each kind has a file of its own."""
