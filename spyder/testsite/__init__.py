"""A generated site on loopback, for tests and for ``spyder bench``: its plan, its server, its handle."""
