"""Where results go: sinks that are durable before an outcome counts."""
