"""The master's HTTP API, and its client; the dashboard comes here."""
