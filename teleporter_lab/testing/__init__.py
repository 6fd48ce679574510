"""For tests, of this project and of connectors written elsewhere: contract suites, probes, virtual time."""
