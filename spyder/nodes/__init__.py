"""The processes: master, worker with its two stages, supervisor, log sink. Only here stages are joined."""
