"""Two marketplaces that have nothing in common behind one model, one pair of tools and one policy."""
