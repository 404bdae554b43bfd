"""Charts and pictures for papers, pages and slides."""
