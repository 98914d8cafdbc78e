"""The published data sets and their server, for the tests of this folder."""

from fixtures_sources import no_network, official, server  # noqa: F401
