"""The broker: keeps the tree of configuration and hands partitions of streams to instances."""
