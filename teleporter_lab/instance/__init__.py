"""Runs streams: takes partitions from a broker, compiles templates, moves records, commits positions, reports."""
