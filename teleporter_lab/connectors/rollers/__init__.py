"""Rollers: how a source walks through pages and windows of time, and how a sink goes from file to file."""
