"""The nouns of the system: records, states, URLs and time; nothing here does I/O."""
