"""What a response says: its links, title and character encoding; no network, no scope, no state."""
