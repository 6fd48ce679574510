"""The REST door of a broker: one file a noun, all of them thin."""
