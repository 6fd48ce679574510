"""The operators, one file a family: the methods that `Flow` inherits, and the stages they run as."""
