"""A web of many small hosts on loopback, each with rules of its own, and the verdict on who crawled it."""
