"""The bus: everything that knows ZeroMQ. The rest of the program sees typed messages and plain decisions."""
