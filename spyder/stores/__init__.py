"""Where the frontier's rows are kept: one contract (:class:`spyder.contracts.FrontierStore`), several storages."""
