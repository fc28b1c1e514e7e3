"""Files that layers seldom have: holes, and names that are whiteouts."""
