"""The HTTP client of a worker: from a lease to a page with its decoded body."""
