"""The frontier: which URIs are known, whose turn it is, and what an outcome means. The only owner of a URI's state."""
