"""The version of the package, in one place: the build, the handshake and the connection file read it here."""

__version__ = "0.1.0"
