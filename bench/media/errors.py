"""The errors a person can act on. Everything else is a bug and keeps its traceback."""


class BenchError(Exception):
    """Base of the errors this suite raises on purpose; the message says what was wrong and what to do."""


class UserError(BenchError):
    """The person who typed the command must change something; the command line exits with 2."""


class MissingPrerequisite(UserError):
    """A weight file, a package or a program is absent; the message names it and the command that gets it."""


class MediaError(BenchError):
    """A media file cannot be used. In a run this fails one case, never the run."""


class Undefined(BenchError):
    """A metric has no value for a case (no face, too few frames). It is recorded and counted, never averaged away."""
