"""Which URLs are the same page, and which belong to the crawl; no HTML, no network, no state."""
