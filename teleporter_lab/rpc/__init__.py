"""One TCP connection for everything that broker and instance say to each other; import from the modules."""
