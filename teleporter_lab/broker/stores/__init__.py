"""Where a broker keeps its two tables: one interface, one file for each backend."""
