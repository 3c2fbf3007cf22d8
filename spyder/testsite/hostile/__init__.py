"""A site on loopback that behaves badly in every way that its catalogue lists, each with its documented outcome."""
