"""Systems outside: one file a technology, each with a `Connector` that says what it can do.

Nothing is imported here: `base.Registry` loads a connector when its category is asked for, so that a driver which is
not installed is missed by nobody but its user.
"""
