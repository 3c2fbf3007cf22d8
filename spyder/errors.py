"""The errors that Spyder raises: one root, a child per area; the text is the line that a user reads."""


class SpyderError(Exception):
    """Anything that Spyder refuses or can't do; ``str()`` of it is one clear line."""


class SettingsError(SpyderError):
    """A settings file, an environment variable or an option is wrong."""


class PluginError(SpyderError):
    """A class or function named in the settings can't be found or built."""


class StoreError(SpyderError):
    """The frontier's store can't be opened, read or written."""


class StoreInUseError(StoreError):
    """Another process writes the frontier's store."""


class BooksError(SpyderError):
    """URIs were lost or counted twice: a mistake of ours."""


class ProtocolError(SpyderError):
    """A peer speaks another version, or has other settings."""


class MessageError(SpyderError):
    """Bytes from a socket are no message of the protocol."""


class BusError(SpyderError):
    """A socket can't be bound, connected or used as asked."""


class UrlError(SpyderError):
    """Text that should be a URL is none, by the WHATWG URL standard."""


class ConflictError(SpyderError):
    """What was to be changed has been changed by somebody else meanwhile."""


class ApiError(SpyderError):
    """The master's HTTP API can't be reached, or refuses."""
